"""What follows from a market description: some of its periods, its choice model, and what its learners maximise."""

from __future__ import annotations

import functools
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing import ChoiceModel
from ..pricing.price_rules.grids import seven_digits
from .sections import SATURATING, Array
from .spec import MarketSpec

_LEAST_OF_NOW = 0.01
_OFF = np.empty(0)


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
            axis = item.metadata.get("shape", "").find("T")
            values = getattr(part, item.name)
            if axis >= 0 and values is not None:
                cut[item.name] = values.take(np.arange(first, first + count), axis=axis)
        if section.name == "past" and spec.plan is not None and first > 0:
            past = spec.past
            over = spec.plan.price[:first]
            cut["price"] = np.concatenate([*([] if past.price is None else [past.price]), over])
            if past.rival_price is not None and past.last_rival_price is not None:
                then = np.broadcast_to(past.last_rival_price, over.shape)
                cut["rival_price"] = np.concatenate([past.rival_price, then])
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
    planned = regular if spec.plan is None else np.asarray(spec.plan.price, dtype=np.float64)
    return seven_digits(planned)


def simulated_prices(spec: MarketSpec, price: Array) -> Array:
    """(…, W, N) prices at which a market sells what it sells at these in its first W periods.

    A frozen product that does not follow the plan is simulated at one price, under every policy, and the demand of a market
    that was fitted by an earlier version holds what the plan makes of its sales: it leaves that price only as far as it
    leaves the plan.

    Args:
        price: (…, W, N) prices that are charged, currency per unit.

    Example:
        >>> from repricer import load_scenario
        >>> simulated_prices(load_scenario("stationary-logit"), np.array([[9.0]]))
        array([[9.]])
    """
    frozen = spec.guardrails.frozen
    plan = spec.plan
    if frozen is None or plan is None or spec.prices.frozen_as_planned:
        return price
    one = spec.guardrails.nearest(spec.initial_price)
    return np.where(frozen, np.maximum(one + price - plan.price[: price.shape[-2]], _LEAST_OF_NOW * one), price)


# The choice model of a scenario, and the probabilities of its regimes.


def _promotion_lift(spec: MarketSpec) -> Array:
    """(K, N) utility of a promotion that is decided, or of a display that goes with a planned deal; (K, 0) for neither."""
    segments = spec.sizes["K"]
    products = spec.sizes["N"]
    if spec.promotion is not None:
        return spec.promotion.lift
    if spec.plan is None or not spec.plan.feature_lift.any():
        return np.empty((segments, 0))
    return np.tile(np.broadcast_to(spec.plan.feature_lift, products), (segments, 1))


@functools.lru_cache(maxsize=32)
def choice_model(spec: MarketSpec) -> ChoiceModel:
    """The choice model of a scenario; it computes demand where the demand family is built in.

    Args:
        spec: the scenario.

    Returns:
        The model, with empty arrays for the sections that are off.

    Example:
        >>> from repricer import load_scenario
        >>> choice_model(load_scenario("stationary-logit")).family
        'mnl'
    """
    demand = spec.demand
    rivals = spec.competitors
    regimes = spec.regimes
    reference = spec.reference_price
    slots = spec.recommendation
    strategic = spec.strategic
    no_pairs = np.empty((spec.sizes["K"], 0))
    curved = demand.price_curvature.any()
    stocked = reference if spec.stocks_up else None
    arrays = {
        "quality": demand.quality,
        "sensitivity": demand.price_sensitivity,
        "curvature": demand.price_curvature if curved else _OFF,
        "regular": spec.products.regular_price if curved or stocked is not None else _OFF,
        "quality_path": demand.quality_path.T[: None if demand.quality_path.any() else 0],
        "rate": spec.arrivals.rate.T,
        "season": demand.season.T,
        "path": demand.sensitivity_path.T,
        "share": spec.arrivals.segment_share,
        "gain": _OFF if reference is None else reference.gain,
        "loss": _OFF if reference is None else reference.loss,
        "units_gain": _OFF if stocked is None else stocked.units_gain,
        "units_loss": _OFF if stocked is None else stocked.units_loss,
        "promotion": _promotion_lift(spec),
        "lift": _OFF if slots is None else np.exp(slots.lift),
        "rival_quality": no_pairs if rivals is None else rivals.quality,
        "rival_sensitivity": no_pairs if rivals is None else rivals.price_sensitivity,
        "regime_utility": _OFF if regimes is None else regimes.utility,
        "regime_sensitivity": _OFF if regimes is None else regimes.sensitivity,
        "regime_arrivals": _OFF if regimes is None else regimes.arrivals,
        "strategic_share": _OFF if strategic is None else strategic.share,
        "patience": _OFF if strategic is None else strategic.patience,
        "nesting": demand.nesting if demand.family == "nested-logit" else _OFF,
        "rivals_regular": spec.initial_rival_price,
        "regime_share": spec.regime_probabilities() if spec.regimes is not None else np.empty((spec.sizes["T"], 0)),
        "overdispersion": spec.arrivals.overdispersion,
    }
    return ChoiceModel(
        family=demand.family,
        linear_reference=reference is not None and reference.scale == "linear",
        saturating_reference=reference is not None and reference.scale == SATURATING,
        single=spec.arrivals.process == "single",
        category=spec.category_index,
        nest=np.empty(0, np.intp) if demand.nest is None else spec.nest_index,
        rival_category=spec.category_index[spec.competitor_product],
        rivals_product=spec.competitor_product,
        **{name: np.array(values, dtype=np.float64, order="C") for name, values in arrays.items()},
    )


# What learners and searches maximise in a market whose revenue must not cost it its profit.


@functools.lru_cache(maxsize=32)
def goal_market(spec: MarketSpec) -> MarketSpec:
    """The market in which prices are searched and learned: revenue less the shadow cost.

    Args:
        spec: The market in which they are then compared.

    Returns:
        The market itself, unless its objective is revenue with a shadow cost; then a market whose
        profit is revenue less the shadow cost of the units sold.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> goal_market(spec) is spec
        True
    """
    if spec.market.objective != "revenue" or not spec.products.shadow_cost.any():
        return spec
    return _costing(spec, spec.products.shadow_cost, "profit")


@functools.lru_cache(maxsize=32)
def floor_market(spec: MarketSpec) -> MarketSpec | None:
    """The market whose profit must not fall while its revenue is maximised.

    Args:
        spec: The market.

    Returns:
        The market with the unit costs of its profit floor and no other costs; None without a floor.

    Example:
        >>> from repricer import load_scenario
        >>> floor_market(load_scenario("stationary-logit")) is None
        True
    """
    if goal_market(spec) is spec or not spec.products.floor_cost.any():
        return None
    return _costing(spec, spec.products.floor_cost, "revenue")


def _costing(spec: MarketSpec, unit_cost: NDArray[np.float64], objective: str) -> MarketSpec:
    """The market with these unit costs in every draw, and no others."""
    free = {"order_cost": 0.0, "holding_cost": 0.0, "lost_sale_cost": 0.0, "backlog_cost": 0.0, "salvage_value": 0.0}
    sections = {
        "market": {"objective": objective},
        "products": {"unit_cost": unit_cost},
        "stock": {name: np.array(value) for name, value in free.items()} | {"cost_due": "sold"},
    }
    if spec.express is not None:
        sections["express"] = {"extra_cost": np.array(0.0), "order_cost": np.array(0.0)}
    if spec.promotion is not None:
        sections["promotion"] = {"cost": np.array(0.0)}
    if spec.posterior is not None:
        sections["posterior"] = {"unit_cost": np.array(1.0)}
    if spec.halves is not None:
        sections["halves"] = {"unit_cost": np.array(1.0)}
    if spec.plan is not None and objective == "profit":
        # What suppliers pay for deals is no revenue.
        sections["plan"] = {"funding": np.array(0.0)}
    if spec.prices.minimum_margin is not None:
        # The prices that are allowed stay those of the market itself.
        least = spec.products.shelf_cost / (1 - spec.prices.minimum_margin)
        sections["prices"] = {"minimum_margin": None, "floor": np.maximum(spec.price_bounds[0], least)}
    return spec.with_changes(**sections)
