"""From fitted models to a market: forecasts become arrivals, elasticities utilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.schema import COMPETITOR_PRICE
from ..data.weeks import WEEK
from ..forecasting import replenishment_levels
from ..pricing import choice_shares, felt_price, matching_utility
from ..pricing.choice_formulas import gap_effect, reference_gap, stocking_price
from ..pricing.price_rules.grids import PriceGrid
from ..pricing.price_rules.rule_formulas import in_order
from ..pricing.value_added_tax import without_vat
from ..scenarios import MarketSpec
from ..scenarios.price_section import Prices
from ..scenarios.sections import (
    SATURATING,
    Arrivals,
    DemandSection,
    MarketSection,
    Products,
    PromotionSection,
    RecommendationSection,
    ReferencePrice,
    Stock,
)
from ..scenarios.shop_sections import EvidenceSection, PastSection, PlanSection
from .assumptions import Assumptions, unit_costs
from .demand import DemandAtRegular, FittedDemand
from .fitted_models import ChargedPrices, FittedModels
from .posterior_section import halves_section, posterior_section
from .price_index import index_rules
from .shop_rules import ShopRules

Array = NDArray[np.float64]
_TICK = 0.01
_GRID_KEYS = ("price_ladder", "tick", "price_endings")
BY_RULE = "your rule keeps it"
"""Why a product keeps its price that the shop froze."""
_RIVAL_KEYS = ("rival_at_least", "rival_at_most")


def build_market(
    models: FittedModels,
    *,
    name: str,
    assumptions: Assumptions,
    objective: str = "profit",
    period: str = "week",
    currency: str = "currency",
    seed: int = 0,
) -> MarketSpec:
    """The market with the forecast sales at planned prices, and the fitted price response.

    Args:
        models: The fitted models.
        name: Name of the market, lower-case words joined by dashes.
        assumptions: What the models do not say.
        objective: What the market rewards, revenue or profit.
        period: What a period is called.
        currency: Unit of money, for display.
        seed: Seed of the draws of what is assumed.

    Example:
        >>> spec = build_market(models, name="my-shop", assumptions=Assumptions(max_discount=0.1))  # doctest: +SKIP
    """
    demand = models.demand
    now = demand.at_regular(models.forecast.mean(axis=0), models.weeks)
    products = _products(models, assumptions)
    personal = models.affinity is not None
    prices = _prices(models, products.names, personal, assumptions)
    promotion = _promotion(models, products, assumptions)
    arrivals, choice = _arrivals_and_choice(models, now, promotion)
    shown = demand.usual_display
    silent = [why is not None for why in models.unidentified or [None] * len(products.names)]
    unidentified = tuple(np.array(products.names)[silent].tolist())
    not_priced = zip(products.names, models.not_priced, strict=True)
    assumed = assumptions.lines(
        models.products.assign(name=list(products.names)),
        customers=personal,
        exposure_effect=None if shown is None else _usual(shown),
        promoted=None if promotion is None else int(promotion.max_products),
        held={name: why for name, why in not_priced if why is not None},
        period=period,
    )
    return MarketSpec(
        name=name,
        version=1,
        summary=f"{len(products.names)} products in {len(demand.names)} categories, fitted on a shop's own sales.",
        sources=("fitted by `repricer fit`",),
        assumptions=models.plan + assumed + contradictions(models, assumptions),
        market=MarketSection(
            horizon_periods=len(models.forecast),
            period=period,
            first_day=f"{models.first_day:%Y-%m-%d}",
            currency=currency,
            objective=objective,
            # Weeks to come are a window on a shop that goes on: nothing must be sold out or put off to their end.
            ending="truncated" if models.to_come else "terminated",
        ),
        products=products,
        arrivals=arrivals,
        demand=choice,
        reference_price=_reference(demand),
        recommendation=_recommendation(models, assumptions),
        stock=_stock(models, products.unit_cost, assumptions),
        shocks=models.shocks,
        prices=prices,
        promotion=promotion,
        law=assumptions.rules.law_section(models.products, products.names),
        plan=PlanSection(
            price=models.current_price,
            units=models.sold_units,
            promotion=np.array(0.0) if models.current_promotion is None else models.current_promotion,
        ),
        past=PastSection(
            price=models.past_price,
            charged_low=models.charged[0],
            charged_high=models.charged[1],
            level_low=models.levels[0],
            level_high=models.levels[1],
        ),
        evidence=EvidenceSection(unidentified=unidentified),
        fairness=models.protected,
        posterior=posterior_section(models, now, promotion is not None, assumptions, seed),
        halves=halves_section(models, now, promotion is not None, assumptions, seed),
    )


def check_rules(assumptions: Assumptions, *charged: ChargedPrices) -> None:
    """Check that the price rules leave every product a price, which needs nothing that is fitted.

    Args:
        assumptions: What the rules do not say, and the rules.
        charged: What the shop charged, until one or several days.

    Raises:
        ScenarioError: They leave one none.
    """
    for prices in charged:
        products = _products(prices, assumptions)
        rules = _prices(prices, products.names, False, assumptions)
        MarketSpec(
            name="rules",
            version=1,
            summary="The price rules in a market of any demand.",
            market=MarketSection(horizon_periods=1, period="week"),
            products=products,
            arrivals=Arrivals(rate=np.array(1.0)),
            demand=DemandSection(quality=np.array(0.0), price_sensitivity=np.array(1.0)),
            # Without a plan, no price follows it.
            prices=replace(rules, frozen_as_planned=False),
            law=assumptions.rules.law_section(prices.products, products.names),
        )


def _arrivals_and_choice(
    models: FittedModels, now: DemandAtRegular, promotion: PromotionSection | None
) -> tuple[Arrivals, DemandSection]:
    """Customers and their choice: at planned prices and promotions, they buy the forecasts.

    The number of customers of a week follows from the category's forecast and the share of customers who buy by the
    demand model. How these choose between the products is then matched to the forecasts of the products.
    """
    category = models.demand.category
    share = models.demand.segment_share
    utility = now.utility[0]
    sensitivity = now.sensitivity[0]
    added, log_units_each = _at_plan(models, sensitivity, promotion)
    # (T, N) customers who buy: fewer than the units forecast where deals make them buy more at a time.
    buyers = models.planned / np.exp(log_units_each)
    at_plan = utility + added
    outside = np.einsum("ck,tkc->tc", share, choice_shares(at_plan, category).outside)
    buyers_by_category = buyers @ np.eye(category.max() + 1)[category]
    rate = buyers_by_category / (1 - outside)
    path = matching_utility(buyers / rate[:, category], at_plan, share, category)
    quality = utility + sensitivity * models.regular_price
    return (
        Arrivals(rate=rate, segments=models.segments, segment_share=share, overdispersion=models.overdispersion),
        DemandSection(
            quality=quality,
            price_sensitivity=sensitivity,
            quality_path=path,
            price_curvature=np.array(models.demand.curvature),
        ),
    )


def _products(models: ChargedPrices, assumptions: Assumptions) -> Products:
    known = unit_costs(models.products).to_numpy(dtype=float)
    vat = assumptions.vat_of(models.products)
    assumed = assumptions.cost_share(models.products) * without_vat(models.regular_price, vat)
    return Products(
        names=tuple(unique_names(models.products)),
        ids=tuple(map(str, models.products["product"])),
        regular_price=models.regular_price,
        category=tuple(models.products["category"]),
        unit_cost=np.where(np.isnan(known), assumed, known),
        vat=vat,
    )


def price_range(models: ChargedPrices, assumptions: Assumptions) -> tuple[Array, Array]:
    """(N,) lowest and highest prices: around what the shop charged, with the regular price inside.

    A rule on the competing price comes before what was charged, and gives way to the shop's own `floor` and `ceiling`, the
    minimum margin and the minimum advertised price, unless `rival_price` has the higher priority.

    Args:
        models: What the shop charged.
        assumptions: How far prices may leave what was charged, and the bounds beyond that.
    """
    regular, (low, high) = models.regular_price, models.charged

    def rule(key: str, default: float | None) -> Array:
        return assumptions.rules.values(key, models.products, np.nan if default is None else default)

    floor = rule("lowest_price", assumptions.lowest_price) * regular
    ceiling = rule("highest_price", assumptions.highest_price) * regular
    widening = rule("widening", assumptions.price_widening)
    band = rule("band", None)
    floor = np.where(np.isnan(widening), floor, np.clip(low * (1 - widening), floor, regular))
    ceiling = np.where(np.isnan(widening), ceiling, np.clip(high * (1 + widening), regular, ceiling))
    # Of NaN and a number, fmax and fmin take the number.
    floor = np.fmax(floor, (1 - band) * regular)
    ceiling = np.fmin(ceiling, (1 + band) * regular)
    own_floor = rule("floor", None)
    own_ceiling = rule("ceiling", None)
    own = (
        np.where(np.isnan(own_floor), np.fmin(floor, own_ceiling), own_floor),
        np.where(np.isnan(own_ceiling), np.fmax(ceiling, own_floor), own_ceiling),
    )
    least, most = _rival_bounds(models, assumptions)
    # A competing price holds as far as stronger rules let it.
    least_prices = _least_prices(models, assumptions) | {"floor": own_floor}
    order = in_order(assumptions.rules.priority)
    for rule_name in reversed(order[: order.index("rival_price")]):
        if rule_name in least_prices:
            bound = np.nan_to_num(least_prices[rule_name])
            least = np.maximum(least, bound)
            most = np.maximum(most, bound)
        elif rule_name == "ceiling":
            bound = np.nan_to_num(own_ceiling, nan=np.inf)
            least = np.minimum(least, bound)
            most = np.minimum(most, bound)
    floor, ceiling = (np.where(own_floor > own_ceiling, end, np.fmin(np.fmax(end, least), most)) for end in own)
    return floor, ceiling


def _least_prices(models: ChargedPrices, assumptions: Assumptions) -> dict[str, Array]:
    """(N,) lowest prices by the minimum margin and the minimum advertised price, NaN where there is none."""
    margin = assumptions.rules.prices.get("minimum_margin")
    lowest = np.full(models.regular_price.shape, np.nan)
    if margin is not None:
        lowest = _products(models, assumptions).shelf_cost / (1 - margin)
    advertised = assumptions.rules.values("minimum_advertised_price", models.products, np.nan)
    found = {"minimum_margin": lowest, "minimum_advertised_price": advertised}
    return {rule: _on_grid(bound, assumptions.rules, up=True) for rule, bound in found.items()}


def _rival_bounds(models: ChargedPrices, assumptions: Assumptions) -> tuple[Array, Array]:
    """(N,) lowest and highest price by the shares of competing prices, NaN where none is known."""
    nothing = np.full(models.regular_price.shape, np.nan)
    theirs = models.products.get(COMPETITOR_PRICE, pd.Series(nothing)).to_numpy(dtype=float)
    least, most = (assumptions.rules.values(key, models.products, np.nan) * theirs for key in _RIVAL_KEYS)
    return _on_grid(least, assumptions.rules, up=True), _on_grid(most, assumptions.rules, up=False)


def contradictions(models: ChargedPrices, assumptions: Assumptions) -> tuple[str, ...]:
    """Which rules on a product's price stronger ones leave no price for, and by how much it misses them, and bounds of the
    basket index that have nothing to compare with.

    Args:
        models: What the shop charged.
        assumptions: The shop's rules.
    """
    low, high = price_range(models, assumptions)
    order = in_order(assumptions.rules.priority)
    for bound in (_least_prices(models, assumptions).get(rule) for rule in order[: order.index("rival_price")]):
        if bound is not None:
            low = np.fmax(low, bound)
            high = np.fmax(high, bound)
    band = assumptions.rules.values("band", models.products, np.nan) * models.regular_price
    own = (assumptions.rules.values(key, models.products, np.nan) for key in ("floor", "ceiling"))
    asked = {"the competing price": _rival_bounds(models, assumptions), "floor and ceiling": tuple(own)}
    asked["band"] = models.regular_price - band, models.regular_price + band
    lines = []
    for rule, (least, most) in asked.items():
        missed = np.fmax(np.fmax(least - high, low - most), 0)
        for n in np.flatnonzero(missed > _TICK / 2):
            name = unique_names(models.products).iloc[n]
            lines.append(f"'{name}' cannot keep the rule on {rule}: stronger rules leave it {missed[n]:.2f} away.")
    known = index_rules(assumptions.rules.index, models.products).get("index_names", ())
    for key, bound in vars(assumptions.rules.index).items():
        if bound is not None and (name := key.removesuffix("_at_most")) not in known:
            lines.append(f"Without effect is the bound on the basket index against {name}: no price of it is known.")
    return tuple(lines)


def _on_grid(bound: NDArray[Any], rules: ShopRules, *, up: bool) -> Array:
    """Bounds at a price that the shop uses, since one that contradicts another becomes the only price; NaN stays."""
    grid = PriceGrid.of(*map(_grid(rules).get, _GRID_KEYS))
    price = grid.rounded(np.nan_to_num(bound, nan=1.0), up=up)
    return np.where(np.isnan(bound) | np.isnan(price), bound, price)


def _grid(rules: ShopRules) -> dict[str, Any]:
    """The grid of prices that the shop names, or cents."""
    return {key: rules.prices[key] for key in _GRID_KEYS if key in rules.prices} or {"tick": _TICK}


def reasons_held(models: ChargedPrices, assumptions: Assumptions) -> list[str | None]:
    """N reasons for which a product keeps its planned prices, clauses; None for one that is priced.

    Args:
        models: What the shop charged and, where known, whose response the sales identify.
        assumptions: The shop's rules, which may freeze a price.
    """
    frozen = assumptions.rules.values("frozen", models.products, False).astype(bool)
    return [BY_RULE if ruled else why for ruled, why in zip(frozen, models.not_priced, strict=True)]


def _prices(models: ChargedPrices, names: tuple[str, ...], personal: bool, assumptions: Assumptions) -> Prices:
    """The price rules; a product that is not priced, or that the shop froze, keeps its planned prices."""
    floor, ceiling = price_range(models, assumptions)
    rules = assumptions.rules
    # Products of which a rule of the shop says what they may cost, or that their price stays, have bounds of its own.
    own = rules.values("frozen", models.products, False).astype(bool)
    for key in ("floor", "ceiling", "lowest_price", "highest_price", "band", "rival_at_least", "rival_at_most"):
        own |= ~np.isnan(rules.values(key, models.products, np.nan).astype(float))
    # Before anything is fitted, there are no groups to compare.
    free = {} if isinstance(models, FittedModels) and models.protected is not None else {"max_group_spread": 1.0}
    advertised = rules.values("minimum_advertised_price", models.products, 0.0)
    reasons = reasons_held(models, assumptions)
    because = {name: why for name, why in zip(names, reasons, strict=True) if why is not None}
    if isinstance(models, FittedModels):
        # What is planned was charged, or is the shop's own will: no quantile of the past forbids it.
        floor = np.where(own, floor, np.fmin(floor, models.current_price.min(axis=0)))
        ceiling = np.where(own, ceiling, np.fmax(ceiling, models.current_price.max(axis=0)))
    room = _with_room(models, assumptions, floor, ceiling)
    held = np.array([why is not None for why in reasons])
    floor, ceiling = (np.where(held, wide, own) for wide, own in zip(room, (floor, ceiling), strict=True))
    return Prices(
        floor=floor,
        ceiling=ceiling,
        minimum_advertised_price=advertised if advertised.any() else None,
        max_change=assumptions.largest_change(models.products),
        max_step=assumptions.largest_step(models.products),
        max_discount=assumptions.max_discount if personal else 0.0,
        frozen=tuple(because),
        frozen_as_planned=bool(because),
        frozen_because=because or None,
        bounds_from_sales=tuple(np.array(names)[~own].tolist()),
        priority=rules.priority or None,
        **rules.links(models.products, names),
        **index_rules(rules.index, models.products),
        **{**rules.prices, **_grid(rules), **free},
    )


def _with_room(models: ChargedPrices, assumptions: Assumptions, floor: Array, ceiling: Array) -> tuple[Array, Array]:
    """(N,) floors and ceilings between which some price is allowed, for products whose bounds are nobody's concern: one
    that is sold below its cost, say, is to keep its planned prices beside a minimum margin.
    """
    grid = PriceGrid.of(*map(_grid(assumptions.rules).get, _GRID_KEYS))
    least = floor
    for bound in _least_prices(models, assumptions).values():
        least = np.fmax(least, bound)
    ceiling = np.fmax(ceiling, grid.rounded(np.fmax(least, _TICK), up=True))
    return np.fmin(floor, grid.rounded(ceiling, up=False)), ceiling


def unique_names(products: pd.DataFrame) -> pd.Series:
    """The products' names, followed by the id where two products share a name.

    Args:
        products: One row per product: `product` and `name`.

    Example:
        >>> unique_names(pd.DataFrame({"product": ["1", "2", "3"], "name": ["tea", "milk", "tea"]})).tolist()
        ['tea (1)', 'milk', 'tea (3)']
    """
    shared = products["name"].duplicated(keep=False)
    return products["name"].where(~shared, products["name"] + " (" + products["product"] + ")")


def _at_plan(models: FittedModels, sensitivity: Array, promotion: PromotionSection | None) -> tuple[Array, Array]:
    """(T, K, N) utility added by planned prices and promotions, as the policy `historical` plays them, and (T, N) log
    units that buyers take more, or less, at them.
    """
    reference = _reference(models.demand)
    regular = models.regular_price
    charged = models.current_price
    added = -sensitivity * (felt_price(charged, regular, models.demand.curvature) - regular)[:, None]
    units = np.zeros_like(charged)
    if reference is not None:
        remembered = remembered_prices(models, charged)
        gap = reference_gap(charged, remembered, False, True)
        added = added + gap_effect(gap, reference.gain, 0.0)[:, None]
        met = stocking_price(charged, remembered, np.broadcast_to(regular, charged.shape))
        gap = reference_gap(met, remembered, False, True)
        units = gap_effect(gap, reference.units_gain, reference.units_loss)
    if promotion is not None and models.current_promotion is not None:
        added = added + promotion.lift * (models.current_promotion > 0.5)[:, None]
    return added, units


def remembered_prices(models: FittedModels, charged: Array) -> Array:
    """(T, N) what the market's customers, who start with the regular prices, remember of those charged before each week.

    Args:
        models: The models that it is built from.
        charged: (T, N) currency per unit.
    """
    rows = np.vstack([models.regular_price, charged])
    remembered = models.demand.remembered
    return charged if remembered is None else remembered.price(rows)[1:]


def _usual(effect: Array) -> float:
    """The posterior mean of a coefficient over all categories, at least 0."""
    return float(max(effect.mean(), 0.0))


def _recommendation(models: FittedModels, assumptions: Assumptions) -> RecommendationSection | None:
    if models.affinity is None or models.candidates is None:
        return None
    shown = models.demand.usual_display
    lift = assumptions.recommendation_lift if shown is None else _usual(shown)
    return RecommendationSection(lift=np.array(lift), candidates=models.candidates, affinity=models.affinity)


def _promotion(models: FittedModels, products: Products, assumptions: Assumptions) -> PromotionSection | None:
    """Displays and mailers as a decision, for as many products as the shop usually promoted."""
    shown = models.demand.usual_display
    if models.current_promotion is None or shown is None:
        return None
    usual_revenue = products.net(models.regular_price) * models.forecast.mean(axis=0)
    return PromotionSection(
        lift=np.maximum(shown.mean(axis=0), 0.0)[models.demand.category],
        cost=assumptions.promotion_cost_share * usual_revenue,
        max_products=max(1, round(float((models.current_promotion > 0.5).sum(axis=1).mean()))),
    )


def _reference(demand: FittedDemand) -> ReferencePrice | None:
    """What a price below or above the remembered one adds to the answer; None where it adds nothing."""
    if demand.remembered is None or not demand.deals.any():
        return None
    gain, more, less = demand.deals.mean(axis=0)
    units = {"units_gain": more, "units_loss": less}
    return ReferencePrice(demand.remembered.memory, gain, np.zeros_like(gain), **units, scale=SATURATING)


def _stock(models: FittedModels, cost: Array, assumptions: Assumptions) -> Stock:
    lead_time = assumptions.lead_time_weeks * (WEEK // models.period)
    dispersion, persistence = _multiplier(models)
    demand = np.maximum(models.forecast, models.planned)
    cover = assumptions.cover_quantile
    needed = replenishment_levels(
        demand, dispersion, fractile=cover, lead_time_weeks=lead_time, persistence=persistence
    )
    # The stock covers the shop's promotions, past and planned.
    level = np.ceil(np.maximum(needed.order_up_to.max(axis=0), models.high_units * (lead_time + 1)))
    known = np.nan if models.initial_units is None else models.initial_units
    return Stock(
        initial_units=np.where(np.isnan(known), level, known),
        replenishment="order-up-to",
        order_up_to_units=level,
        lead_time_periods=np.array(float(lead_time)),
        holding_cost=assumptions.holding_cost_share * cost / (WEEK // models.period),
    )


def _multiplier(models: FittedModels) -> tuple[Array, float]:
    """(N,) variance of a product's total rate multiplier, and its autocorrelation."""
    if models.shocks is None:
        return models.overdispersion, 0.0
    market = np.expm1(models.shocks.volatility**2)
    whole = market + models.overdispersion * (1 + market)
    return whole, float(models.shocks.persistence * market / max(whole.mean(), 1e-12))
