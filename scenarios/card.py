"""A market in words: what its card says of the parts that are on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from .spec import MarketSpec

GROUPS = {
    "textbook": "markets of the literature, most with a known optimum",
    "benchmarks": "markets that speed is measured on",
    "shops": "markets of the size and kind of a shop's, every number assumed",
}
_FAMILIES = {
    "mnl": "multinomial logit: customers weigh what is in stock in a category, rival offers and leaving",
    "cheapest": "the cheapest offer of a category is bought, rivals included, or none; chances fall linearly in price",
    "exponential": "the chance of a sale falls exponentially in price",
    "linear": "the chance of a sale falls linearly in price",
    "constant-elasticity": "the chance of a sale is a power of the price",
}
_MOST_NAMES = 6


def group(spec: MarketSpec) -> str:
    """Which of `GROUPS` a market belongs to: a textbook market assumes nothing, its numbers are published."""
    if spec.name.startswith("bench-"):
        return "benchmarks"
    return "shops" if spec.assumptions else "textbook"


def describe(spec: MarketSpec) -> dict[str, str]:
    """The parts of a market that are on, each in a sentence, by heading."""
    sentences = {
        "market": _market(spec),
        "products": _products(spec),
        "prices": _prices(spec),
        "customers": _customers(spec),
        "demand": _demand(spec),
        "stock": _stock(spec),
        "competitors": _competitors(spec),
        "promotion": _promotion(spec),
        "reference price": _reference_price(spec),
        "recommendation": _recommendation(spec),
        "loyalty": _loyalty(spec),
        "strategic": _strategic(spec),
        "regimes": _regimes(spec),
        "shocks": _shocks(spec),
        "returns": _returns(spec),
        "history": "" if spec.history is None else "what the shop charged and sold in these periods is known",
    }
    return {heading: sentence for heading, sentence in sentences.items() if sentence}


def _span(values: ArrayLike, unit: str = "{:,.6g}") -> str:
    """`3`, or `3 to 5` where values differ."""
    low, high = float(np.min(values)), float(np.max(values))
    return unit.format(low) if low == high else f"{unit.format(low)} to {unit.format(high)}"


def _percent(values: ArrayLike) -> str:
    return _span(100 * np.asarray(values, dtype=np.float64), "{:.4g}") + "%"


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _market(spec: MarketSpec) -> str:
    market = spec.market
    end = "the season is over then" if market.ending == "terminated" else "the market goes on, only the episode stops"
    discount = "" if market.discount_factor == 1 else f", discounted by {market.discount_factor:g} a {market.period}"
    length = _count(market.horizon_periods, market.period)
    return f"{length}; {end}; the reward is {market.objective} in {market.currency}{discount}"


def _products(spec: MarketSpec) -> str:
    products, categories = spec.products, spec.category_names
    kinds = f" in {len(categories)} categories ({_some(categories)})" if len(categories) > 1 else ""
    costs = f", unit costs {_span(products.unit_cost)}" if products.unit_cost.any() else ""
    return (
        f"{len(products.names)}{kinds}: {_some(products.names)}; regular prices {_span(products.regular_price)}{costs}"
    )


def _prices(spec: MarketSpec) -> str:
    prices, period = spec.prices, spec.market.period
    low, high = spec.price_bounds
    regular = spec.products.regular_price
    words = [f"between {(low / regular).min():.0%} and {(high / regular).max():.0%} of the regular price"]
    if len(regular) == 1:
        words = [f"between {low[0]:g} and {high[0]:g}"]
    if prices.price_ladder is not None:
        steps = prices.price_ladder.steps
        words = [f"a ladder of {_count(len(steps), 'price')} from {steps[0]:g} to {steps[-1]:g}"]
    if prices.tick is not None:
        words.append(f"multiples of {prices.tick:g}")
    if prices.price_endings is not None:
        words.append(f"ending in {' or '.join(f'{fraction:g}' for fraction in prices.price_endings.fractions)}")
    if prices.minimum_margin is not None:
        words.append(f"a margin of at least {_percent(prices.minimum_margin)}")
    if prices.minimum_advertised_price is not None:
        words.append(f"advertised for at least {_span(prices.minimum_advertised_price)}")
    if prices.max_change is not None:
        words.append(f"changes of at most {_percent(prices.max_change)} a {period}")
    if prices.max_changes is not None:
        window = _count(prices.change_window_periods or 0, period)
        words.append(f"at most {_count(prices.max_changes, 'change')} of a price in {window}")
    if prices.frozen:
        words.append(f"frozen: {_some(prices.frozen)}")
    if prices.line_order:
        words.append(f"never falling along {_some(' < '.join(map(str, line)) for line in prices.line_order)}")
    if prices.max_discount:
        words.append(f"personal discounts up to {_percent(prices.max_discount)}")
    if prices.prior_price_periods is not None:
        words.append(f"a reduction carries the lowest price of {_count(prices.prior_price_periods, period)} before")
    return "; ".join(words)


def _customers(spec: MarketSpec) -> str:
    arrivals, period = spec.arrivals, spec.market.period
    if arrivals.process == "single":
        words = [f"at most one a {period} and category, with probability {_span(arrivals.rate)}"]
    else:
        words = [f"{arrivals.rate.sum(axis=1).mean():,.4g} a {period} on average"]
    if len(arrivals.segments) > 1:
        weight = arrivals.rate.mean(axis=0)
        share = weight @ arrivals.segment_share / max(weight.sum(), 1e-300)
        shares = (f"{name} {part:.0%}" for name, part in zip(arrivals.segments, share, strict=True))
        words.append(f"{len(share)} segments: {_some(shares)}")
    if arrivals.overdispersion.any():
        words.append(f"more spread than Poisson (variance of the gamma multiplier {_span(arrivals.overdispersion)})")
    return "; ".join(words)


def _demand(spec: MarketSpec) -> str:
    demand = spec.demand
    words = [_FAMILIES.get(demand.family, f"the chance of a sale follows '{demand.family}', of another package")]
    if np.ptp(demand.season, axis=0).any() or np.ptp(demand.quality_path, axis=0).any():
        words.append("what they like moves with the season")
    if np.ptp(demand.sensitivity_path, axis=0).any():
        words.append("what they can pay moves with time")
    return "; ".join(words)


def _stock(spec: MarketSpec) -> str:
    stock, period = spec.stock, spec.market.period
    if np.isinf(stock.initial_units).all():
        return "unlimited"
    lead = "at once" if stock.lead_time_periods == 0 else f"after {_count(stock.lead_time_periods, period)}"
    orders = {
        "none": "never replenished",
        "order-up-to": f"ordered every {period} by rule, up to {_span(stock.order_up_to_units)}, delivered {lead}",
        "action": f"the policy orders up to {_span(stock.max_order_units)} a {period}, delivered {lead}",
    }
    words = [f"{_span(stock.initial_units)} units at the start", orders[stock.replenishment]]
    if stock.season_periods is not None:
        words.append(f"a fresh stock every {_count(stock.season_periods, period)}, what is left perishes")
    words.append("demand beyond it is lost" if stock.shortage == "lost" else "demand beyond it waits")
    if stock.spoilage.any():
        words.append(f"{_percent(stock.spoilage)} of it spoils a {period}")
    if stock.salvage_value.any():
        words.append(f"a unit left at the end brings {_span(stock.salvage_value)}")
    costs = {
        "ordering": stock.order_cost,
        "holding": stock.holding_cost,
        "a lost sale": stock.lost_sale_cost,
        "a waiting unit": stock.backlog_cost,
    }
    paid = [f"{what} {_span(cost)}" for what, cost in costs.items() if cost.any()]
    return "; ".join([*words, f"costs: {', '.join(paid)}"] if paid else words)


def _competitors(spec: MarketSpec) -> str:
    rivals = spec.competitors
    if rivals is None:
        return ""
    rules = rivals.rule * len(rivals.names) if len(rivals.rule) == 1 else rivals.rule
    rows = zip(rivals.names, spec.competitor_product, rules, strict=True)
    offers = _some(f"{name} against {spec.products.names[n]} ({rule})" for name, n, rule in rows)
    when = "within the period" if rivals.answers_within_period else f"to the last {spec.market.period}'s prices"
    sellers = len(set(rivals.seller or rivals.names))
    return f"{_count(len(rivals.names), 'offer')} of {_count(sellers, 'seller')}, answering {when}: {offers}"


def _promotion(spec: MarketSpec) -> str:
    promotion = spec.promotion
    if promotion is None:
        return ""
    most = min(promotion.max_products, len(spec.products.names))
    cost = f", costs {_span(promotion.cost)} a product and {spec.market.period}" if promotion.cost.any() else ""
    return f"on {_count(most, 'product')} at most, adds {_span(promotion.lift)} to utility{cost}"


def _reference_price(spec: MarketSpec) -> str:
    reference = spec.reference_price
    if reference is None:
        return ""
    per = "log point" if reference.scale == "log" else "unit of currency"
    return (
        f"customers keep {_percent(reference.memory)} of the price they remember; a {per} below it adds "
        f"{_span(reference.gain)} to utility, one above takes {_span(reference.loss)}"
    )


def _recommendation(spec: MarketSpec) -> str:
    shown = spec.recommendation
    if shown is None:
        return ""
    return f"one product is shown to each segment, which adds {_span(shown.lift)} to its utility"


def _loyalty(spec: MarketSpec) -> str:
    loyalty = spec.loyalty
    if loyalty is None:
        return ""
    return (
        f"segments come more or less often, {loyalty.low:g} to {loyalty.high:g} times, by past prices "
        f"(effect {_span(loyalty.price_effect)}) and empty shelves ({_span(loyalty.stockout_effect)})"
    )


def _strategic(spec: MarketSpec) -> str:
    strategic = spec.strategic
    if strategic is None:
        return ""
    return f"{_percent(strategic.share)} of a segment may wait for a lower price, with patience {_span(strategic.patience)}"


def _regimes(spec: MarketSpec) -> str:
    regimes = spec.regimes
    if regimes is None:
        return ""
    seen = "seen" if regimes.observed else "not seen"
    return f"a Markov chain of {len(regimes.names)} states ({_some(regimes.names)}), {seen} by the policy"


def _shocks(spec: MarketSpec) -> str:
    shocks = spec.shocks
    if shocks is None:
        return ""
    return f"arrivals are multiplied by lognormal shocks, deviation {shocks.volatility:g}, persistence {shocks.persistence:g}"


def _returns(spec: MarketSpec) -> str:
    returns = spec.returns
    if returns is None:
        return ""
    cost = f", each costs {_span(returns.handling_cost)}" if returns.handling_cost.any() else ""
    return f"{_percent(returns.probability)} of units sold come back{cost}"
