"""Demand and money of one period as a function of one product's price, from the market's own choice model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bernoulli, nbinom, norm, poisson

from ...envs import Market, Outcome, expected_units
from ...envs.kernels.state import LAST_UNITS, LIST_PRICE, ON_HAND, PERIOD, PIPELINE, REFERENCE_PRICE, REGIME
from ...pricing import Action, MarketView
from ...scenarios import MarketSpec

Array = NDArray[np.float64]

_POINTS = 41
_LEVELS = (80, 95)
_NORMAL95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class DemandCurve:
    """One product in one period at G list prices, everything else as the policy has it.

    Attributes:
        price: (G,) allowed list prices, rising, currency per unit.
        units: (G,) expected demand, units, as if the product's own stock were ample.
        interval: By level (80, 95), the (2, G) lower and upper limits of demand, units.
        objective: (G,) expected money of the whole market in this period, sales limited
            by stock, currency.
        charged: Index of the price charged.
        for_sale: Whether the product can be sold.
    """

    price: Array
    units: Array
    interval: dict[int, Array]
    objective: Array
    charged: int
    for_sale: bool

    def to_dict(self) -> dict[str, Any]:
        """As `explain --json` prints it."""
        bounds = {f"units{level}": both.T.tolist() for level, both in self.interval.items()}
        rows = {name: getattr(self, name).tolist() for name in ("price", "units", "objective")}
        return rows | bounds | {"charged": self.charged, "for_sale": self.for_sale}


def demand_curve(
    spec: MarketSpec, view: MarketView, action: Action, product: int, *, elasticity_error: float | None = None
) -> DemandCurve:
    """The curve of a product in the first market of a view, the other products at the prices
    of the action.

    Unobserved effects are at their mean: no shock and no waiting customers; a hidden regime is
    averaged over. The intervals are those of Poisson or negative binomial demand, as fitted.

    Args:
        product: Number of the product.
        elasticity_error: Standard error of the own-price elasticity. The intervals then include the
            ends of the elasticity's 95% interval, with demand at the regular price fixed.
    """
    charged = float(spec.guardrails.apply(action, view).price[0, product])
    low, high = float(spec.guardrails.low[product]), float(spec.guardrails.high[product])
    asked = _grid(spec, product, low, high)
    coarse = _evaluate(spec, view, action, product, asked)
    best = int(coarse.objective.argmax())
    around = coarse.price[[max(best - 1, 0), min(best + 1, coarse.price.size - 1)]]
    at = _evaluate(spec, view, action, product, np.concatenate([asked, _grid(spec, product, *around), [charged]]))
    error = 0.0 if elasticity_error is None else elasticity_error
    nearest = int(np.abs(at.price - charged).argmin())
    there = bool(for_sale(spec, view)[0, product])
    return DemandCurve(at.price, at.units, _intervals(spec, product, at, error), at.objective, nearest, there)


@dataclass(frozen=True)
class _Points:
    """Allowed prices (G,) with their units and money, as in `DemandCurve`."""

    price: Array
    units: Array
    objective: Array


def for_sale(spec: MarketSpec, view: MarketView) -> NDArray[np.bool_]:
    """(E, N) whether a product can be bought in the period; where it cannot, its price has no meaning."""
    stock = spec.stock
    at_once = (stock.replenishment != "none") & (stock.lead_time_periods == 0)
    return (view.on_hand > 0) | at_once | (stock.shortage == "backlog")


def _grid(spec: MarketSpec, product: int, low: float, high: float) -> Array:
    """Some of the allowed prices from low to high, both ends among them."""
    allowed = spec.guardrails.allowed_prices(product, low, high)
    if allowed is None:
        return np.geomspace(low, high, _POINTS)
    return allowed[np.unique(np.linspace(0, allowed.size - 1, min(allowed.size, _POINTS)).round().astype(int))]


def _evaluate(spec: MarketSpec, view: MarketView, action: Action, product: int, asked: Array) -> _Points:
    """The allowed prices nearest to those `asked`, each once, with their units and money."""
    chances = spec.regime_probabilities(int(view.period[0]) + 1)[-1]
    if view.regime is not None:
        chances = np.eye(chances.size)[view.regime[0]]
    regimes = np.flatnonzero(chances)
    rows = repeated(action, asked.size)
    rows.price[:, product] = asked
    units, money = np.zeros(asked.size), np.zeros(asked.size)
    price = asked
    for regime in regimes:
        market = _market_at(spec, view, int(regime), asked.size)
        seen = market.view
        outcome = market.step(rows)
        price = outcome.list_price[:, product].astype(np.float64)
        units += chances[regime] * _wanted(spec, seen, rows, outcome, (int(regime), product))
        money += chances[regime] * market.money(outcome, expected=True).sum(axis=1, dtype=np.float64)
    price, first = np.unique(price, return_index=True)
    return _Points(price, units[first], money[first])


def repeated(action: Action, count: int) -> Action:
    """The first market's action, repeated for `count` markets."""
    names = ("price", "discount", "recommendation", "promotion", "order", "express")
    parts = {name: getattr(action, name) for name in names}
    given = {name: np.repeat(part[:1], count, axis=0) for name, part in parts.items() if part is not None}
    return replace(action, **given, propensity=None)


def _market_at(spec: MarketSpec, view: MarketView, regime: int, count: int) -> Market:
    """`count` markets in the state of the first market of a view."""
    market = Market(spec, num_markets=count)
    state = market.state
    clock, lanes, context = state.clock.copy(), state.lanes.copy(), state.context.copy()
    clock[PERIOD], clock[REGIME] = view.period[0], regime
    held = {LIST_PRICE: "list_price", REFERENCE_PRICE: "reference_price", ON_HAND: "on_hand", LAST_UNITS: "last_units"}
    for row, name in held.items():
        lanes[row] = getattr(view, name)[0][:, None]
    if len(lanes) > PIPELINE:
        # Its arrival time does not matter: nothing on order can be sold in this period.
        lanes[PIPELINE] = view.on_order[0][:, None]
    context[state.layout.shock] = 0
    if spec.loyalty is not None and view.loyalty is not None:
        context[state.layout.loyalty] = view.loyalty[0][:, None]
    if spec.competitors is not None and view.competitor_price is not None:
        context[state.layout.rival_price] = view.competitor_price[0, spec.competitor_product][:, None]
    market.restore(replace(state, clock=clock, lanes=lanes, context=context))
    return market


def _wanted(spec: MarketSpec, seen: MarketView, rows: Action, outcome: Outcome, which: tuple[int, int]) -> Array:
    """(G,) mean demand at the prices of an outcome. which: regime and product."""
    regime, product = which
    received = outcome.received * (spec.stock.lead_time_periods == 0)
    if spec.express is not None:
        received = received + outcome.express * (spec.express.lead_time_periods == 0)
    there = (seen.on_hand + received > 0) | (spec.stock.shortage == "backlog")
    there[:, product] = True
    given = {
        "reference": seen.reference_price,
        "discount": spec.guardrails.apply(rows, seen).discount if spec.prices.max_discount > 0 else None,
        "shown": outcome.shown if spec.recommendation is not None else None,
        "promoted": outcome.promoted if spec.promotion is not None else None,
        "regime": regime,
        "in_stock": there,
    }
    halves, share = [outcome.rival_price], 1.0
    if spec.competitors is not None and spec.competitors.answers_within_period:
        assert seen.competitor_price is not None, "a market with competitors shows their prices"
        halves.insert(0, seen.competitor_price[:, spec.competitor_product])
        share = 1.0 if spec.arrivals.process == "single" else 0.5
    period, price = int(seen.period[0]), outcome.list_price
    units = share * np.sum([expected_units(spec, period, price, rival_price=half, **given) for half in halves], axis=0)
    if seen.loyalty is not None:
        units = units * seen.loyalty[:, :, None]
    return units[:, :, product].sum(axis=1)


def _intervals(spec: MarketSpec, product: int, at: _Points, elasticity_error: float) -> dict[int, Array]:
    """By level, lower and upper limits of demand (2, G)."""
    away = np.abs(np.log(at.price / spec.products.regular_price[product]))
    factor = np.exp(_NORMAL95 * elasticity_error * away)
    ends = ((-1, at.units / factor), (1, at.units * factor))
    return {
        level: np.stack([_quantile(spec, product, mean, (1 + side * level / 100) / 2) for side, mean in ends])
        for level in _LEVELS
    }


def _quantile(spec: MarketSpec, product: int, mean: Array, share: float) -> Array:
    """(G,) quantile of demand at this probability."""
    if spec.arrivals.process == "single":
        return np.asarray(bernoulli.ppf(share, np.clip(mean, 0, 1)), dtype=np.float64)
    spread = float(spec.arrivals.overdispersion[product])
    if spread == 0:
        return np.asarray(poisson.ppf(share, mean), dtype=np.float64)
    return np.asarray(nbinom.ppf(share, 1 / spread, 1 / (1 + spread * mean)), dtype=np.float64)
