"""A policy as a map: the price that it charges by period and stock, or by period and reference price."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...envs import Outcome, rollout, seed_for
from ...pricing import MarketView, Policy, is_deterministic
from ...scenarios import MarketSpec

Array = NDArray[np.float64]
Axis = Literal["on_hand", "reference_price"]

_MAPPED_MARKETS = 64
_MAPPED_PERIODS = 60
_ASKED = 24
_WATCHED = 10
_BAND = (0.05, 0.95)


@dataclass(frozen=True)
class PriceMap:
    """One product's list price by period and stock, or by period and reference price.

    Attributes:
        product: Name of the product.
        axis: What the levels are, `on_hand` (units) or `reference_price` (currency per unit).
        periods: (P,) periods, from 0.
        levels: (S,) levels of the axis.
        price: (S, P) list price after the price rules, currency per unit; NaN where a policy that
            is only observed never came.
        band: (2, P) limits between which 90% of the visited markets lie.
        asked: Whether the policy was evaluated at every level; else prices are means over the
            markets that it visited.
    """

    product: str
    axis: Axis
    periods: NDArray[np.intp]
    levels: Array
    price: Array
    band: Array
    asked: bool


def price_maps(spec: MarketSpec, policy: Policy, products: list[int], *, seed: int) -> list[PriceMap]:
    """The maps of these products, except those with neither limited stock nor a
    moving reference price.

    A policy that is a function of the view is evaluated in a market that is typical of the period
    but for this product's stock or reference price. Any other policy is observed over its own
    episodes.
    """
    visits = _Visits(spec, policy)
    rollout(spec, policy, episodes=_MAPPED_MARKETS, seed=seed_for("test", seed), watch=visits.note)
    drawn = (visits.map_of(product) for product in products)
    return [found for found in drawn if found is not None]


class _Visits:
    """Records what a policy sees and charges, period by period, over all batches of markets."""

    def __init__(self, spec: MarketSpec, policy: Policy) -> None:
        self.spec = spec
        self.policy = policy
        self.views: list[list[MarketView]] = [[] for _ in range(spec.market.horizon_periods)]
        self.charged: list[list[NDArray[np.float32]]] = [[] for _ in self.views]

    def note(self, view: MarketView, outcome: Outcome) -> None:
        """Record one period of a batch."""
        period = int(view.period[0])
        self.views[period].append(view)
        self.charged[period].append(outcome.list_price)

    def map_of(self, product: int) -> PriceMap | None:
        """The map of one product, or None where neither stock nor reference price varies."""
        axis: Axis = "on_hand" if np.isfinite(self.views[0][0].on_hand[0, product]) else "reference_price"
        last = len(self.views) - 1
        periods = np.unique(np.linspace(0, last, min(_MAPPED_PERIODS, last + 1)).round().astype(np.intp))
        seen = np.stack([self._all(t, axis)[:, product] for t in periods]).astype(np.float64)  # (P, E)
        low = 1.0 if axis == "on_hand" else seen.min()
        high = seen.max()
        if not low < high * (1 - 1e-6):
            return None
        asked = is_deterministic(self.policy)
        levels = np.linspace(low, high, _ASKED if asked else _WATCHED)
        if axis == "on_hand":
            levels = np.unique(levels.round())
        price = self._ask(product, axis, periods, levels) if asked else self._watch(product, periods, seen, levels)
        band = np.quantile(seen, _BAND, axis=1)
        return PriceMap(self.spec.products.names[product], axis, periods, levels, price, band, asked)

    def _ask(self, product: int, axis: Axis, periods: NDArray[np.intp], levels: Array) -> Array:
        """(S, P) price that the policy charges at each level in each period, everything else as in `_typical`."""
        view = self._typical(periods, len(levels))
        moved = getattr(view, axis).copy()
        moved[:, product] = np.tile(levels, len(periods))
        view = replace(view, **{axis: moved})
        price = self.spec.guardrails.apply(self.policy.act(view), view).price[:, product]
        return price.astype(np.float64).reshape(len(periods), len(levels)).T

    def _watch(self, product: int, periods: NDArray[np.intp], seen: Array, levels: Array) -> Array:
        """(S, P) mean price charged in the markets whose level, `seen` (P, E), is nearest to each of the levels."""
        found = np.full((len(levels), len(periods)), np.nan)
        for column, (period, row) in enumerate(zip(periods, seen, strict=True)):
            nearest = np.abs(row[:, None] - levels).argmin(axis=1)
            price = np.concatenate(self.charged[period])[:, product].astype(np.float64)
            count, total = (np.bincount(nearest, weights, minlength=len(levels)) for weights in (None, price))
            np.divide(total, count, out=found[:, column], where=count > 0)
        return found

    def _typical(self, periods: NDArray[np.intp], rows: int) -> MarketView:
        """For each of P periods the same typical market `rows` times, (P * rows, …).

        Every number is the median over the markets, the regime the most common one.
        """
        first = self.views[0][0]
        middle = {}
        for name in (item.name for item in fields(MarketView) if item.name != "catalogue"):
            if getattr(first, name) is None:
                continue
            values = [self._all(t, name) for t in periods]
            if name == "regime":
                typical = np.stack([np.bincount(x).argmax() for x in values])
            else:
                typical = np.stack([np.sort(x, axis=0)[len(x) // 2] for x in values])
            middle[name] = np.repeat(typical.astype(values[0].dtype), rows, axis=0)
        return replace(first, **middle)

    def _all(self, period: int, name: str) -> NDArray:
        """A field of the views of a period, over the markets of all batches."""
        return np.concatenate([getattr(view, name) for view in self.views[period]])
