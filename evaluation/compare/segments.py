"""Units, price paid and consumer surplus by segment, and the time that a policy takes per decision."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...envs import Outcome, expected_units, rollout
from ...pricing import Action, MarketView, Policy
from ...scenarios import MarketSpec

Array = NDArray[np.float64]

# All prices are raised together, up to thirty-fold, to integrate demand over price: Gauss-Legendre
# nodes over the logarithm of the factor, after the factor 1, which has no weight.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)
_HALF = np.log(30) / 2
_FACTORS = np.append(1.0, np.exp(_HALF * (1 + _NODES)))
_WEIGHTS = np.append(0.0, _HALF * _NODE_WEIGHTS) * _FACTORS


@dataclass(frozen=True)
class SegmentFigures:
    """Expected figures of an episode by segment.

    Attributes:
        units: (K,) units bought.
        price_paid: (K,) currency per unit, NaN for a segment that buys nothing.
        surplus: (K,) consumer surplus, currency.
        response_seconds: Time of one decision, the prices of one market in one period.
    """

    units: Array
    price_paid: Array
    surplus: Array
    response_seconds: float

    @property
    def price_ratio(self) -> float:
        """Highest price paid over the lowest, among the segments that buy; 1 for a single one."""
        paid = self.price_paid[self.units > 0]
        return float(paid.max() / paid.min()) if paid.size else 1.0


def segment_figures(spec: MarketSpec, policy: Policy, *, seed: int, episodes: int) -> SegmentFigures:
    """Simulate a policy and add up what each segment is expected to buy of the products in stock.

    Consumer surplus is the area under the segment's demand as all its prices rise in proportion. For a
    logit segment with one price sensitivity that is the log-sum over the sensitivity: Small and
    Rosen (1981), Applied Welfare Economics with Discrete Choice Models, Econometrica 49(1). Demand
    shocks, loyalty, strategic waiting, recommendations and promotions are left out.
    """
    single = _SegmentWatch(spec, policy)
    rollout(spec, single, episodes=1, seed=seed)
    watch = _SegmentWatch(spec, policy)
    rollout(spec, watch, episodes=episodes, seed=seed, watch=watch.note)
    units, money = watch.units / episodes, watch.money / episodes
    paid = np.divide(money, units, out=np.full_like(money, np.nan), where=units > 0)
    return SegmentFigures(units, paid, watch.surplus / episodes, single.seconds / spec.market.horizon_periods)


class _SegmentWatch:
    """The policy, with its last action and the time of its decisions recorded."""

    def __init__(self, spec: MarketSpec, policy: Policy) -> None:
        self.spec, self.policy, self.name = spec, policy, policy.name
        self.units, self.money, self.surplus = np.zeros((3, len(spec.arrivals.segments)))
        self.seconds = 0.0
        self._action: Action | None = None

    def act(self, view: MarketView) -> Action:
        """Propose what the policy proposes."""
        started = time.perf_counter()
        self._action = self.policy.act(view)
        self.seconds += time.perf_counter() - started
        return self._action

    def note(self, view: MarketView, outcome: Outcome) -> None:
        """Add the figures of one period."""
        assert self._action is not None, "a policy acts before the market steps"
        allowed = self.spec.guardrails.apply(self._action, view)
        personal = allowed.discount if self.spec.prices.max_discount > 0 else None
        discount = (
            np.zeros((*outcome.units.shape, self.units.size)) if personal is None else personal.astype(np.float64)
        )
        rows, price = _FACTORS.size, outcome.list_price.astype(np.float64)

        def repeated(values: ArrayLike) -> NDArray:
            """The rows once for every factor."""
            values = np.asarray(values)
            return np.tile(values, (rows, *[1] * (values.ndim - 1)))

        given = {
            "reference": repeated(view.reference_price),
            "discount": None if personal is None else repeated(discount),
            "regime": 0 if view.regime is None else repeated(view.regime),
            "rival_price": repeated(outcome.rival_price) if self.spec.competitors is not None else None,
            "in_stock": None if self.spec.stock.shortage == "backlog" else repeated(view.on_hand > 0),
        }
        raised = (_FACTORS[:, None, None] * price).reshape(-1, price.shape[1])
        units = expected_units(self.spec, int(view.period[0]), raised, **given)
        units = units.reshape(rows, len(price), *units.shape[1:])  # (F, E, K, N)
        paid = price[:, None, :] * (1 - discount.swapaxes(1, 2))
        money = (paid * units).sum(axis=(1, 3))
        self.units += units[0].sum(axis=(0, 2))
        self.money += money[0]
        self.surplus += _WEIGHTS @ money
