"""Why a price, and what others would sell: expected sales and money in a state by the response that the bundle carries,
and sentences for customer service with the figures behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import (
    GAVE_WAY,
    INPUT_GROUPS,
    OUTSIDE_CHARGED,
    Action,
    ChoiceModel,
    MarketView,
    Policy,
    price_contributions,
)
from ..pricing.value_added_tax import without_vat
from ..pricing.wording import money_words, policy_words, rule_words, units_words
from .actions import on_sale
from .bundle.reading import Bundle
from .decision import Decision
from .market_state import StateError
from .predictor import PriceAnswer
from .product_prices import ORDERS, Change, ProductPrice

Array = NDArray[np.float64]
GRID = 25
MOST_PRICES = 200
LEAST_PRICE = 1e-6
"""The lowest price that may be tried, currency per unit."""
MOST_PRICE = 1e9
"""The highest."""
COVERED = "One period, with the fitted market taken as true: intervals cover sampling noise, not parameter uncertainty."
NOTE = f"{COVERED} Profit is before stock costs."
_LOW = 0.025
_HIGH = 0.975
_DEVIATIONS = 12.0
_MOST_TERMS = 20_000


# Expected sales and money at other prices in a state, by the price response that the bundle carries.


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
    n = product_index(bundle, product)
    grid = _grid(bundle, n) if prices is None else _asked(prices)
    points = _points(bundle, view, answer, n, grid)
    allowed = [point for point in points if point.allowed_now]
    best = {name: point and point.price for name in ("revenue", "profit") for point in [_best(allowed, name)]}
    currency = bundle.manifest["scenario"]["currency"]
    item = answer.prices[n]
    return WhatIf(item.product, answer.period, answer.date, currency, item.price, points, best)


def _best(points: list[Point], money: str) -> Point | None:
    return max(points, key=lambda point: getattr(point, money).mean, default=None)


def product_index(bundle: Bundle, product: Any) -> int:
    """The product's number. Raises StateError for an unknown name."""
    if not isinstance(product, str) or product not in bundle.catalogue.products:
        must = f"product must be one of the catalogue's {bundle.catalogue.num_products}"
        raise StateError(f"{must}; got {str(product)[:80]!r}; name one of them")
    return bundle.catalogue.products.index(product)


def _asked(prices: Any) -> Array:
    numbers = isinstance(prices, list) and all(isinstance(p, int | float) and not isinstance(p, bool) for p in prices)
    if not numbers or not 0 < len(prices) <= MOST_PRICES or not all(LEAST_PRICE <= p <= MOST_PRICE for p in prices):
        allowed = f"{MOST_PRICES} numbers from {LEAST_PRICE:g} to {MOST_PRICE:g}"
        raise StateError(f"prices must be 1 to {allowed}; got something else; fix them")
    return np.array(prices, dtype=np.float64)


def _grid(bundle: Bundle, n: int) -> Array:
    """Prices from the lowest to the highest that bounds and ladder allow, whatever the current price."""
    rules = bundle.guardrails
    return np.unique(rules.nearest(np.linspace(rules.low, rules.high, GRID))[:, n].round(6))


def _points(bundle: Bundle, view: MarketView, answer: PriceAnswer, n: int, grid: Array) -> list[Point]:
    response = bundle.response
    if response is None:
        got = "got a bundle without, as its demand family comes from an extension"
        raise NoResponseError(f"what-if needs a price response; {got}; use a built-in demand family")
    own = np.flatnonzero(response.category == response.category[n])
    at = int(np.flatnonzero(own == n)[0])
    rules = bundle.guardrails
    prices = np.tile(np.array([item.price for item in answer.prices]), (len(grid), 1))
    prices[:, n] = grid
    mean, paid = expected(response, view, answer, prices, rules.paid_low)
    mean = mean[..., own]
    paid = paid[..., own]
    stock = stock_on_sale(view, answer)[own]
    units = mean.sum(axis=1)
    sold = sales_range(units, response.overdispersion[own], stock, single=response.single)
    average = np.where(units > 0, (mean * paid).sum(axis=1) / np.where(units > 0, units, 1), paid.mean(axis=1))
    vat = None if bundle.catalogue.vat is None else bundle.catalogue.vat[own]
    net = without_vat(average, vat)
    margin = without_vat(average - rules.unit_cost[own], vat)
    revenue = (net * sold.mean).sum(axis=1)
    profit = (margin * sold.mean).sum(axis=1)
    asked = Action(prices.astype(np.float32))
    views = view.take(np.zeros(len(grid), np.intp))
    allowed = np.isclose(grid, rules.apply(asked, views).price[:, n], rtol=1e-5)
    each = np.stack([np.ones(len(grid)), net[:, at], margin[:, at]], axis=1)
    units = [[float(part[b, at]) for part in sold] for b in range(len(grid))]
    pairs = zip(units, each.tolist(), strict=True)
    figures = [[_interval(*sold_of, each=factor) for factor in factors] for sold_of, factors in pairs]
    whole = [{"revenue": _short(r), "profit": _short(p)} for r, p in zip(revenue, profit, strict=True)]
    return [
        Point(_short(price), bool(ok), *figure, all_products=money)
        for price, ok, figure, money in zip(grid.tolist(), allowed, figures, whole, strict=True)
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
    decided = {"discount": discount, "shown": shown, "promoted": [bool(item.promotion) for item in answer.prices]}
    seen: dict[str, Any] = {"reference": view.reference_price[0], "in_stock": stock_on_sale(view, answer) > 0}
    seen |= {
        "rival_price": _rival_prices(response, view),
        "regime": None if view.regime is None else int(view.regime[0]),
    }
    seen["loyalty"] = None if view.loyalty is None else view.loyalty[0]
    mean = response.units(answer.period, price, **decided, **seen)
    return mean, price[:, None, :] * (1 - discount.swapaxes(1, 2))


def stock_on_sale(view: MarketView, answer: PriceAnswer) -> Array:
    """(N,) units that can be sold in the period, with the orders of the answer."""
    orders = [np.array([getattr(item, name) or 0.0 for item in answer.prices]) for name in ORDERS]
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


# Units sold in a period at a mean demand: mean and interval under limited stock. Needs numpy alone.


class SalesRange(NamedTuple):
    """Units sold, arrays of one shape.

    Attributes:
        mean: Mean.
        low: 2.5% quantile.
        high: 97.5% quantile.
    """

    mean: Array
    low: Array
    high: Array


def sales_range(demand: ArrayLike, overdispersion: ArrayLike, stock: ArrayLike, *, single: bool) -> SalesRange:
    """Distribution of min(D, stock) for a random demand D, elementwise.

    D is Poisson, or negative binomial with overdispersion. Where its range exceeds 20,000 units it
    is approximated as normal.

    Args:
        demand: Mean of D, units.
        overdispersion: Variance of the gamma multiplier of the arrival rate, 0 for Poisson demand.
        stock: Units on hand, infinite for unlimited stock.
        single: Whether at most one customer arrives: D is then 1 with probability `demand`, else 0.

    Example:
        >>> from repricer.serving.explanation import sales_range
        >>> float(sales_range(4.0, 0.0, float("inf"), single=False).mean)
        4.0
    """
    shape = np.broadcast_shapes(np.shape(demand), np.shape(overdispersion), np.shape(stock))
    flat = [np.broadcast_to(np.asarray(x, dtype=np.float64), shape).ravel() for x in (demand, overdispersion, stock)]
    rows = [_one(m, v, s, single) for m, v, s in zip(*flat, strict=True)]
    return SalesRange(*(np.array(column).reshape(shape) for column in zip(*rows, strict=True)))


def _one(mean: float, variance: float, stock: float, single: bool) -> tuple[float, float, float]:
    if mean <= 0 or stock <= 0 or (single and stock < 1):
        return 0.0, 0.0, 0.0
    if single:
        return mean, float(1 - mean < _LOW), float(1 - mean < _HIGH)
    deviation = math.sqrt(mean + variance * mean * mean)
    terms = int(mean + _DEVIATIONS * deviation + 20)
    if terms > _MOST_TERMS:
        return _normal(mean, deviation, stock)
    k = np.arange(terms)
    start = -mean if variance == 0 else -math.log1p(variance * mean) / variance
    ratio = mean * (1 + k * variance) / ((1 + mean * variance) * (k + 1))
    chance = np.exp(start + np.concatenate([[0.0], np.cumsum(np.log(ratio))]))
    below = np.cumsum(chance)
    low, high = (float(np.searchsorted(below, q)) for q in (_LOW, _HIGH))
    # E[min(D, s)] is the sum of P(D > k) over k below s, plus the share of a unit for a fractional
    # stock.
    beyond = np.maximum(1 - below, 0)
    whole = math.floor(min(stock, terms))
    sold = float(beyond[:whole].sum()) + (stock - whole) * float(beyond[whole]) if stock < terms else mean
    return min(sold, mean), min(low, stock), min(high, stock)


def _normal(mean: float, deviation: float, stock: float) -> tuple[float, float, float]:
    demand = NormalDist(mean, deviation)
    low, high = (max(demand.inv_cdf(q), 0.0) for q in (_LOW, _HIGH))
    # E[max(D - s, 0)]
    lost = 0.0 if math.isinf(stock) else (mean - stock) * (1 - demand.cdf(stock)) + deviation**2 * demand.pdf(stock)
    return max(mean - lost, 0.0), min(low, stock), min(high, stock)


# Why this price: sentences for customer service, and the figures behind them.


@dataclass(frozen=True)
class Effect:
    """The contribution of one group of inputs, or of one price rule.

    Attributes:
        cause: Name of the group (`pricing.INPUT_GROUPS`) or of the rule.
        effect: What it adds to the price, currency per unit.
    """

    cause: str
    effect: float


@dataclass(frozen=True)
class Attribution:
    """A price as a sum of contributions, currency per unit.

    Attributes:
        ordinary: The price that the policy proposes in an ordinary market.
        inputs: What each group of inputs adds.
        proposed: The price that the policy proposes: `ordinary` plus the inputs.
        rules: What each price rule adds.
        price: The price given: `proposed` plus the rules.
    """

    ordinary: float
    inputs: list[Effect]
    proposed: float
    rules: list[Effect]
    price: float


@dataclass(frozen=True)
class Explanation:
    """Why a product has its price.

    Attributes:
        product: Name of the product.
        price: The price given, currency per unit.
        policy: Name of the policy.
        sentences: The explanation in words.
        attribution: The price as a sum of contributions; None where the policy gave no number.
        curve: Results at other prices, None without a price response.
        best_alternative: The other allowed price that earns most of the policy's objective
            in this period.
    """

    product: str
    price: float
    policy: str
    sentences: list[str]
    attribution: Attribution | None
    curve: WhatIf | None
    best_alternative: Point | None


def explain_decision(bundle: Bundle, policy: Policy, view: MarketView, decision: Decision, product: Any) -> Explanation:
    """Explain one product's price in a decision.

    Args:
        policy: What gave the answer, with its recurrent state held fixed.
        decision: The answer, with its arm and warnings.

    Raises:
        StateError: For a product that the catalogue does not have.
    """
    n = product_index(bundle, product)
    item = decision.answer.prices[n]
    parts = attribution(policy, view, item, n)
    curve = None if bundle.response is None else what_if(bundle, view, decision.answer, product)
    best = None if curve is None else _alternative(curve, bundle.manifest["objective"])
    sentences = price_reasons(bundle, view, decision, n, parts) + _demand(bundle, view, decision, item, best)
    sentences += [f"Caution: {line}." for line in decision.warnings]
    return Explanation(item.product, item.price, decision.answer.policy, sentences, parts, curve, best)


def price_reasons(bundle: Bundle, view: MarketView, decision: Decision, n: int, parts: Attribution | None) -> list[str]:
    """The sentences of `explain_decision` that a customer may hear: why the price of product n is what it is, without
    what the shop expects to sell and earn.
    """
    item = decision.answer.prices[n]
    money = bundle.manifest["scenario"]["currency"]
    given = ", ".join(f"{segment} {share:.1%}" for segment, share in item.discounts.items() if share)
    headline = _headline(bundle, view, decision.answer, n, money)
    rules = bundle.guardrails
    if rules.follows_plan[n]:
        because = f": {rules.frozen_because[n]}" if rules.frozen_because and rules.frozen_because[n] else ""
        return [headline, f"No policy decides on it, as it keeps its planned price{because}."]
    lines = [headline, _source(bundle, decision), *_inputs(parts, money)]
    lines += [_rule(change, money) for change in item.trail]
    return [*lines, f"Personal discounts: {given}."] if given else lines


def attribution(policy: Policy, view: MarketView, item: ProductPrice, n: int) -> Attribution | None:
    """The price of product n as a sum of contributions; None where the policy gave no number."""
    if item.proposed is None:
        return None
    found = price_contributions(policy, view, n)
    moved = [c for c in item.trail if isinstance(c.before, float) and c.before != c.after]
    rules = [Effect(c.rule, round(c.after - c.before, 6)) for c in moved]
    inputs = [Effect(name, round(effect, 6)) for name, effect in found.inputs.items()]
    return Attribution(round(found.baseline, 6), inputs, item.proposed, rules, item.price)


def _headline(bundle: Bundle, view: MarketView, answer: PriceAnswer, n: int, money: str) -> str:
    item = answer.prices[n]
    start = f" from {answer.date}" if answer.date else ""
    before = float(view.list_price[0, n])
    regular = float(bundle.catalogue.regular_price[n])
    move = "up from" if item.price > before else "down from"
    if _same(item.price, before):
        move = "unchanged from"
    now, before, regular = (money_words(price, money) for price in (item.price, before, regular))
    return f"The price of {item.product} is {now}{start}, {move} {before}; the regular price is {regular}."


def _source(bundle: Bundle, decision: Decision) -> str:
    if decision.arm == "fallback":
        return f"It comes from the fallback rule '{decision.answer.policy}', not from the learned policy."
    holds = bundle.manifest["holds"]
    learned = holds["prices"] == "learned" and not holds["toward_current"]
    what = "the learned policy" if learned else holds["words"]
    return f"It comes from {what} ({policy_words(decision.answer.policy)})."


def _inputs(parts: Attribution | None, money: str) -> list[str]:
    """The largest effects first; effects below a thousandth of the price are left out."""
    if parts is None:
        return ["The policy gave no number, so the price rules kept the current price."]
    sentences = []
    for part in sorted(parts.inputs, key=lambda one: -abs(one.effect)):
        if abs(part.effect) > 1e-3 * parts.ordinary:
            verb = "raised" if part.effect > 0 else "lowered"
            cause = INPUT_GROUPS[part.cause].description
            sentences.append(f"{cause[0].upper()}{cause[1:]} {verb} it by {money_words(abs(part.effect), money)}.")
    if not sentences:
        return [f"The policy proposes {money_words(parts.proposed, money)}, as in an ordinary market."]
    ordinary = f"In an ordinary market it would have proposed {money_words(parts.ordinary, money)}."
    return [ordinary, *sentences, f"So it proposed {money_words(parts.proposed, money)}."]


def _rule(change: Change, money: str) -> str:
    if change.rule == GAVE_WAY:
        return f"Stronger rules leave no price that keeps all: {change.why}."
    if change.rule == OUTSIDE_CHARGED:
        return f"It is {change.why}; hardly any data say how customers respond to it."
    start = f"The rule '{rule_words(change.rule)}'"
    if isinstance(change.before, list):
        return f"{start} cut the personal discounts: {change.why}."
    after = money_words(change.after, money)
    if change.before is None:
        return f"{start} set the price to {after}: {change.why}."
    before = money_words(change.before, money)
    verb = "raised" if change.after > change.before else "lowered"
    if before == after:
        return f"{start} moved it by less than is shown, to {after}: {change.why}."
    return f"{start} {verb} it from {before} to {after}: {change.why}."


def _demand(bundle: Bundle, view: MarketView, decision: Decision, item: ProductPrice, best: Point | None) -> list[str]:
    if bundle.response is None:
        return ["This bundle carries no price response, so no sales can be predicted."]
    here = what_if(bundle, view, decision.answer, item.product, [item.price]).points[0]
    units, low, high = map(units_words, (here.units.mean, *here.units.ci95))
    money = bundle.manifest["scenario"]["currency"]
    goal = bundle.manifest["objective"]
    revenue = money_words(here.revenue.mean, money)
    profit = money_words(here.profit.mean, money)
    sold = f"about {units} units are expected this period (95% of such periods: {low} to {high})"
    sentence = f"At this price {sold}, for {revenue} of revenue and {profit} of profit."
    if best is None:
        return [sentence]
    gain = getattr(best, goal).mean - getattr(here, goal).mean
    other = f"The best other allowed price for this period alone is {money_words(best.price, money)}"
    compare = f"with {money_words(abs(gain), money)} {'more' if gain > 0 else 'less'} {goal}"
    return [sentence, f"{other}, {compare}; the policy also takes later periods into account."]


def _alternative(curve: WhatIf, objective: str) -> Point | None:
    others = [point for point in curve.points if point.allowed_now and not _same(point.price, curve.price)]
    return _best(others, objective)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * max(one, other)
