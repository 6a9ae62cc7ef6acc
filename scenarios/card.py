"""The card of a market: a description in words of every part that is switched on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import price_section, sections
from .description import MarketDescription

GROUPS = {
    "textbook": "markets from the literature, most of them with a known optimum",
    "benchmarks": "markets for measuring speed",
    "shops": "markets of a real shop's size and kind, with assumed numbers",
}
_FAMILIES = {
    "nested-logit": "nested logit: customers choose a nest of a category's products in stock, or nothing, and then a product",
    "mnl": "multinomial logit over a category's products in stock, its competing offers and the outside option",
    "cheapest": "the cheapest offer of a category is bought, competitors included, with a probability linear in price",
    "exponential": "the purchase probability falls exponentially in price",
    "linear": "the purchase probability falls linearly in price",
    "constant-elasticity": "the purchase probability is a power of the price",
}
_MOST_NAMES = 6
_INDENT = 18


def headline(spec: MarketDescription) -> str:
    """Name, version and sizes, for a line."""
    sizes, market = spec.sizes, spec.market
    parts = [_count(sizes["N"], "product"), _count(market.horizon_periods, market.period)]
    if sizes["K"] > 1:
        parts.insert(1, _count(sizes["K"], "segment"))
    return f"{spec.name}, version {spec.version}: {', '.join(parts)}"


def card(spec: MarketDescription, *, columns: int = 100, known: Mapping[str, str] | None = None) -> str:
    """The whole card.

    Args:
        columns: Width to wrap lines at.
        known: Further entries by heading, placed between the parts and the sources; its optimum,
            for example.
    """
    entries = list((describe(spec) | dict(known or {})).items())
    for heading in ("sources", "traps", "assumptions"):
        entries += [("" if i else heading, line) for i, line in enumerate(getattr(spec, heading))]
    lines = (
        textwrap.fill(f"{heading:<{_INDENT}}{text}", columns, subsequent_indent=" " * _INDENT)
        for heading, text in entries
    )
    return "\n".join([f"{spec.name}, version {spec.version}", spec.summary, "", *lines])


def group(spec: MarketDescription) -> str:
    """Which of `GROUPS` a market belongs to; a textbook market has no assumptions."""
    if spec.name.startswith("bench-"):
        return "benchmarks"
    return "shops" if spec.assumptions else "textbook"


def describe(spec: MarketDescription) -> dict[str, str]:
    """A sentence on every part of a market that is switched on, by heading.

    Example:
        >>> from repricer import load_scenario
        >>> describe(load_scenario("stationary-logit"))["stock"]
        '40 units at the start; never replenished; demand beyond stock is lost'
    """
    period = spec.market.period
    sentences = {
        "market": _market(spec),
        "products": _products(spec),
        "prices": _prices(spec),
        "customers": _customers(spec),
        "demand": _demand(spec),
        "stock": _stock(spec),
        "express": spec.express and _express(spec.express, period),
        "competitors": spec.competitors and _competitors(spec.competitors, spec),
        "promotion": spec.promotion and _promotion(spec.promotion, spec),
        "reference price": spec.reference_price and _reference_price(spec.reference_price, spec),
        "recommendation": spec.recommendation and _recommendation(spec.recommendation),
        "loyalty": spec.loyalty and _loyalty(spec.loyalty),
        "strategic": spec.strategic and _strategic(spec.strategic),
        "regimes": spec.regimes and _regimes(spec.regimes),
        "shocks": spec.shocks and _shocks(spec.shocks),
        "returns": spec.returns and _returns(spec.returns),
        "capacity": spec.capacity and _capacity(spec.capacity),
        "history": spec.history and _history(spec.history),
        "posterior": spec.posterior and _posterior(spec.posterior),
    }
    return {heading: sentence for heading, sentence in sentences.items() if sentence}


def _history(history: price_section.HistorySection) -> str:
    if history.units is None:
        return "the prices that the shop plans for these periods are known"
    return "the shop's own prices and sales in these periods are recorded"


def _span(values: ArrayLike, unit: str = "{:,.6g}") -> str:
    """`3`, or `3 to 5` where values differ."""
    low, high = float(np.min(values)), float(np.max(values))
    return unit.format(low) if low == high else f"{unit.format(low)} to {unit.format(high)}"


def _percent(values: ArrayLike) -> str:
    return _span(100 * np.asarray(values, dtype=np.float64), "{:.4g}") + "%"


def _some(names: Iterable[str]) -> str:
    """The first few names, and the number of the others."""
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMES])} and {more} more"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _market(spec: MarketDescription) -> str:
    market = spec.market
    end = "the season ends there" if market.ending == "terminated" else "the market continues, only the episode ends"
    discount = "" if market.discount_factor == 1 else f", discounted by {market.discount_factor:g} per {market.period}"
    length = _count(market.horizon_periods, market.period)
    if market.first_day:
        length += f" from {market.first_day}"
    return f"{length}; {end}; the reward is {market.objective} in {market.currency}{discount}"


def _products(spec: MarketDescription) -> str:
    products, categories = spec.products, spec.category_names
    kinds = f" in {len(categories)} categories ({_some(categories)})" if len(categories) > 1 else ""
    costs = f", unit costs {_span(products.unit_cost)}" if products.unit_cost.any() else ""
    return (
        f"{len(products.names)}{kinds}: {_some(products.names)}; regular prices {_span(products.regular_price)}{costs}"
    )


def _prices(spec: MarketDescription) -> str:
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
        words.append(f"list prices of at least {_span(prices.minimum_advertised_price)}")
    if prices.max_change is not None:
        words.append(f"changes of at most {_percent(prices.max_change)} per {period}")
    if prices.direction != "any":
        words.append(f"{prices.direction} prices only")
    if prices.max_changes is not None:
        window = _count(prices.change_window_periods or 0, period)
        words.append(f"at most {_count(prices.max_changes, 'change')} of a price in {window}")
    if prices.frozen:
        words.append(f"frozen: {_some(prices.frozen)}")
    if prices.line_order:
        words.append(f"not falling along {_some(' < '.join(map(str, line)) for line in prices.line_order)}")
    if prices.price_gaps:
        pairs = zip(prices.price_gaps, prices.gap_shares, strict=True)
        words.append(f"price gaps: {_some(f'{a} at most {share:g} times {b}' for (a, b), share in pairs)}")
    for bound, share in (("at least", prices.rival_at_least), ("at most", prices.rival_at_most)):
        if share is not None:
            words.append(f"{bound} {_span(share)} times the competing price")
    if prices.max_discount:
        words.append(f"personal discounts up to {_percent(prices.max_discount)}")
    if prices.prior_price_periods is not None:
        words.append(f"a reduction states the lowest price of the {_count(prices.prior_price_periods, period)} before")
    return "; ".join(words)


def _customers(spec: MarketDescription) -> str:
    arrivals, period = spec.arrivals, spec.market.period
    if arrivals.process == "single":
        words = [f"at most one per {period} and category, with probability {_span(arrivals.rate)}"]
    else:
        words = [f"{arrivals.rate.sum(axis=1).mean():,.4g} per {period} on average"]
    if len(arrivals.segments) > 1:
        weight = arrivals.rate.mean(axis=0)
        share = weight @ arrivals.segment_share / max(weight.sum(), 1e-300)
        shares = (f"{name} {part:.0%}" for name, part in zip(arrivals.segments, share, strict=True))
        words.append(f"{len(share)} segments: {_some(shares)}")
    if arrivals.overdispersion.any():
        words.append(f"more dispersed than Poisson (variance of the gamma multiplier {_span(arrivals.overdispersion)})")
    return "; ".join(words)


def _demand(spec: MarketDescription) -> str:
    demand = spec.demand
    words = [_FAMILIES.get(demand.family, f"the purchase probability follows '{demand.family}', from another package")]
    if demand.nest is not None:
        words.append(f"nests: {_some(dict.fromkeys(demand.nest))}")
    if demand.price_curvature.any():
        words.append(f"utility bends in the price (curvature {_span(demand.price_curvature)})")
    if np.ptp(demand.season, axis=0).any() or np.ptp(demand.quality_path, axis=0).any():
        words.append("utilities vary with the season")
    if np.ptp(demand.sensitivity_path, axis=0).any():
        words.append("price sensitivity varies over time")
    return "; ".join(words)


def _periods(count: NDArray[np.float64], period: str) -> str:
    """A number of periods for each product."""
    low, high = int(count.min()), int(count.max())
    return _count(high, period) if low == high else f"{low} to {_count(high, period)}"


def _delivered(lead: NDArray[np.float64], period: str) -> str:
    return f"after {_periods(lead, period)}" if lead.any() else "immediately"


def _stock(spec: MarketDescription) -> str:
    stock, period = spec.stock, spec.market.period
    if np.isinf(stock.initial_units).all():
        return "unlimited"
    lead = _delivered(stock.lead_time_periods, period)
    if stock.delay_probability.any():
        lead += f", each time a {period} later with probability {_span(stock.delay_probability)}"
    orders = {
        "none": "never replenished",
        "order-up-to": f"ordered up to {_span(stock.order_up_to_units)} every {period} by rule, delivered {lead}",
        "action": f"the policy orders at most {_span(stock.max_order_units)} per {period}, delivered {lead}",
    }
    words = [f"{_span(stock.initial_units)} units at the start", orders[stock.replenishment]]
    if stock.season_periods is not None:
        words.append(f"new stock every {_count(stock.season_periods, period)}, leftovers perish")
    words.append("demand beyond stock is " + ("lost" if stock.shortage == "lost" else "backlogged"))
    if stock.spoilage.any():
        words.append(f"{_percent(stock.spoilage)} of it spoils per {period}")
    if stock.salvage_value.any():
        words.append(f"salvage value {_span(stock.salvage_value)} per unit left at the end")
    costs = {
        "order": stock.order_cost,
        "holding": stock.holding_cost,
        "lost sale": stock.lost_sale_cost,
        "backlogged unit": stock.backlog_cost,
    }
    paid = [f"{what} {_span(cost)}" for what, cost in costs.items() if cost.any()]
    return "; ".join([*words, f"costs: {', '.join(paid)}"] if paid else words)


def _express(express: sections.Express, period: str) -> str:
    fixed = express.order_cost
    words = f"the policy also orders at most {_span(express.max_order_units)} per {period} from a faster supplier, "
    words += (
        f"delivered {_delivered(express.lead_time_periods, period)}; each unit costs {_span(express.extra_cost)} more"
    )
    return words + (f", each order {_span(fixed)}" if fixed.any() else "")


def _competitors(rivals: sections.Competitors, spec: MarketDescription) -> str:
    rules = rivals.rule * len(rivals.names) if len(rivals.rule) == 1 else rivals.rule
    rows = zip(rivals.names, spec.competitor_product, rules, strict=True)
    offers = _some(f"{name} against {spec.products.names[n]} ({rule})" for name, n, rule in rows)
    when = "within the period" if rivals.answers_within_period else f"to the previous {spec.market.period}'s prices"
    sellers = len(set(rivals.seller or rivals.names))
    return f"{_count(len(rivals.names), 'offer')} by {_count(sellers, 'seller')}, responding {when}: {offers}"


def _promotion(promotion: sections.Promotion, spec: MarketDescription) -> str:
    most = min(promotion.max_products, len(spec.products.names))
    cost = f", costs {_span(promotion.cost)} per product and {spec.market.period}" if promotion.cost.any() else ""
    return f"at most {_count(most, 'product')} at once; adds {_span(promotion.lift)} to utility{cost}"


def _reference_price(reference: sections.ReferencePrice, spec: MarketDescription) -> str:
    per = "log point" if reference.scale == "log" else "unit of currency"
    units = ""
    if spec.stocks_up:
        gain, loss = _span(reference.units_gain), _span(reference.units_loss)
        units = f"; those who buy take {gain} log units more below it, {loss} fewer above"
    return (
        f"memory {_percent(reference.memory)} per {spec.market.period}; a {per} below the reference price adds "
        f"{_span(reference.gain)} to utility, one above it takes {_span(reference.loss)}{units}"
    )


def _recommendation(shown: sections.RecommendationSection) -> str:
    return f"one product is shown to each segment; being shown adds {_span(shown.lift)} to its utility"


def _loyalty(loyalty: sections.Loyalty) -> str:
    return (
        f"a segment's arrivals vary between {loyalty.low:g} and {loyalty.high:g} times the usual with past prices "
        f"(effect {_span(loyalty.price_effect)}) and stockouts (effect {_span(loyalty.stockout_effect)})"
    )


def _strategic(strategic: sections.Strategic) -> str:
    return f"{_percent(strategic.share)} of a segment may wait for a lower price; patience {_span(strategic.patience)}"


def _regimes(regimes: sections.Regimes) -> str:
    seen = "observed" if regimes.observed else "not observed"
    return f"a Markov chain of {len(regimes.names)} states ({_some(regimes.names)}), {seen} by the policy"


def _shocks(shocks: sections.Shocks) -> str:
    return f"lognormal shocks multiply arrivals; volatility {shocks.volatility:g}, persistence {shocks.persistence:g}"


def _capacity(capacity: sections.Capacity) -> str:
    held = ", ".join(f"{name} {units:g}" for name, units in zip(capacity.names, capacity.units, strict=True))
    return f"products share {held}" + ("; units are added or withdrawn over time" if capacity.added.any() else "")


def _returns(returns: sections.Returns) -> str:
    cost = f"; handling cost {_span(returns.handling_cost)}" if returns.handling_cost.any() else ""
    return f"{_percent(returns.probability)} of units sold are returned{cost}"


def _posterior(posterior: sections.Posterior) -> str:
    deviations = {
        "arrivals": _percent(posterior.arrivals.std(axis=0, dtype=np.float64).round(4)),
        "price sensitivity": _percent(posterior.sensitivity.std(axis=0, dtype=np.float64).round(4)),
        "unit costs": _percent(posterior.unit_cost.std(axis=0, dtype=np.float64).round(4)),
    }
    parts = ", ".join(f"{name} {shown}" for name, shown in deviations.items() if shown != "0%")
    return f"{_count(posterior.draws, 'posterior draw')}: " + (
        f"standard deviation of {parts}" if parts else "all alike"
    )
