"""What learning starts from: of the policies that need no learning, the one that earns most in a market."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..envs import expected_units, rollout, seed_for
from ..optimum import certainty_equivalent
from ..pricing import Action, MarketView, Policy, orders_up_to
from ..scenarios import MarketSpec, goal_market
from .base_price import STEADY, base_of, recommended
from .classical import best_fixed, myopic, time_only, truths_of
from .plan import TrainingPlan

# Episodes in which candidates are compared, over all posterior draws.
_EPISODES = 128
# A teacher must earn so much more than the best fixed prices, as a share of their money, to be worth imitating.
_LEAST_GAIN = 0.002
# Periods up to which a path of prices is searched: what customers remember at first matters less in a longer episode, and
# the search takes the longer.
_LONGEST_PATH = 26
# Where stock is ordered, prices over the best fixed ones, safety stock in square roots of the mean demand until the
# delivery, and by how much prices rise as the shelf empties: searched one after the other, twice.
_PRICES, _SAFETY, _RISES = (0.88, 0.94, 1.0, 1.06), (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0), (0.0, 0.2, 0.4, 0.6)


@dataclass(frozen=True)
class OrderAhead:
    """Orders up to the mean demand until the next delivery and a safety stock; prices rise as the shelf empties.

    Attributes:
        price: (N,) currency per unit.
        units: (T, N) mean demand of each period at these prices.
        level: (T, N) units on hand plus on order after ordering.
        rise: Exponent of a period's mean demand over the units on hand, by which a price rises above `price`.
        name: Name in tables.
    """

    price: NDArray[np.float32]
    units: NDArray[np.float32]
    level: NDArray[np.float32]
    rise: float
    name: str = "order-ahead"

    @classmethod
    def of(cls, spec: MarketSpec, price: NDArray[np.float32], safety: float, rise: float) -> OrderAhead:
        """The policy of a market.

        Args:
            price: (N,) currency per unit.
            safety: Safety stock, in square roots of the mean demand until the next delivery.
            rise: As of the class.
        """
        periods = spec.market.horizon_periods
        units = spec.visits * expected_units(spec, np.arange(periods), np.tile(price, (periods, 1))).sum(axis=1)
        # Orders that would come after the end are not placed; a market that goes on begins anew.
        more = units if spec.market.ending == "truncated" else np.zeros_like(units)
        lead = np.broadcast_to(spec.stock.lead_time_periods, price.shape).astype(np.intp)
        total = np.vstack([np.zeros_like(price), np.concatenate([units, more]).cumsum(axis=0)])
        until = np.arange(periods)[:, None] + lead + 1
        window = np.take_along_axis(total, np.minimum(until, 2 * periods), axis=0) - total[:periods]
        level = np.maximum(window + safety * np.sqrt(window), 0)
        level[(until > periods) & (spec.market.ending != "truncated")] = 0
        return cls(price, units.astype(np.float32), np.round(level).astype(np.float32), rise)

    def act(self, view: MarketView) -> Action:
        """The prices and orders of each market's period."""
        row = np.minimum(view.period, len(self.units) - 1)
        scarce = np.maximum(self.units[row] / np.maximum(view.on_hand, np.float32(0.5)), 1)
        return Action(self.price * scarce ** np.float32(self.rise), **orders_up_to(self.level[row], None, view))


def teacher_of(plan: TrainingPlan) -> Policy | None:
    """The policy to imitate first in a run without a teacher of the caller's, or None.

    What answers the nominal market is what training in variants is to unlearn; what earns most on average, what a risk
    measure is not after.
    """
    settings = plan.settings
    if settings.opening == "base-price" or settings.variants or plan.assortments or settings.risk != "mean":
        return None
    return best_teacher(plan.spec, settings.base_price, plan.seed)


@functools.lru_cache(maxsize=16)
def best_teacher(spec: MarketSpec, base_price: str, seed: int = 0) -> Policy | None:
    """The candidate that earns most on the tuning seeds, or None where none earns more than the best fixed prices.

    Candidates are the certainty-equivalent policy, and the rule that is the base price, where it is one. Without these,
    where stock is ordered, `OrderAhead` near the best fixed prices; elsewhere the myopic prices and, where customers
    remember prices over few periods, the best path of prices over time. A market that goes on after its last period has
    none of these two where customers remember prices.

    Args:
        spec: The market.
        base_price: The setting of this name.
        seed: Seed of the search for prices, and of the markets that candidates are tried in.

    Example:
        >>> from repricer import load_scenario
        >>> best_teacher(load_scenario("scarce"), "best-fixed").name
        'certainty-equivalent'
    """
    candidates = _candidates(spec, base_price, seed)
    fixed = _earned(spec, best_fixed(spec, seed=seed), seed) if candidates else 0.0
    best, most = None, fixed + _LEAST_GAIN * abs(fixed)
    for policy in candidates:
        earned = _earned(spec, policy, seed)
        if earned > most:
            best, most = policy, earned
    return None if best is None else recommended(spec, best)


def _candidates(spec: MarketSpec, base_price: str, seed: int) -> list[Policy]:
    """The policies to choose from."""
    rule = None if base_price in STEADY else base_of(spec, base_price, seed)[1]
    first = rule or certainty_equivalent(spec)
    if first is not None:
        return [first]
    if spec.stock.replenishment == "action":
        return [_best_orders(spec, seed)] if spec.express is None else []
    if spec.reference_price is not None and spec.market.ending == "truncated":
        # Deals in the last periods would earn what the periods after them pay for.
        return []
    few = spec.market.horizon_periods <= _LONGEST_PATH
    return [myopic(spec), *([time_only(spec, seed=seed)] if few and spec.reference_price is not None else [])]


def _best_orders(spec: MarketSpec, seed: int) -> OrderAhead:
    """The best orders and prices near the best fixed ones."""
    price = np.asarray(best_fixed(spec, seed=seed).price, np.float32)
    grids, best = (_PRICES, _SAFETY, _RISES), [1.0, 1.0, 0.0]

    def policy(times: float, safety: float, rise: float) -> OrderAhead:
        return OrderAhead.of(spec, price * np.float32(times), safety, rise)

    for column in (1, 2, 0) * 2:
        rows = [[*best[:column], value, *best[column + 1 :]] for value in grids[column]]
        best = max(rows, key=lambda row: _earned(spec, policy(*row), seed))
    return policy(*best)


def _earned(spec: MarketSpec, policy: Policy, seed: int) -> float:
    """The mean expected objective of an episode, over draws of the posterior where there is one."""
    goal = goal_market(spec)
    markets = truths_of(goal)
    episodes = -(-_EPISODES // len(markets))
    runs = [
        rollout(market, policy, episodes=episodes, seed=seed_for("tuning", seed), expected=True, believed=goal)
        for market in markets
    ]
    return float(np.mean([run.objective.mean() for run in runs]))
