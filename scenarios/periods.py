"""Some periods of a market, and what is planned in them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from .price_section import HistorySection
from .sections import Array
from .spec import MarketSpec

_LEAST = 0.01


def periods_of(spec: MarketSpec, first: int, count: int) -> MarketSpec:
    """The market of some consecutive periods; its calendar moves with them.

    Args:
        first: Number of the first period, from 0.
        count: Number of periods; first + count is at most T.

    Example:
        >>> from repricer import load_scenario
        >>> part = periods_of(load_scenario("low-before-high"), 18, 4)
        >>> part.market.horizon_periods, part.demand.season.shape
        (4, (4, 1))
    """
    parts: dict[str, Any] = {}
    for section in fields(spec):
        part = getattr(spec, section.name)
        if not is_dataclass(part) or isinstance(part, type):
            continue
        cut = {}
        for item in fields(part):
            axis, values = item.metadata.get("shape", "").find("T"), getattr(part, item.name)
            if axis >= 0 and values is not None:
                cut[item.name] = values.take(np.arange(first, first + count), axis=axis)
        if isinstance(part, HistorySection) and first > 0:
            earlier = [] if part.past_price is None else [part.past_price]
            cut["past_price"] = np.concatenate([*earlier, part.price[:first]])
        if section.name == "regimes":
            cut["initial"] = spec.regime_probabilities(first + 1)[-1]
        parts[section.name] = replace(part, **cut)
    calendar = spec.calendar
    day = spec.market.first_day if calendar is None else calendar.label(first)
    parts["market"] = replace(spec.market, horizon_periods=count, first_day=day)
    return replace(spec, **parts)


def planned_prices(spec: MarketSpec) -> Array:
    """(T, N) what the shop charges anyway, with seven digits: its own prices where the market has
    them, else regular ones.

    Example:
        >>> from repricer import load_scenario
        >>> planned_prices(load_scenario("stationary-logit")).shape
        (30, 1)
    """
    regular = np.tile(spec.products.regular_price, (spec.market.horizon_periods, 1))
    planned = regular if spec.history is None else np.asarray(spec.history.price, dtype=np.float64)
    return np.array([[float(f"{price:.7g}") for price in row] for row in planned.tolist()])


def simulated_prices(spec: MarketSpec, price: Array) -> Array:
    """(W, N) prices at which a market sells what it sells at these in its first W periods.

    A frozen product is simulated at one price, under every policy, and the demand of a fitted market holds what the
    plan makes of its sales: it leaves that price only as far as it leaves the plan.

    Args:
        price: (W, N) prices that are charged, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> simulated_prices(load_scenario("stationary-logit"), np.array([[9.0]]))
        array([[9.]])
    """
    frozen, history = spec.guardrails.frozen, spec.history
    if frozen is None or history is None:
        return price
    one = spec.guardrails.nearest(spec.initial_price)
    return np.where(frozen, np.maximum(one + price - history.price[: len(price)], _LEAST * one), price)


def reference_path(spec: MarketSpec, price: Array) -> Array:
    """(…, W, N) what customers remember before each period of a course of prices.

    A fitted market takes a product whose prices are all lower than planned for one whose regular price is lower: customers
    are used to it, as only temporary reductions, which a shop announces, draw the buyers of a deal. What they remember
    at first is therefore the regular price in proportion to the highest price of the course.

    Args:
        price: (…, W, N) prices as the market simulates them, from the first period on, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> reference_path(spec, np.array([[9.0], [8.0]])).ravel().tolist()
        [11.0, 11.0]
    """
    memory = 1.0 if spec.reference_price is None else spec.reference_price.memory
    found = np.empty(price.shape)
    found[..., 0, :] = usual_reference(spec, price.max(axis=-2))
    for t in range(1, price.shape[-2]):
        found[..., t, :] = memory * found[..., t - 1, :] + (1 - memory) * price[..., t - 1, :]
    return found


def usual_reference(spec: MarketSpec, highest: Array) -> Array:
    """(…, N) what customers remember before the first period if the highest price of a course is this one."""
    if spec.reference_price is None or spec.history is None:
        return np.broadcast_to(spec.initial_reference, highest.shape)
    planned = simulated_prices(spec, planned_prices(spec)).max(axis=0)
    return spec.initial_reference * np.minimum(1.0, highest / planned)
