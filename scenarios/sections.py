"""The sections of a market description: one class per table of the scenario file.

Shapes: T periods, C categories, J nests, N products, K segments, R competing offers, Z regimes, M posterior draws, G
price gaps, F protected groups, B periods before the first. A field's metadata declares its shape (a scalar or a shorter row is broadcast
to it), bounds and meaning once, for the loader, the error messages and the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pricing.choice_model import FAMILIES
from ..pricing.value_added_tax import without_vat
from .fields import FACTOR, MONEY, PRICE, SHARE, array, choice, flag, scalar, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MarketSection:
    """The horizon, the reward and the units of the market."""

    horizon_periods: int = scalar("T, periods per episode", 1, 100_000)
    period: str = value("what a period is called", default="period")
    period_days: int | None = scalar("days of a period; by default 7 for a week, 1 for a day", 1, 366, default=None)
    first_day: str = value("first day of the first period, YYYY-MM-DD; empty: the market has no calendar", default="")
    currency: str = value("unit of money", default="currency")
    objective: str = choice("what the reward measures", "revenue", "profit")
    discount_factor: float = scalar("discount factor per period", *SHARE, default=1.0)
    ending: str = choice(
        "terminated: the season ends with the episode; truncated: the market goes on", "terminated", "truncated"
    )


@dataclass(frozen=True)
class Products:
    """The products on sale."""

    names: tuple[str, ...] = value("N names")
    regular_price: Array = array("N", "currency per unit", *PRICE)
    ids: tuple[str, ...] | None = value("id of each product in the shop's tables; by default its name", default=None)
    category: tuple[str, ...] | None = value("category of each product; by default one for all", default=None)
    unit_cost: Array = array("N", "currency per unit, without VAT", *MONEY, default=0.0)
    vat: Array = array(
        "N",
        "value added tax that prices hold, a share of the price without it: 0.19; costs and all money are without it",
        *SHARE,
        default=0.0,
    )
    shadow_cost: Array = array(
        "N", "what a unit must cover while revenue is maximised, currency per unit; in no figure", *MONEY, default=0.0
    )
    floor_cost: Array = array(
        "N", "unit cost at which profit must reach that of best fixed prices; with shadow_cost", *MONEY, default=0.0
    )

    def net(self, price: Array) -> Array:
        """Shelf prices, or sums of them, without VAT: what the shop keeps of them; products are the last axis."""
        return without_vat(price, self.vat)

    @property
    def shelf_cost(self) -> Array:
        """(N,) shelf prices at which a unit earns nothing: its cost and the VAT on it, currency per unit."""
        return self.unit_cost * (1 + self.vat)


@dataclass(frozen=True)
class Arrivals:
    """How many customers arrive in each category and period."""

    rate: Array = array("TC", "mean number of customers per period and category", *MONEY)
    segments: tuple[str, ...] = value("K segment names", default=("everyone",))
    segment_share: Array = array("CK", "share of each segment among them; the shares sum to one", *SHARE, default=1.0)
    overdispersion: Array = array(
        "N", "variance of the gamma multiplier (mean 1) of demand; 0 is Poisson", 0, 100, default=0.0
    )
    process: str = choice(
        "single: at most one customer per period and category, by probability `rate`", "poisson", "single"
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
    family: str = value(f"choice model: {', '.join(FAMILIES)}, or one of another package", default="mnl")
    nest: tuple[str, ...] | None = value(
        "nest of each product in its category; by default one; with nested-logit only", default=None
    )
    nesting: Array = array(
        "J", "how alike products of a nest are, 0 to towards 1; in order of first appearance", 0, 0.95, default=0.0
    )
    season: Array = array("TC", "utility added in each period, to competing offers too", -1e2, 1e2, default=0.0)
    quality_path: Array = array("TN", "utility added to a product in each period", -1e2, 1e2, default=0.0)
    sensitivity_path: Array = array("TC", "factor on price_sensitivity in each period", *FACTOR, default=1.0)
    price_curvature: Array = array(
        "N", "curvature of utility in price: 0 linear, 1 logarithmic, equal slope at regular; mnl", *SHARE, default=0.0
    )


@dataclass(frozen=True)
class Competitors:
    """Competing offers, each against one product in its category, never out of stock.

    `rule` says how an offer is priced: `NAME` or `NAME:ARGUMENT`, as `repricer.pricing.competitor`
    reads it.
    """

    names: tuple[str, ...] = value("R names of the offers")
    regular_price: Array = array("R", "initial price, currency per unit", *PRICE)
    quality: Array = array("KR", "utility at a price of zero", -1e3, 1e3)
    price_sensitivity: Array = array("KR", "utility lost per unit of currency", 0, 1e6)
    unit_cost: Array = array("R", "currency per unit, in its shelf price: with any VAT", *MONEY, default=0.0)
    seller: tuple[str, ...] | None = value("seller of each offer; by default one seller per offer", default=None)
    product: tuple[str, ...] | None = value("product that each competes with; by default the first R", default=None)
    rule: tuple[str, ...] = value("pricing rule of each offer; one for all, or R", default=("fixed",))
    floor: Array = array("R", "lowest price, currency per unit", *PRICE, default=1e-9)
    ceiling: Array = array("R", "highest price, currency per unit", *PRICE, default=1e9)
    answers_within_period: bool = flag(
        "whether competitors respond to this period's prices, in mid-period; else to the last's", default=False
    )


@dataclass(frozen=True)
class PromotionSection:
    """The effect of promotions (display, mailer), which the action's promotion scores select."""

    lift: Array = array("KN", "utility added while on promotion", 0, 20)
    cost: Array = array("N", "currency per product and period on promotion", *MONEY, default=0.0)
    max_products: int = scalar("largest number of products on promotion at once", 1, 1e6, default=1e6)


SATURATING = "saturating"
"""The scale of a reference price on which a log point adds less the deeper a deal is."""


@dataclass(frozen=True)
class ReferencePrice:
    """The reference price r that customers remember: r' = memory * r + (1 - memory) * price.

    Utility changes with log(r / price), with r - price on the linear scale, or with (1 - (price / r)^2) / 2 on the saturating
    one, on which what a log point adds falls with the depth of a deal. With units_gain and units_loss, so do
    the units that buyers take, but not which product they choose: they stock up at a low price, and buy less afterwards.
    """

    memory: float = scalar("weight of the old reference price", *SHARE)
    gain: Array = array(
        "N", "utility per log point (or unit of currency) below it, beyond that of the price itself", -1e3, 1e3
    )
    loss: Array = array("N", "utility lost per log point (or unit of currency) above it", 0, 1e3)
    units_gain: Array = array("N", "log units bought more per log point (or currency) below it", 0, 100, default=0.0)
    units_loss: Array = array("N", "log units bought less above it, up to the regular price", 0, 100, default=0.0)
    scale: str = choice("scale of the difference between price and reference", "log", "linear", SATURATING)
    start: Array | None = array(
        "N", "reference before the first period, currency per unit; by default the regular price", *PRICE, default=None
    )


@dataclass(frozen=True)
class RecommendationSection:
    """One recommendation slot per segment: the product shown gains utility in that segment."""

    lift: Array = array("K", "utility added to the product shown", 0, 20)
    candidates: Array = array("KN", "1 where the product may be shown to the segment", *SHARE)
    affinity: Array = array(
        "KN", "the recommender's score; by itself it shows the highest candidate", -1e9, 1e9, default=0.0
    )


@dataclass(frozen=True)
class Fairness:
    """Protected groups of customers, of which a market knows only their shares of each segment.

    The groups of one attribute are compared with each other. They are in no feature and in no choice: only the cap
    `prices.max_group_spread` and reports look at them.
    """

    groups: tuple[str, ...] = value("F names of groups, each of customers with one value of an attribute")
    attribute: tuple[str, ...] = value("attribute of each group, such as age_band: the protected column")
    share: Array = array("KF", "share of each group among a segment's customers; by attribute they sum to one", *SHARE)


@dataclass(frozen=True)
class Loyalty:
    """Loyalty, a factor on a segment's arrivals that follows past prices and stockouts.

    It is one at the start: loyalty' = memory * loyalty + (1 - memory) * exp(price_effect *
    log(regular price / price paid) - stockout_effect * lost share of the segment's demand), clipped
    to [low, high]; the price term is a mean over the segment's demand.
    """

    memory: float = scalar("weight of the old loyalty", *SHARE)
    price_effect: Array = array("K", "log loyalty gained per log point below the regular price", 0, 20)
    stockout_effect: Array = array("K", "log loyalty lost when all demand is lost", 0, 20)
    low: float = scalar("lower bound of loyalty", *SHARE, default=0.2)
    high: float = scalar("upper bound of loyalty", 1, 10, default=2.0)


@dataclass(frozen=True)
class Strategic:
    """Customers who may wait for the reference price (without one, the regular price).

    Waiting enters their choice with weight patience * (sum of the products' weights at the expected
    prices). Those who wait return in the next period.
    """

    share: Array = array("K", "share of a segment's customers who may wait", *SHARE)
    patience: Array = array("K", "weight of buying in the next period relative to buying now", *SHARE)


@dataclass(frozen=True)
class Regimes:
    """A Markov chain of market states, which change utility, price sensitivity and arrivals."""

    names: tuple[str, ...] = value("Z names")
    transition: Array = array("ZZ", "probability of the next regime (column) given this one (row)", *SHARE)
    initial: Array = array("Z", "probability of the first regime", *SHARE)
    utility: Array = array("Z", "utility added to every offer, competitors included", -1e2, 1e2, default=0.0)
    sensitivity: Array = array("Z", "factor on price_sensitivity", *FACTOR, default=1.0)
    arrivals: Array = array("Z", "factor on the arrival rate", *FACTOR, default=1.0)
    observed: bool = flag("whether policies observe the regime", default=True)


@dataclass(frozen=True)
class Shocks:
    """A lognormal factor (mean one) on arrivals, autoregressive in logs and not observed."""

    volatility: float = scalar("stationary standard deviation of the logarithm", 0, 3)
    persistence: float = scalar("autocorrelation of the logarithm", 0, 0.999, default=0.0)


@dataclass(frozen=True)
class Returns:
    """Units returned in the period of their sale: refunded, and for sale in the next period."""

    probability: Array = array("N", "probability that a sold unit is returned", *SHARE)
    handling_cost: Array = array("N", "currency per returned unit", *MONEY, default=0.0)


def _drawn(shape: str, doc: str, low: float = 0, high: float = 1e3, *, default: float = 1.0) -> Any:
    return array(shape, doc, low, high, default=default, dtype=np.float32)


@dataclass(frozen=True)
class Posterior:
    """M draws from the posterior of the market's parameters, as changes of their means.

    The other sections describe the market at the posterior mean, and policies believe in it. Draw m
    of the whole market is `MarketSpec.draw(m)`. Draws differ in numbers, never in structure.
    """

    draws: int = scalar("M, number of draws", 1, 10_000)
    arrivals: Array = _drawn("MTC", "factor on arrivals.rate")
    utility: Array = _drawn("MN", "utility added to the product at its regular price", -1e2, 1e2, default=0.0)
    sensitivity: Array = _drawn(
        "MN", "factor on price_sensitivity; utilities at regular prices stay, but for sensitivity_path and regimes"
    )
    unit_cost: Array = _drawn("MN", "factor on the unit cost")
    recommendation: Array = _drawn("MK", "factor on recommendation.lift")
    promotion: Array = _drawn("MN", "factor on promotion.lift")
    reference: Array = _drawn("MN", "factor on reference_price.gain and reference_price.loss")
    reference_gain: Array = _drawn("MN", "utility added to reference_price.gain", -1e3, 1e3, default=0.0)
    reference_units: Array = _drawn("MN", "factor on reference_price.units_gain and units_loss")
    simulated: bool = flag(
        "whether each simulated episode follows a draw (stress `posterior`), not the means", default=False
    )

    def part(self, own: slice) -> Posterior:
        """Some of the draws, as a posterior of their own."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self) if "shape" in item.metadata}
        count = len(range(self.draws)[own])
        drawn = {name: values[own] for name, values in arrays.items() if name != "draws"}
        return Posterior(**drawn, draws=count, simulated=self.simulated)


@dataclass(frozen=True)
class Halves(Posterior):
    """Draws from two posteriors, each estimated on half of the sales: what finds prices does not score them.

    The first half of the draws comes from the sales by which prices are searched, learned and chosen, the second from
    those by which the chosen ones are scored. Everything else is answered by `[posterior]`, from all sales.
    """

    of: str = choice("what the sales were halved by", "stores", "weeks")


@dataclass(frozen=True)
class Observed:
    """What policies observe beyond what the other sections bring with them.

    A key in periods says how many of the latest prices are looked at, the current one among them.
    """

    since_change_periods: int | None = scalar(
        "up to how many periods since the last price change are seen, as a share of them", 1, 1e3, default=None
    )

    @property
    def past_periods(self) -> int:
        """How many prices before the current one are looked at."""
        return max((value or 1) - 1 for name, value in vars(self).items() if name.endswith("_periods"))


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
    replenishment: str = choice("how stock is replenished", "none", "order-up-to", "action")
    order_up_to_units: Array = array("N", "units on hand and on order after an order", *MONEY, default=0.0)
    max_order_units: Array = array("N", "largest order of the policy", *MONEY, default=0.0)
    lead_time_periods: Array = array("N", "periods from order to delivery", 0, 1000, default=1.0)
    delay_probability: Array = array(
        "N", "probability that a due delivery comes a period later, each period anew", 0, 0.99, default=0.0
    )
    shortage: str = choice("what happens to demand beyond stock", "lost", "backlog")
    cost_due: str = choice("when unit costs are charged", "sold", "ordered")
    order_cost: Array = array("N", "currency per order placed", *MONEY, default=0.0)
    holding_cost: Array = array("N", "currency per unit on hand at the end of a period", *MONEY, default=0.0)
    lost_sale_cost: Array = array(
        "N", "currency per unit of demand beyond stock, less customers who buy another", *MONEY, default=0.0
    )
    backlog_cost: Array = array("N", "currency per backlogged unit at the end of a period", *MONEY, default=0.0)
    spoilage: Array = array("N", "probability that a unit on hand perishes in a period", 0, 0.99, default=0.0)
    season_periods: int | None = scalar(
        "periods until leftovers perish and `initial_units` come anew; by default T", 1, 100_000, default=None
    )
    salvage_value: Array = array(
        "N", "currency per unit left at the end of a season or terminated episode", -1e9, 1e9, default=0.0
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

    max_order_units: Array = array("N", "largest order of the policy", *MONEY)
    lead_time_periods: Array = array(
        "N", "periods to delivery, fewer than `stock.lead_time_periods`", 0, 1000, default=0.0
    )
    extra_cost: Array = array("N", "currency per unit ordered, beside its unit cost", *MONEY, default=0.0)
    order_cost: Array = array("N", "currency per order placed", *MONEY, default=0.0)


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
        "TH", "units added at the start of a period; below 0 withdrawn, as far as left", -1e6, 1e6, default=0.0
    )
