"""Fitted models to one market: forecasts become arrivals, elasticities become the choice model's utilities."""

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

Array = NDArray[np.float64]
_OUTSIDE_BOUNDS = (0.15, 0.9)
_ELASTICITY_BOUNDS = (0.3, 8.0)
# Most of a category's customers who buy one product at its low price: on average, and in a segment.
_BUSIEST, _MOST_CHOSEN = 0.8, 0.95
# Most of a category's customers who buy at all in a week, at the planned prices.
_MOST_BUY = 0.9
_ROUNDS = 50


@dataclass(frozen=True)
class Assumptions:
    """What the tables do not say. Every one of them stands, in words, in the market's `assumptions`.

    unit_cost_share: unit cost over regular price, for products without a known cost. recommendation_lift: utility that
    being shown adds. max_discount: largest personal discount. lowest_price, highest_price: bounds over the regular
    price. max_change: largest relative change a week. lead_time_weeks, cover_quantile: the shop orders up to the
    quantile of demand over lead time and one week. holding_cost_share: cost of a unit on hand a week over its cost.
    promotion_cost_share: cost of a week's display and mailer over the product's usual weekly revenue.
    """

    unit_cost_share: float = 0.65
    recommendation_lift: float = 0.3
    max_discount: float = 0.15
    lowest_price: float = 0.5
    highest_price: float = 1.3
    max_change: float = 0.5
    lead_time_weeks: int = 1
    cover_quantile: float = 0.95
    holding_cost_share: float = 0.005
    promotion_cost_share: float = 0.05

    def lines(
        self, *, customers: bool = True, exposure_effect: float | None = None, promoted: int | None = None
    ) -> tuple[str, ...]:
        """In words, for the card and the report.

        customers: whether the data name them. exposure_effect: of displays and mailers on log units, where recorded.
        promoted: most products on promotion, where that is a decision.
        """
        always = (
            f"Unit costs are not in the data: {self.unit_cost_share:.0%} of the regular price where none is given.",
            f"Stock is not in the data: ordered weekly up to {self.lead_time_weeks + 1} weeks at the "
            f"{self.cover_quantile:.0%} quantile of forecast and past demand, delivered after {self.lead_time_weeks}; "
            f"holding a unit costs {self.holding_cost_share:.1%} of its cost a week.",
            f"Prices may move between {self.lowest_price:.0%} and {self.highest_price:.0%} of the regular price, by at "
            f"most {self.max_change:.0%} a week.",
            "Past prices moved within what the shop chose: prices far outside that range are extrapolation.",
        )
        if promoted is not None:
            always += (
                f"Up to {promoted} products a week can be on display and in the mailer of all stores; it costs "
                f"{self.promotion_cost_share:.0%} of a product's usual weekly revenue, which the data do not say.",
            )
        elif exposure_effect is not None:
            always += (
                "A reduction comes with the displays and mailers that reductions usually came with: the price response "
                "holds both. What the shop planned beyond that stays as planned.",
            )
        if not customers:
            return (*always, "The sales name no customers: all are alike, nothing is personal, nothing is recommended.")
        return (*always, self._recommended(exposure_effect), f"Personal discounts go up to {self.max_discount:.0%}.")

    def _recommended(self, exposure_effect: float | None) -> str:
        if exposure_effect is None:
            return (
                f"Being recommended adds {self.recommendation_lift:g} to a product's utility: not fitted, since the sales "
                "do not record what was shown."
            )
        return (
            f"Being recommended lifts a product as a display or mailer in all stores did, by {exposure_effect:.2f} in "
            "logs: fitted on those, since the sales do not record slots."
        )


@dataclass(frozen=True)
class FittedModels:
    """What the fitted models say about N products, C categories, K segments and the T weeks to simulate.

    products: `product`, `name`, `category`, and `unit_cost` where known; rows fix the order of N. first_day: of the
    first week. forecast: (T, N) mean units of a product with all at their regular prices. planned: (T, N) the same at
    `past_price`, with the displays and mailers of those weeks.
    overdispersion: (N,). regular_price, low_price: (N,) currency, usual and lowest price (a low quantile) of the history.
    elasticity: (N,) in-week own-price elasticity. substitution: what a product gains when the others of its category become
    dearer by a log point, over what it loses when it does itself. reference_effect, memory: coefficient of log(reference /
    price), 0 for none. segments: K names. segment_elasticity: (K,). segment_units: (K, N) past units. affinity, candidates:
    (K, N), None where the sales name no customers. high_units: (N,) weekly units of the busiest past weeks (a high quantile).
    past_price, past_units: (T, N) what was charged and sold in the weeks to simulate. exposure_effect: of a display or mailer
    in all stores on log units, None where none are recorded. past_promotion: (T, N) share of stores with one in the weeks to
    simulate, where promotions are to be decided (the elasticities are then those of prices alone), else None.
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
    """(C,) share of a category's customers who leave without buying at regular prices, and where it was cut.

    In the logit, a product's demand answers to its own price with 1 - P of what its utility does, and to the prices of
    the category's other products with the S - P that buy those: S, the share that buys at all, follows from the ratio of
    the two fitted responses. It tells nothing where a category has one product: most leave then, so that demand is close
    to exponential. Enough must leave for the fitted elasticities to hold down to the low prices: a choice probability
    cannot rise above one.
    """
    category = pd.factorize(models.products["category"])[0]
    weight = models.forecast.mean(axis=0)
    share = weight / np.bincount(category, weight)[category]
    mean_share = np.bincount(category, share * weight) / np.bincount(category, weight)
    ratio = models.substitution
    # Substitution of all that is lost leaves nobody to leave; of the ratio, P is mean_share * S.
    raw = 1 - ratio / (1 - mean_share + mean_share * ratio)
    raw = np.where(np.bincount(category) == 1, _OUTSIDE_BOUNDS[1], raw)
    busiest = share * _rise(models, np.clip(-models.elasticity, *_ELASTICITY_BOUNDS))
    enough = 1 - _BUSIEST / np.array([busiest[category == c].max() for c in range(category.max() + 1)])
    cut = np.clip(raw, np.clip(enough, *_OUTSIDE_BOUNDS), _OUTSIDE_BOUNDS[1])
    return cut, cut != raw


def _low_price(models: FittedModels) -> Array:
    """(N,) low price of the history, a little below the regular one at least."""
    return np.minimum(models.low_price, 0.999 * models.regular_price)


def _rise(models: FittedModels, elasticity: Array) -> Array:
    """Demand at the low price over that at the regular one, for elasticities (…, N) without their sign."""
    return (_low_price(models) / models.regular_price) ** -elasticity


def build_market(
    models: FittedModels, *, name: str, assumptions: Assumptions, period: str = "week", currency: str = "currency"
) -> MarketSpec:
    """The market in which sales at the planned prices are the forecasts and other prices are answered as was fitted."""
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
    regular = models.regular_price
    cost = _unit_cost(models, assumptions)
    personal = models.affinity is not None
    prices = _prices(regular, personal, assumptions)
    promotion = _promotion(models, probability, assumptions)
    at_plan = utility + _planned_utility(models, sensitivity, prices, promotion)
    path = matching_utility(models.planned / rate[:, category], at_plan, segment_share, category)
    return MarketSpec(
        name=name,
        version=1,
        summary=f"{len(regular)} products in {len(left)} categories, fitted on a shop's own sales.",
        sources=("fitted by `repricer fit`",),
        assumptions=assumptions.lines(
            customers=personal,
            exposure_effect=models.exposure_effect,
            promoted=None if promotion is None else int(promotion.max_products),
        ),
        market=MarketSection(
            horizon_periods=len(models.forecast), period=period, currency=currency, objective="profit"
        ),
        products=Products(
            names=tuple(_unique_names(models.products)),
            regular_price=regular,
            category=tuple(models.products["category"]),
            unit_cost=cost,
        ),
        arrivals=Arrivals(
            rate=rate, segments=models.segments, segment_share=segment_share, overdispersion=models.overdispersion
        ),
        demand=DemandSection(quality=utility + sensitivity * regular, price_sensitivity=sensitivity, quality_path=path),
        reference_price=_reference(models, probability),
        recommendation=_recommendation(models, probability, assumptions),
        stock=_stock(models, cost, assumptions),
        shocks=models.shocks,
        prices=prices,
        promotion=promotion,
        history=_history(models),
    )


def _by_category(units: Array, category: NDArray[np.intp]) -> Array:
    """(T, C) sums of (T, N)."""
    return units @ np.eye(category.max() + 1)[category]


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
    """The products' names, with the id behind where two products share one."""
    shared = products["name"].duplicated(keep=False)
    return products["name"].where(~shared, products["name"] + " (" + products["product"] + ")")


def _unit_cost(models: FittedModels, assumptions: Assumptions) -> Array:
    assumed = assumptions.unit_cost_share * models.regular_price
    if "unit_cost" not in models.products:
        return assumed
    return models.products["unit_cost"].fillna(pd.Series(assumed, models.products.index)).to_numpy(dtype=float)


def _segment_choice(models: FittedModels, category: NDArray[np.intp], bought: Array) -> tuple[Array, Array]:
    """((C, K) segment shares, (K, N) choice probabilities at regular prices).

    Iterative proportional fitting (Deming and Stephan 1940): the past units of segment and product, scaled until the
    products' totals are the forecasts and the segments' totals are what they were.
    """
    # Half a unit stands for a product that a segment never bought.
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
    """(T, K, N) utility that the planned prices, as far as the market allows them, and promotions add to the regular ones."""
    charged = np.clip(models.past_price, prices.floor, prices.ceiling)
    added = -sensitivity * (charged - models.regular_price)[:, None]
    if promotion is None or models.past_promotion is None:
        return added
    # As `historical` plays them.
    return added + promotion.lift * (models.past_promotion > 0.5)[:, None]


def _sensitivity(models: FittedModels, probability: Array, share: Array) -> Array:
    """(K, N) utility per unit of currency that gives the fitted elasticities over the prices that were charged.

    Utility is linear in price and the fitted response is linear in its logarithm: both agree on the step of the product's
    own price from the regular to the low one if the odds of choosing it rise as that response says. Segments answer in
    the ratio of their elasticities, and together as the product's. share: (K, N) of a product's sales to each segment.
    """
    relative = models.segment_elasticity / np.average(
        models.segment_elasticity, weights=models.segment_units.sum(axis=1)
    )
    own = np.clip(-(models.elasticity + max(models.reference_effect, 0.0)), *_ELASTICITY_BOUNDS)
    whole, scale = np.log(_rise(models, own)), np.ones_like(own)
    for _ in range(_ROUNDS):
        # The keenest segment answers more than the mean does: without the scale all together would too.
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
        # Log units answer to an exposure as its lift of the utility does, less what the product already has.
        lift = max(models.exposure_effect, 0.0) / (1 - probability.mean(axis=1))
    return Recommendation(lift=lift, candidates=models.candidates, affinity=models.affinity)


def _promotion(models: FittedModels, probability: Array, assumptions: Assumptions) -> Promotion | None:
    """Displays and mailers as a decision: as many products a week as the shop promoted in most of its stores."""
    if models.past_promotion is None or models.exposure_effect is None:
        return None
    usual_revenue = models.regular_price * models.forecast.mean(axis=0)
    return Promotion(
        lift=max(models.exposure_effect, 0.0) / (1 - probability),
        cost=assumptions.promotion_cost_share * usual_revenue,
        max_products=max(1, round(float((models.past_promotion > 0.5).sum(axis=1).mean()))),
    )


def _reference(models: FittedModels, probability: Array) -> ReferencePrice | None:
    """Reference-price section, or None where the fitted effect has not the sign that the model allows."""
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
    # The shop has the stock for its promotions, past and planned.
    level = np.ceil(np.maximum(needed.order_up_to.max(axis=0), models.high_units * weeks))
    return Stock(
        initial_units=level,
        replenishment="order-up-to",
        order_up_to_units=level,
        lead_time_periods=assumptions.lead_time_weeks,
        holding_cost=assumptions.holding_cost_share * cost,
    )


def _multiplier(models: FittedModels) -> tuple[Array, float]:
    """(N,) variance of a product's whole rate multiplier, and the memory it has from the market's shock alone."""
    if models.shocks is None:
        return models.overdispersion, 0.0
    market = np.expm1(models.shocks.volatility**2)
    whole = market + models.overdispersion * (1 + market)
    return whole, float(models.shocks.persistence * market / max(whole.mean(), 1e-12))
