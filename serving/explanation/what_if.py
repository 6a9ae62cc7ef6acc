"""Expected sales and money at other prices in a state, by the price response that the bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import Action, ChoiceModel, Guardrails, MarketView
from ..actions import on_sale
from ..bundle.reading import Bundle
from ..market_state import StateError
from ..predictor import PriceAnswer
from .sales_distribution import sales_range

Array = NDArray[np.float64]
GRID, MOST_PRICES = 25, 200
_ORDERS = ("order_units", "express_units")
COVERED = "One period, with the fitted market taken as true: intervals cover sampling noise, not parameter uncertainty."
NOTE = f"{COVERED} Profit is before stock costs."


class NoResponseError(ValueError):
    """The bundle has no price response, since its demand family comes from another package."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval.

    Attributes:
        ci95: The range that contains 95% of such periods.
    """

    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Point:
    """Expected results of one price in this period.

    Attributes:
        price: The price, currency per unit.
        allowed_now: Whether the price rules accept it.
        units: Units sold.
        revenue: Revenue, currency.
        profit: Profit, currency.
        all_products: Revenue and profit of the product's whole category, since a price also moves
            the sales of the other products.
    """

    price: float
    allowed_now: bool
    units: Interval
    revenue: Interval
    profit: Interval
    all_products: dict[str, float]


@dataclass(frozen=True)
class WhatIf:
    """A product's demand curve.

    Attributes:
        product: Name of the product.
        period: The period, from 0.
        date: Its first day; None where the market has no calendar.
        currency: Name of the currency.
        price: The price that the policy gives, currency per unit.
        points: Results by price.
        best: The allowed prices with the most revenue and the most profit.
        note: What the intervals cover.
    """

    product: str
    period: int
    date: str | None
    currency: str
    price: float
    points: list[Point]
    best: dict[str, float | None]
    note: str = NOTE


def what_if(
    bundle: Bundle, view: MarketView, answer: PriceAnswer, product: Any, prices: Sequence[float] | None = None
) -> WhatIf:
    """The curve of one product in one market, the other products at the prices of the answer.

    Args:
        prices: Prices to evaluate, currency per unit; by default a grid over the bounds of
            the price rules.

    Raises:
        StateError: For an unknown product, or prices that are no numbers.
        NoResponseError: For a bundle without a price response.
    """
    response, n = response_of(bundle), product_index(bundle, product)
    grid = _grid(bundle, n) if prices is None else _asked(prices)
    points = _points(bundle, response, view, answer, n, grid)
    allowed = [point for point in points if point.allowed_now]
    best = {
        name: max(allowed, key=lambda point: getattr(point, name).mean).price if allowed else None
        for name in ("revenue", "profit")
    }
    currency = bundle.manifest["scenario"]["currency"]
    return WhatIf(answer.prices[n].product, answer.period, answer.date, currency, answer.prices[n].price, points, best)


def response_of(bundle: Bundle) -> ChoiceModel:
    """The price response. Raises NoResponseError for a bundle without one."""
    if bundle.response is None:
        raise NoResponseError(
            "what-if needs a price response; got a bundle without, as its demand family comes from an extension; "
            "use a built-in demand family"
        )
    return bundle.response


def product_index(bundle: Bundle, product: Any) -> int:
    """The product's number. Raises StateError for an unknown name."""
    if not isinstance(product, str) or product not in bundle.catalogue.products:
        raise StateError(
            f"product must be one of the catalogue's {bundle.catalogue.num_products}; got {str(product)[:80]!r}; "
            "name one of them"
        )
    return bundle.catalogue.products.index(product)


def _asked(prices: Any) -> Array:
    numbers = isinstance(prices, list) and all(isinstance(p, int | float) and not isinstance(p, bool) for p in prices)
    if not numbers or not 0 < len(prices) <= MOST_PRICES or not all(1e-6 <= p <= 1e9 for p in prices):
        raise StateError(f"prices must be 1 to {MOST_PRICES} numbers from 1e-6 to 1e9; got something else; fix them")
    return np.array(prices, dtype=np.float64)


def _grid(bundle: Bundle, n: int) -> Array:
    """Prices from the lowest to the highest that bounds and ladder allow, whatever the current price."""
    rules = bundle.guardrails
    return np.unique(rules.nearest(np.linspace(rules.low, rules.high, GRID))[:, n].round(6))


def _guarded(rules: Guardrails, view: MarketView, answer: PriceAnswer, n: int, prices: Array) -> Array:
    """(B,) prices of one product after the price rules, the other products at the prices of the answer."""
    asked = _prices(answer, n, prices).astype(np.float32)
    return rules.apply(Action(asked), view.take(np.zeros(len(prices), np.intp))).price[:, n].astype(np.float64)


def _prices(answer: PriceAnswer, n: int, prices: Array) -> Array:
    """(B, N) prices with product n at each of these (B,), the others at the prices of the answer."""
    asked = np.tile(np.array([item.price for item in answer.prices]), (len(prices), 1))
    asked[:, n] = prices
    return asked


def _points(
    bundle: Bundle, response: ChoiceModel, view: MarketView, answer: PriceAnswer, n: int, grid: Array
) -> list[Point]:
    own = np.flatnonzero(response.category == response.category[n])
    at = int(np.flatnonzero(own == n)[0])
    mean, paid = expected(response, view, answer, _prices(answer, n, grid), bundle.guardrails.paid_low)
    mean, paid = mean[..., own], paid[..., own]
    stock, units = stock_on_sale(view, answer)[own], mean.sum(axis=1)
    sold = sales_range(units, response.overdispersion[own], stock, single=response.single)
    average = np.where(units > 0, (mean * paid).sum(axis=1) / np.where(units > 0, units, 1), paid.mean(axis=1))
    cost = bundle.guardrails.unit_cost[own]
    revenue, profit = (average * sold.mean).sum(axis=1), ((average - cost) * sold.mean).sum(axis=1)
    guarded = _guarded(bundle.guardrails, view, answer, n, grid)
    return [
        Point(
            price=_short(price),
            allowed_now=bool(np.isclose(price, guarded[b], rtol=1e-5)),
            units=_interval(sold.mean[b, at], sold.low[b, at], sold.high[b, at], 1.0),
            revenue=_interval(sold.mean[b, at], sold.low[b, at], sold.high[b, at], average[b, at]),
            profit=_interval(sold.mean[b, at], sold.low[b, at], sold.high[b, at], average[b, at] - cost[at]),
            all_products={"revenue": _short(revenue[b]), "profit": _short(profit[b])},
        )
        for b, price in enumerate(grid.tolist())
    ]


def expected(
    response: ChoiceModel, view: MarketView, answer: PriceAnswer, price: Array, paid_low: NDArray[np.floating]
) -> tuple[Array, Array]:
    """Mean demand and price paid, (B, K, N) each, at prices (B, N), all else as in the answer.

    Args:
        paid_low: (N,) what a discount leaves to be paid at least, currency per unit.
    """
    catalogue = view.catalogue
    given = np.array([[item.discounts.get(s, 0.0) for s in catalogue.segments] for item in answer.prices])
    discount = np.minimum(given, np.maximum(1 - paid_low / price, 0)[..., None])
    shown = None
    if answer.recommendations:
        places = {name: i for i, name in enumerate(catalogue.products)} | {None: -1}
        shown = np.array([places[answer.recommendations[s]] for s in catalogue.segments])
    mean = response.units(
        answer.period,
        price,
        promoted=[bool(item.promotion) for item in answer.prices],
        reference=view.reference_price[0],
        discount=discount,
        shown=shown,
        regime=None if view.regime is None else int(view.regime[0]),
        rival_price=_rival_prices(response, view),
        loyalty=None if view.loyalty is None else view.loyalty[0],
        in_stock=stock_on_sale(view, answer) > 0,
    )
    return mean, price[:, None, :] * (1 - discount.swapaxes(1, 2))


def stock_on_sale(view: MarketView, answer: PriceAnswer) -> Array:
    """(N,) units that can be sold in the period, with the orders of the answer."""
    orders = [np.array([getattr(item, name) or 0.0 for item in answer.prices]) for name in _ORDERS]
    return on_sale(view, orders)[0].astype(np.float64)


def _rival_prices(response: ChoiceModel, view: MarketView) -> Array | None:
    """(R,) competitors' prices: the lowest of a product is observed, and is assigned to its usually cheapest offer."""
    if view.competitor_price is None:
        return None
    seen = np.minimum(view.competitor_price[0].astype(np.float64), 1e12)[response.rivals_product]
    price = np.maximum(response.rivals_regular, seen)
    for product in np.unique(response.rivals_product):
        offers = np.flatnonzero(response.rivals_product == product)
        price[offers[response.rivals_regular[offers].argmin()]] = seen[offers[0]]
    return price


def _interval(mean: float, low: float, high: float, each: float) -> Interval:
    ends = sorted((_short(low * each), _short(high * each)))
    return Interval(_short(mean * each), (ends[0], ends[1]))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
