"""From fitted models to a market: forecasts become arrivals, elasticities utilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..forecasting import replenishment_levels
from ..pricing import logit_utility, matching_utility
from ..scenarios import MarketSpec
from ..scenarios.sections import (
    Arrivals,
    DemandSection,
    HistorySection,
    MarketSection,
    Prices,
    Products,
    Promotion,
    Recommendation,
    ReferencePrice,
    Shocks,
    Stock,
)
from .assumptions import Assumptions

Array = NDArray[np.float64]
_OUTSIDE_BOUNDS = (0.15, 0.9)
_ELASTICITY_BOUNDS = (0.3, 8.0)
# Most of a category's customers who buy one product at its low price: on average, and in a segment.
_BUSIEST, _MOST_CHOSEN = 0.8, 0.95
# Most of a category's customers who buy at all in a week, at the planned prices.
_MOST_BUY = 0.9
_ROUNDS = 50


@dataclass(frozen=True)
class FittedModels:
    """What the fitted models say about N products, K segments and the T weeks to simulate.

    Args:
        products: One row per product, which fixes the order of N: `product`, `name`, `category`
            and, where known, `unit_cost`.
        first_day: First day of the first week to simulate.
        forecast: (T, N) mean units of a product when all are at their regular prices.
        planned: (T, N) mean units at `past_price`, with the displays and mailers of those weeks.
        overdispersion: (N,) variance of the gamma multiplier of a product's demand.
        regular_price: (N,) usual price of the history, currency per unit.
        low_price: (N,) low quantile of the past prices, currency per unit.
        elasticity: (N,) own-price elasticity within a week.
        substitution: Response to the prices of the category's other products relative to that to
            the own price.
        reference_effect: Coefficient of log(reference price / price); 0 for none.
        memory: Weight of the past in the reference price.
        segments: K names.
        segment_elasticity: (K,) own-price elasticity of each segment.
        segment_units: (K, N) units bought in the past.
        affinity: (K, N) recommender scores; None if the sales name no customers.
        candidates: (K, N) 1 where a product may be recommended to a segment; None if the sales name
            no customers.
        high_units: (N,) weekly units in the busiest past weeks (a high quantile).
        past_price: (T, N) prices charged in the weeks to simulate, currency per unit.
        past_units: (T, N) units sold in those weeks.
        shocks: Market-wide shocks of the arrivals.
        exposure_effect: Effect of a display or mailer in all stores on log units; None if none are
            recorded.
        past_promotion: (T, N) share of stores with a display or mailer in the weeks to simulate, if
            promotions are a decision (the elasticities are then those of prices alone), else None.

    Example:
        >>> from dataclasses import replace
        >>> more_elastic = replace(models, elasticity=1.2 * models.elasticity)  # doctest: +SKIP
    """

    products: pd.DataFrame
    first_day: pd.Timestamp
    forecast: Array
    planned: Array
    overdispersion: Array
    regular_price: Array
    low_price: Array
    elasticity: Array
    substitution: float
    reference_effect: float
    memory: float
    segments: tuple[str, ...]
    segment_elasticity: Array
    segment_units: Array
    affinity: Array | None
    candidates: Array | None
    high_units: Array
    past_price: Array
    past_units: Array
    shocks: Shocks | None = None
    exposure_effect: float | None = None
    past_promotion: Array | None = None


def outside_share(models: FittedModels) -> tuple[Array, NDArray[np.bool_]]:
    """(C,) outside share of each category at regular prices, and whether it was clipped.

    In the logit, the response of a product's demand to its own price is proportional to 1 - P, and
    to the prices of the category's other products to S - P, where P is its choice probability and S
    the share that buys at all; S follows from the ratio of the two fitted responses. With one
    product per category that ratio says nothing: the outside share is then set high, so that demand
    is close to exponential. It must also be high enough for the fitted elasticities to hold down to
    the low prices, since a choice probability cannot exceed one.
    """
    category = pd.factorize(models.products["category"])[0]
    weight = models.forecast.mean(axis=0)
    share = weight / np.bincount(category, weight)[category]
    mean_share = np.bincount(category, share * weight) / np.bincount(category, weight)
    ratio = models.substitution
    # P is mean_share * S; with full substitution the outside share is zero.
    raw = 1 - ratio / (1 - mean_share + mean_share * ratio)
    raw = np.where(np.bincount(category) == 1, _OUTSIDE_BOUNDS[1], raw)
    busiest = share * _rise(models, np.clip(-models.elasticity, *_ELASTICITY_BOUNDS))
    enough = 1 - _BUSIEST / np.array([busiest[category == c].max() for c in range(category.max() + 1)])
    cut = np.clip(raw, np.clip(enough, *_OUTSIDE_BOUNDS), _OUTSIDE_BOUNDS[1])
    return cut, cut != raw


def _low_price(models: FittedModels) -> Array:
    """(N,) low price of the history, at least slightly below the regular one."""
    return np.minimum(models.low_price, 0.999 * models.regular_price)


def _rise(models: FittedModels, elasticity: Array) -> Array:
    """Demand at the low relative to the regular price, for absolute elasticities (…, N)."""
    return (_low_price(models) / models.regular_price) ** -elasticity


def build_market(
    models: FittedModels, *, name: str, assumptions: Assumptions, period: str = "week", currency: str = "currency"
) -> MarketSpec:
    """The market with the forecast sales at planned prices, and the fitted price response.

    Args:
        models: The fitted models.
        name: Name of the market, lower-case words joined by dashes.
        assumptions: What the models do not say.
        period: What a period is called.
        currency: Unit of money, for display.

    Example:
        >>> spec = build_market(models, name="my-shop", assumptions=Assumptions(max_discount=0.1))  # doctest: +SKIP
    """
    category = pd.factorize(models.products["category"])[0]
    left, _ = outside_share(models)
    bought = 1 - left[category]
    rate = np.maximum(
        _by_category(models.forecast, category) / (1 - left), _by_category(models.planned, category) / _MOST_BUY
    )
    segment_share, probability = _segment_choice(models, category, bought)
    bought_by = segment_share[category].T * probability
    sensitivity = _sensitivity(models, probability, bought_by / bought_by.sum(axis=0))
    utility = logit_utility(probability, left[category])
    products = _products(models, assumptions)
    personal = models.affinity is not None
    prices = _prices(models.regular_price, personal, assumptions)
    promotion = _promotion(models, probability, assumptions)
    at_plan = utility + _planned_utility(models, sensitivity, prices, promotion)
    path = matching_utility(models.planned / rate[:, category], at_plan, segment_share, category)
    return MarketSpec(
        name=name,
        version=1,
        summary=f"{len(products.names)} products in {len(left)} categories, fitted on a shop's own sales.",
        sources=("fitted by `repricer fit`",),
        assumptions=assumptions.lines(
            customers=personal,
            exposure_effect=models.exposure_effect,
            promoted=None if promotion is None else int(promotion.max_products),
        ),
        market=MarketSection(
            horizon_periods=len(models.forecast), period=period, currency=currency, objective="profit"
        ),
        products=products,
        arrivals=Arrivals(
            rate=rate, segments=models.segments, segment_share=segment_share, overdispersion=models.overdispersion
        ),
        demand=DemandSection(
            quality=utility + sensitivity * models.regular_price, price_sensitivity=sensitivity, quality_path=path
        ),
        reference_price=_reference(models, probability),
        recommendation=_recommendation(models, probability, assumptions),
        stock=_stock(models, products.unit_cost, assumptions),
        shocks=models.shocks,
        prices=prices,
        promotion=promotion,
        history=_history(models),
    )


def _by_category(units: Array, category: NDArray[np.intp]) -> Array:
    """(T, C) sums of (T, N)."""
    return units @ np.eye(category.max() + 1)[category]


def _products(models: FittedModels, assumptions: Assumptions) -> Products:
    return Products(
        names=tuple(_unique_names(models.products)),
        regular_price=models.regular_price,
        category=tuple(models.products["category"]),
        unit_cost=_unit_cost(models, assumptions),
    )


def _prices(regular: Array, personal: bool, assumptions: Assumptions) -> Prices:
    return Prices(
        floor=assumptions.lowest_price * regular,
        ceiling=assumptions.highest_price * regular,
        tick=0.01,
        max_change=assumptions.max_change,
        max_discount=assumptions.max_discount if personal else 0.0,
    )


def _history(models: FittedModels) -> HistorySection:
    return HistorySection(
        price=models.past_price,
        units=models.past_units,
        promotion=np.array(0.0) if models.past_promotion is None else models.past_promotion,
        first_day=f"{models.first_day:%Y-%m-%d}",
    )


def _unique_names(products: pd.DataFrame) -> pd.Series:
    """The products' names, followed by the id where two products share a name."""
    shared = products["name"].duplicated(keep=False)
    return products["name"].where(~shared, products["name"] + " (" + products["product"] + ")")


def _unit_cost(models: FittedModels, assumptions: Assumptions) -> Array:
    assumed = assumptions.unit_cost_share * models.regular_price
    if "unit_cost" not in models.products:
        return assumed
    return models.products["unit_cost"].fillna(pd.Series(assumed, models.products.index)).to_numpy(dtype=float)


def _segment_choice(models: FittedModels, category: NDArray[np.intp], bought: Array) -> tuple[Array, Array]:
    """((C, K) segment shares, (K, N) choice probabilities at regular prices).

    Iterative proportional fitting (Deming and Stephan 1940): the past units by segment and product
    are scaled until the products' totals match the forecasts and the segments keep their totals.
    """
    # Half a unit stands in for a product that a segment never bought.
    units = models.segment_units + 0.5
    member = np.eye(category.max() + 1)[category]
    segment_share = (units @ member) / (units.sum(axis=0) @ member)
    forecast = models.forecast.mean(axis=0)
    product_share = forecast / (forecast @ member)[category]
    within = units / (units @ member)[:, category]
    for _ in range(100):
        within *= product_share / (segment_share[:, category] * within).sum(axis=0)
        within /= (within @ member)[:, category]
    return segment_share.T, within * bought


def _planned_utility(models: FittedModels, sensitivity: Array, prices: Prices, promotion: Promotion | None) -> Array:
    """(T, K, N) utility added by planned prices (clipped to the bounds) and promotions."""
    charged = np.clip(models.past_price, prices.floor, prices.ceiling)
    added = -sensitivity * (charged - models.regular_price)[:, None]
    if promotion is None or models.past_promotion is None:
        return added
    # As the policy `historical` plays them.
    return added + promotion.lift * (models.past_promotion > 0.5)[:, None]


def _sensitivity(models: FittedModels, probability: Array, share: Array) -> Array:
    """(K, N) price sensitivity that reproduces the fitted elasticities over past prices.

    Utility is linear in price, the fitted response in the logarithm of price. The two agree when
    the product's own price falls from the regular to the low one, if the odds of choosing it rise
    as the fitted response says. The segments' elasticities keep their ratios, and their aggregate
    is the product's. share: (K, N) of a product's sales by segment.
    """
    relative = models.segment_elasticity / np.average(
        models.segment_elasticity, weights=models.segment_units.sum(axis=1)
    )
    own = np.clip(-(models.elasticity + max(models.reference_effect, 0.0)), *_ELASTICITY_BOUNDS)
    whole, scale = np.log(_rise(models, own)), np.ones_like(own)
    for _ in range(_ROUNDS):
        # The aggregate responds more than the mean segment, as the most elastic one gains weight.
        together = np.log((share * np.exp(np.outer(relative, scale * whole))).sum(axis=0))
        scale *= whole / together
    rise = _rise(models, np.clip(np.outer(relative, scale * own), *_ELASTICITY_BOUNDS))
    chosen = np.minimum(rise * probability, _MOST_CHOSEN)
    gained = logit_utility(chosen, 1 - chosen) - logit_utility(probability, 1 - probability)
    return gained / (models.regular_price - _low_price(models))


def _recommendation(models: FittedModels, probability: Array, assumptions: Assumptions) -> Recommendation | None:
    if models.affinity is None or models.candidates is None:
        return None
    lift = np.array(assumptions.recommendation_lift)
    if models.exposure_effect is not None:
        # In the logit, log units change by the lift times one minus the choice probability.
        lift = max(models.exposure_effect, 0.0) / (1 - probability.mean(axis=1))
    return Recommendation(lift=lift, candidates=models.candidates, affinity=models.affinity)


def _promotion(models: FittedModels, probability: Array, assumptions: Assumptions) -> Promotion | None:
    """Displays and mailers as a decision, for as many products as the shop usually promoted."""
    if models.past_promotion is None or models.exposure_effect is None:
        return None
    usual_revenue = models.regular_price * models.forecast.mean(axis=0)
    return Promotion(
        lift=max(models.exposure_effect, 0.0) / (1 - probability),
        cost=assumptions.promotion_cost_share * usual_revenue,
        max_products=max(1, round(float((models.past_promotion > 0.5).sum(axis=1).mean()))),
    )


def _reference(models: FittedModels, probability: Array) -> ReferencePrice | None:
    """Reference-price section; None if the fitted effect has the wrong sign."""
    if models.reference_effect <= 0:
        return None
    strength = models.reference_effect / (1 - probability.mean(axis=0))
    return ReferencePrice(memory=models.memory, gain=strength, loss=strength)


def _stock(models: FittedModels, cost: Array, assumptions: Assumptions) -> Stock:
    weeks = assumptions.lead_time_weeks + 1
    dispersion, persistence = _multiplier(models)
    needed = replenishment_levels(
        np.maximum(models.forecast, models.planned),
        dispersion,
        fractile=assumptions.cover_quantile,
        lead_time_weeks=assumptions.lead_time_weeks,
        persistence=persistence,
    )
    # The stock covers the shop's promotions, past and planned.
    level = np.ceil(np.maximum(needed.order_up_to.max(axis=0), models.high_units * weeks))
    return Stock(
        initial_units=level,
        replenishment="order-up-to",
        order_up_to_units=level,
        lead_time_periods=assumptions.lead_time_weeks,
        holding_cost=assumptions.holding_cost_share * cost,
    )


def _multiplier(models: FittedModels) -> tuple[Array, float]:
    """(N,) variance of a product's total rate multiplier, and its autocorrelation."""
    if models.shocks is None:
        return models.overdispersion, 0.0
    market = np.expm1(models.shocks.volatility**2)
    whole = market + models.overdispersion * (1 + market)
    return whole, float(models.shocks.persistence * market / max(whole.mean(), 1e-12))
