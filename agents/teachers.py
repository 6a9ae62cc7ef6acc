"""What learning starts from: of the policies that need no learning, the one that earns most in a market."""

from __future__ import annotations

import functools

import numpy as np

from ..envs import rollout, seed_for
from ..optimum import certainty_equivalent
from ..pricing import Policy
from ..scenarios import MarketSpec, goal_market
from .base_price import STEADY, base_of, recommended
from .classical import best_fixed, myopic, time_only, truths_of

# Episodes in which candidates are compared, over all posterior draws.
_EPISODES = 128


@functools.lru_cache(maxsize=16)
def best_teacher(spec: MarketSpec, base_price: str, seed: int = 0) -> Policy | None:
    """The candidate that earns most on the tuning seeds, or None where none earns more than the best fixed prices.

    Candidates are the certainty-equivalent policy; the rule that is the base price, where it is one; and, where
    customers remember prices or demand changes over time, the myopic prices and the best path of prices over time.

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
    earned = [_earned(spec, each, seed) for each in (best_fixed(spec, seed=seed), *candidates)] if candidates else [0.0]
    best = int(np.argmax(earned))
    return recommended(spec, candidates[best - 1]) if best else None


def _candidates(spec: MarketSpec, base_price: str, seed: int) -> list[Policy]:
    """The policies to choose from; none but the first for markets where stock is ordered, which a path does not time."""
    rule = None if base_price in STEADY else base_of(spec, base_price, seed)[1]
    found: list[Policy] = [each for each in (certainty_equivalent(spec), rule) if each is not None]
    if not found and spec.stock.replenishment != "action" and spec.reference_price is not None:
        found += [myopic(spec), time_only(spec, seed=seed)]
    return found


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
