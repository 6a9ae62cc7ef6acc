"""The sections of a market description: one class per table of the scenario file.

Shapes: T periods, C categories, J nests, N products, K segments, R competing offers, Z regimes, M posterior draws, G
price gaps, B periods before the first. A field's metadata declares its shape (a scalar or a shorter row is broadcast
to it), bounds and meaning once, for the loader, the error messages and the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import array, choice, flag, scalar, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MarketSection:
    """The horizon, the reward and the units of the market."""

    horizon_periods: int = scalar("T, periods per episode", 1, 100_000)
    period: str = value("what a period is called", default="period")
    period_days: int | None = scalar(
        "length of a period in days; by default 7 where `period` is week, and 1 where it is day", 1, 366, optional=True
    )
    first_day: str = value("first day of the first period, YYYY-MM-DD; empty: the market has no calendar", default="")
    currency: str = value("unit of money", default="currency")
    objective: str = choice("what the reward measures", "revenue", "profit", default="revenue")
    discount_factor: float = scalar("discount factor per period", 0.0, 1.0, default=1.0)
    ending: str = choice(
        "terminated: the season ends with the episode; truncated: the market continues, only the episode ends",
        "terminated",
        "truncated",
        default="terminated",
    )


@dataclass(frozen=True)
class Products:
    """The products on sale."""

    names: tuple[str, ...] = value("N names")
    regular_price: Array = array("N", "currency per unit", 1e-9, 1e9)
    ids: tuple[str, ...] | None = value("id of each product in the shop's tables; by default its name", default=None)
    category: tuple[str, ...] | None = value("category of each product; by default one for all", default=None)
    unit_cost: Array = array("N", "currency per unit", 0, 1e9, default=0.0)
    shadow_cost: Array = array(
        "N",
        "what a unit must cover while an objective of revenue is maximised, currency per unit; it keeps profit from "
        "falling and is in no figure",
        0,
        1e9,
        default=0.0,
    )
    floor_cost: Array = array(
        "N",
        "unit cost at which profit must not fall below that of the best fixed prices while revenue is maximised, currency "
        "per unit; training then adjusts the shadow cost, without which it has no effect",
        0,
        1e9,
        default=0.0,
    )


@dataclass(frozen=True)
class Arrivals:
    """How many customers arrive in each category and period."""

    rate: Array = array("TC", "mean number of customers per period and category", 0, 1e9)
    segments: tuple[str, ...] = value("K segment names", default=("everyone",))
    segment_share: Array = array("CK", "share of each segment among them; the shares sum to one", 0, 1, default=1.0)
    overdispersion: Array = array(
        "N", "variance of the gamma multiplier (mean 1) of a product's demand; 0 is Poisson", 0, 100, default=0.0
    )
    process: str = choice(
        "poisson, or single: at most one customer per period and category, or one in each half of it where competitors "
        "answer within the period, with probability `rate`",
        "poisson",
        "single",
        default="poisson",
    )


@dataclass(frozen=True)
class DemandSection:
    """How a customer chooses, given the utility u of each offer.

    u = quality + quality_path + season - price_sensitivity * price paid + lifts + reference-price
    effect. With a price_curvature, the price felt takes the place of the price paid, see `repricer.pricing.felt_price`.

    mnl: multinomial logit over the category's products in stock, the competing offers and the
    outside option. nested-logit: the category's products are a nest beside the outside option, or
    several: with W the sum of exp(u / (1 - nesting)) over a nest's products in stock, a customer
    chooses the nest with weight W^(1 - nesting), against 1 for the outside option, and in it product
    j with probability exp(u_j / (1 - nesting)) / W; a nesting of 0 is mnl. cheapest: the offer with
    the lowest price in the category, competitors included, is bought with probability u, clipped to
    [0, 1]; ties are shared equally. The other families are for categories with one product, which is
    bought with probability exp(u) (exponential), u (linear), or exp(u) with the logarithm of the
    price in u (constant-elasticity), clipped to [0, 1]. Families that other packages register (entry
    point `repricer.demand_families`) are named in the same way.
    """

    quality: Array = array("KN", "utility at a price of zero (at a price of one for constant-elasticity)", -1e3, 1e3)
    price_sensitivity: Array = array("KN", "utility lost per unit of currency", 0, 1e6)
    family: str = value(
        "choice model: mnl, nested-logit, cheapest, exponential, linear, constant-elasticity, or one of another package",
        default="mnl",
    )
    nest: tuple[str, ...] | None = value(
        "nest of each product in its category; by default one for all; with nested-logit only", default=None
    )
    nesting: Array = array(
        "J",
        "how alike a nest's products are to a customer: 0 as different as other nests and leaving, towards 1 the "
        "same; with nested-logit only; several nests in the order in which they first appear",
        0,
        0.95,
        default=0.0,
    )
    season: Array = array("TC", "utility added in each period, to competing offers too", -1e2, 1e2, default=0.0)
    quality_path: Array = array("TN", "utility added to a product in each period", -1e2, 1e2, default=0.0)
    sensitivity_path: Array = array("TC", "factor on price_sensitivity in each period", 0, 1e3, default=1.0)
    price_curvature: Array = array(
        "N",
        "0 where utility is linear in the product's price, 1 where in its logarithm, with the same slope at the regular "
        "price; with mnl only",
        0,
        1,
        default=0.0,
    )


@dataclass(frozen=True)
class Competitors:
    """Competing offers, each against one product in its category, never out of stock.

    `rule` says how an offer is priced: `NAME` or `NAME:ARGUMENT`, as `repricer.pricing.competitor`
    reads it.
    """

    names: tuple[str, ...] = value("R names of the offers")
    regular_price: Array = array("R", "initial price, currency per unit", 1e-9, 1e9)
    quality: Array = array("KR", "utility at a price of zero", -1e3, 1e3)
    price_sensitivity: Array = array("KR", "utility lost per unit of currency", 0, 1e6)
    unit_cost: Array = array("R", "currency per unit", 0, 1e9, default=0.0)
    seller: tuple[str, ...] | None = value("seller of each offer; by default one seller per offer", default=None)
    product: tuple[str, ...] | None = value(
        "product that each competes with; by default the first R products", default=None
    )
    rule: tuple[str, ...] = value("pricing rule of each offer; one for all, or R", default=("fixed",))
    floor: Array = array("R", "lowest price, currency per unit", 1e-9, 1e9, default=1e-9)
    ceiling: Array = array("R", "highest price, currency per unit", 1e-9, 1e9, default=1e9)
    answers_within_period: bool = flag(
        "whether competitors see this period's prices and respond in mid-period; otherwise they respond to the last period's",
        default=False,
    )


@dataclass(frozen=True)
class Promotion:
    """The effect of promotions (display, mailer), which the action's promotion scores select."""

    lift: Array = array("KN", "utility added while on promotion", 0, 20)
    cost: Array = array("N", "currency per product and period on promotion", 0, 1e9, default=0.0)
    max_products: int = scalar("largest number of products on promotion at once", 1, 1e6, default=1e6)


@dataclass(frozen=True)
class ReferencePrice:
    """The reference price r that customers remember: r' = memory * r + (1 - memory) * price.

    Utility changes with log(r / price), or with r - price on the linear scale. With units_gain and units_loss, so do
    the units that buyers take, but not which product they choose: they stock up at a low price, and buy less afterwards.
    """

    memory: float = scalar("weight of the old reference price", 0, 1)
    gain: Array = array(
        "N",
        "utility per log point (or unit of currency) that the price is below the reference, beyond that of the price itself",
        -1e3,
        1e3,
    )
    loss: Array = array("N", "utility lost per log point (or unit of currency) above it", 0, 1e3)
    units_gain: Array = array(
        "N", "log units bought more per log point (or unit of currency) below it", 0, 100, default=0.0
    )
    units_loss: Array = array(
        "N", "log units bought less for the same above it, up to the regular price", 0, 100, default=0.0
    )
    scale: str = choice("scale of the difference between price and reference", "log", "linear", default="log")
    start: Array | None = array(
        "N",
        "reference price before the first period, currency per unit; by default the regular price",
        1e-9,
        1e9,
        optional=True,
    )


@dataclass(frozen=True)
class RecommendationSection:
    """One recommendation slot per segment: the product shown gains utility in that segment."""

    lift: Array = array("K", "utility added to the product shown", 0, 20)
    candidates: Array = array("KN", "1 where the product may be shown to the segment", 0, 1)
    affinity: Array = array(
        "KN", "the recommender's score; by itself it shows the candidate with the highest", -1e9, 1e9, default=0.0
    )


@dataclass(frozen=True)
class Loyalty:
    """Loyalty, a factor on a segment's arrivals that follows past prices and stockouts.

    It is one at the start: loyalty' = memory * loyalty + (1 - memory) * exp(price_effect *
    log(regular price / price paid) - stockout_effect * lost share of the segment's demand), clipped
    to [low, high]; the price term is a mean over the segment's demand.
    """

    memory: float = scalar("weight of the old loyalty", 0, 1)
    price_effect: Array = array("K", "log loyalty gained per log point below the regular price", 0, 20)
    stockout_effect: Array = array("K", "log loyalty lost when all demand is lost", 0, 20)
    low: float = scalar("lower bound of loyalty", 0, 1, default=0.2)
    high: float = scalar("upper bound of loyalty", 1, 10, default=2.0)


@dataclass(frozen=True)
class Strategic:
    """Customers who may wait for the reference price (without one, the regular price).

    Waiting enters their choice with weight patience * (sum of the products' weights at the expected
    prices). Those who wait return in the next period.
    """

    share: Array = array("K", "share of a segment's customers who may wait", 0, 1)
    patience: Array = array("K", "weight of buying in the next period relative to buying now", 0, 1)


@dataclass(frozen=True)
class Regimes:
    """A Markov chain of market states, which change utility, price sensitivity and arrivals."""

    names: tuple[str, ...] = value("Z names")
    transition: Array = array("ZZ", "probability of the next regime (column) given this one (row)", 0, 1)
    initial: Array = array("Z", "probability of the first regime", 0, 1)
    utility: Array = array("Z", "utility added to every offer, competitors included", -1e2, 1e2, default=0.0)
    sensitivity: Array = array("Z", "factor on price_sensitivity", 0, 1e3, default=1.0)
    arrivals: Array = array("Z", "factor on the arrival rate", 0, 1e3, default=1.0)
    observed: bool = flag("whether policies observe the regime", default=True)


@dataclass(frozen=True)
class Shocks:
    """A lognormal factor (mean one) on arrivals, autoregressive in logs and not observed."""

    volatility: float = scalar("stationary standard deviation of the logarithm", 0, 3)
    persistence: float = scalar("autocorrelation of the logarithm", 0, 0.999, default=0.0)


@dataclass(frozen=True)
class Returns:
    """Units returned in the period of their sale: refunded, and for sale in the next period."""

    probability: Array = array("N", "probability that a sold unit is returned", 0, 1)
    handling_cost: Array = array("N", "currency per returned unit", 0, 1e9, default=0.0)


@dataclass(frozen=True)
class Posterior:
    """M draws from the posterior of the market's parameters, as changes of their means.

    The other sections describe the market at the posterior mean, and policies believe in it. Draw m
    of the whole market is `MarketSpec.draw(m)`. Draws differ in numbers, never in structure.
    """

    draws: int = scalar("M, number of draws", 1, 10_000)
    arrivals: Array = array("MTC", "factor on arrivals.rate", 0, 1e3, default=1.0, single=True)
    utility: Array = array(
        "MN", "utility added to the product at its regular price", -1e2, 1e2, default=0.0, single=True
    )
    sensitivity: Array = array(
        "MN",
        "factor on price_sensitivity; utilities at the regular price stay where no sensitivity_path or regime changes it",
        0,
        1e3,
        default=1.0,
        single=True,
    )
    unit_cost: Array = array("MN", "factor on the unit cost", 0, 1e3, default=1.0, single=True)
    recommendation: Array = array("MK", "factor on recommendation.lift", 0, 1e3, default=1.0, single=True)
    promotion: Array = array("MN", "factor on promotion.lift", 0, 1e3, default=1.0, single=True)
    reference: Array = array(
        "MN", "factor on reference_price.gain and reference_price.loss", 0, 1e3, default=1.0, single=True
    )
    reference_gain: Array = array("MN", "utility added to reference_price.gain", -1e3, 1e3, default=0.0, single=True)
    reference_units: Array = array(
        "MN", "factor on reference_price.units_gain and units_loss", 0, 1e3, default=1.0, single=True
    )
    simulated: bool = flag(
        "whether each simulated episode follows a draw, as the stress `posterior` has it; otherwise the means are simulated",
        default=False,
    )


# The sections `[stock]`, `[express]` and `[capacity]` of a market description: where units for sale come from.


@dataclass(frozen=True)
class Stock:
    """Units for sale; customers are served in random order.

    replenishment: none; order-up-to: the market orders by rule at the start of each period; action:
    the policy orders. shortage: demand beyond stock is lost, or backlogged (paid for immediately
    and delivered later; units on hand are then negative). cost_due: unit costs are charged on units
    sold or on units ordered.
    """

    initial_units: Array = array("N", "units on hand at the start; inf is unlimited", 0, default=np.inf)
    replenishment: str = choice("how stock is replenished", "none", "order-up-to", "action", default="none")
    order_up_to_units: Array = array("N", "units on hand and on order after an order", 0, 1e9, default=0.0)
    max_order_units: Array = array("N", "largest order of the policy", 0, 1e9, default=0.0)
    lead_time_periods: Array = array("N", "periods from order to delivery", 0, 1000, default=1.0)
    delay_probability: Array = array(
        "N",
        "probability that a delivery that is due comes a period later, each period anew, together with what is due then",
        0,
        0.99,
        default=0.0,
    )
    shortage: str = choice("what happens to demand beyond stock", "lost", "backlog", default="lost")
    cost_due: str = choice("when unit costs are charged", "sold", "ordered", default="sold")
    order_cost: Array = array("N", "currency per order placed", 0, 1e9, default=0.0)
    holding_cost: Array = array("N", "currency per unit on hand at the end of a period", 0, 1e9, default=0.0)
    lost_sale_cost: Array = array(
        "N",
        "currency per unit of lost sales: demand beyond stock, also of a sold-out product, less customers who buy another",
        0,
        1e9,
        default=0.0,
    )
    backlog_cost: Array = array("N", "currency per backlogged unit at the end of a period", 0, 1e9, default=0.0)
    spoilage: Array = array("N", "probability that a unit on hand perishes in a period", 0, 0.99, default=0.0)
    season_periods: int | None = scalar(
        "periods in a selling season: leftovers perish at its end, and the next starts with `initial_units`; by default the episode",
        1,
        100_000,
        optional=True,
    )
    salvage_value: Array = array(
        "N",
        "currency per unit left at the end of a season, or of an episode that is terminated; negative for disposal",
        -1e9,
        1e9,
        default=0.0,
    )

    @property
    def pipeline_periods(self) -> int:
        """How many periods ahead deliveries may be due; one more than the longest lead time where they may be late."""
        return int(self.lead_time_periods.max()) + bool(self.delay_probability.any())


@dataclass(frozen=True)
class Express:
    """A second supplier that delivers sooner, at a higher cost: dual sourcing.

    The policy orders from both, as in markets with `stock.replenishment = "action"` only. What the
    supplier of `stock` and this one deliver at the same time may be late together.
    """

    max_order_units: Array = array("N", "largest order of the policy", 0, 1e9)
    lead_time_periods: Array = array(
        "N", "periods from order to delivery, fewer than `stock.lead_time_periods`", 0, 1000, default=0.0
    )
    extra_cost: Array = array("N", "currency per unit ordered, beside its unit cost", 0, 1e9, default=0.0)
    order_cost: Array = array("N", "currency per order placed", 0, 1e9, default=0.0)


@dataclass(frozen=True)
class Capacity:
    """Resources that products share, as itineraries share the seats of flights: a sale uses some of each.

    A product that needs more of a resource than is left is sold out. For markets of one category
    with `arrivals.process = "single"`, whose products have no stock of their own.
    """

    names: tuple[str, ...] = value("H names of the resources")
    units: Array = array("H", "units before the first period", 0, 1e6)
    use: Array = array("HN", "units that one unit of a product uses", 0, 1e6)
    added: Array = array(
        "TH",
        "units added at the start of a period; below 0 they are withdrawn, as far as they are left",
        -1e6,
        1e6,
        default=0.0,
    )
