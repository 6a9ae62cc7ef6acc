"""The sections of a market description, one a table of the scenario file.

Shapes: T periods, C categories, N products, K segments, R rival offers, Z regimes. A field's metadata gives its shape
(a scalar or a shorter row is spread to it), bounds and meaning, and is the only place where they stand: the loader, the
errors and the scenario card read them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pricing import PriceEndings, PriceLadder
from .fields import array, choice, flag, scalar, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MarketSection:
    """What kind of market it is and what counts."""

    horizon_periods: int = scalar("T, periods in an episode", low=1, high=100_000)
    period: str = value("what a period is", default="period")
    currency: str = value("the unit of money", default="currency")
    objective: str = choice("what the reward is", "revenue", "profit", default="revenue")
    discount_factor: float = scalar("of a period", low=0.0, high=1.0, default=1.0)
    ending: str = choice(
        "terminated: the season is over; truncated: the market goes on, only the episode stops",
        "terminated",
        "truncated",
        default="terminated",
    )


@dataclass(frozen=True)
class Products:
    """The products on sale."""

    names: tuple[str, ...] = value("N names")
    regular_price: Array = array("N", "currency per unit", low=1e-9, high=1e9)
    category: tuple[str, ...] | None = value("category of each product; one for all where left out", default=None)
    unit_cost: Array = array("N", "currency per unit", low=0, high=1e9, default=0.0)


@dataclass(frozen=True)
class Arrivals:
    """How many customers come to choose in a category in a period."""

    rate: Array = array("TC", "mean customers per period and category", low=0, high=1e9)
    segments: tuple[str, ...] = value("K segment names", default=("everyone",))
    segment_share: Array = array("CK", "shares of the segments among them, summing to one", low=0, high=1, default=1.0)
    overdispersion: Array = array(
        "N",
        "variance of the gamma multiplier of a product's rate (mean 1); 0 is Poisson",
        low=0,
        high=100,
        default=0.0,
    )
    process: str = choice(
        "poisson, or single: at most one customer a period and category, with probability `rate`",
        "poisson",
        "single",
        default="poisson",
    )


@dataclass(frozen=True)
class DemandSection:
    """How a customer chooses: utility = quality + its path + season - price_sensitivity * price paid + lifts + reference.

    mnl: multinomial logit among the products in stock of the category, the rival offers and leaving. cheapest: the
    lowest price of the category, rivals included, is bought with probability u, cut to [0, 1], ties shared equally. The
    other families are for one product a category: buys with probability exp(u) (exponential), u (linear), or exp(u)
    where the price enters as its logarithm (constant-elasticity); probabilities are cut to [0, 1]. A family that
    another package registers (entry point `repricer.demand_families`) is named the same way.
    """

    quality: Array = array("KN", "utility at a price of zero (of one where the logarithm counts)", low=-1e3, high=1e3)
    price_sensitivity: Array = array("KN", "utility lost per unit of currency", low=0, high=1e6)
    family: str = value(
        "choice model: mnl, cheapest, exponential, linear, constant-elasticity, or an extension's", default="mnl"
    )
    season: Array = array("TC", "utility added by period, to the rival offers too", low=-1e2, high=1e2, default=0.0)
    quality_path: Array = array("TN", "utility added to a product by period", low=-1e2, high=1e2, default=0.0)
    sensitivity_path: Array = array("TC", "multiplies price_sensitivity by period", low=0, high=1e3, default=1.0)


@dataclass(frozen=True)
class Competitors:
    """Rival offers: each competes with one product, in its category, and always has stock.

    rule: how each offer is priced, `NAME` or `NAME:ARGUMENT`, as `pricing.competitor` reads it.
    """

    names: tuple[str, ...] = value("R names of the offers")
    regular_price: Array = array("R", "currency per unit, the opening price", low=1e-9, high=1e9)
    quality: Array = array("KR", "utility at a price of zero", low=-1e3, high=1e3)
    price_sensitivity: Array = array("KR", "utility lost per unit of currency", low=0, high=1e6)
    unit_cost: Array = array("R", "currency per unit", low=0, high=1e9, default=0.0)
    seller: tuple[str, ...] | None = value("who makes each offer; each its own where left out", default=None)
    product: tuple[str, ...] | None = value("the product each competes with; the R first where left out", default=None)
    rule: tuple[str, ...] = value("how each offer is priced; one for all, or R", default=("fixed",))
    floor: Array = array("R", "lowest price, currency per unit", low=1e-9, high=1e9, default=1e-9)
    ceiling: Array = array("R", "highest price, currency per unit", low=1e-9, high=1e9, default=1e9)
    answers_within_period: bool = flag(
        "whether rivals see this period's prices and answer at half-period; otherwise they saw the last period's",
        default=False,
    )


@dataclass(frozen=True)
class Promotion:
    """What being on promotion (display, mailer) does; the action's promotion score says which products are."""

    lift: Array = array("KN", "utility added while on promotion", low=0, high=20)
    cost: Array = array("N", "currency per product and period on promotion", low=0, high=1e9, default=0.0)
    max_products: int = scalar("most products on promotion at once", low=1, high=1e6, default=1e6)


@dataclass(frozen=True)
class ReferencePrice:
    """What customers remember of prices: r' = memory * r + (1 - memory) * price.

    Utility moves with log(r / price), or with r - price where the scale is linear.
    """

    memory: float = scalar("share of the old reference price that is kept", low=0, high=1)
    gain: Array = array(
        "N", "utility per log point (or currency) that the price is below the reference", low=0, high=1e3
    )
    loss: Array = array("N", "utility lost per log point (or currency) above it", low=0, high=1e3)
    scale: str = choice("of the distance", "log", "linear", default="log")


@dataclass(frozen=True)
class Recommendation:
    """One slot a segment: the shown product's utility rises for that segment."""

    lift: Array = array("K", "utility added to the product shown", low=0, high=20)
    candidates: Array = array("KN", "1 where the recommender allows the product for the segment", low=0, high=1)
    affinity: Array = array(
        "KN", "the recommender's score; the highest candidate is its own choice", low=-1e9, high=1e9, default=0.0
    )


@dataclass(frozen=True)
class Stock:
    """Units for sale; customers are served in random order.

    replenishment: none; order-up-to: the market orders by rule at each period's start; action: the policy orders.
    shortage: demand beyond stock is lost, or waits (backlog: paid for at once, delivered later; units on hand may then be
    negative). cost_due: unit costs are charged on units sold or on units ordered.
    """

    initial_units: Array = array("N", "on hand at the start; inf is unlimited", low=0, default=np.inf)
    replenishment: str = choice("who orders", "none", "order-up-to", "action", default="none")
    order_up_to_units: Array = array("N", "on hand plus on order after ordering", low=0, high=1e9, default=0.0)
    max_order_units: Array = array("N", "most units in one order of the policy", low=0, high=1e9, default=0.0)
    lead_time_periods: int = scalar("periods from order to delivery", low=0, high=1000, default=1)
    shortage: str = choice("what demand beyond stock does", "lost", "backlog", default="lost")
    cost_due: str = choice("when unit costs are charged", "sold", "ordered", default="sold")
    order_cost: Array = array("N", "currency per order placed", low=0, high=1e9, default=0.0)
    holding_cost: Array = array("N", "currency per unit on hand at a period's end", low=0, high=1e9, default=0.0)
    lost_sale_cost: Array = array("N", "currency per unit of lost sales", low=0, high=1e9, default=0.0)
    backlog_cost: Array = array("N", "currency per unit waiting at a period's end", low=0, high=1e9, default=0.0)
    spoilage: Array = array("N", "probability that a unit on hand perishes in a period", low=0, high=0.99, default=0.0)
    season_periods: int | None = scalar(
        "selling season: what is left at its end perishes, and `initial_units` open the next; the episode where left out",
        low=1,
        high=100_000,
        optional=True,
    )
    salvage_value: Array = array(
        "N", "currency per unit left at the end of a season; negative is disposal", low=-1e9, high=1e9, default=0.0
    )


@dataclass(frozen=True)
class Loyalty:
    """How segments come back: arrivals are multiplied by loyalty, which starts at one.

    loyalty' = memory * loyalty + (1 - memory) * exp(price_effect * log(regular price / price paid, mean over what the
    segment wants) - stockout_effect * share of its demand that was lost), within [low, high].
    """

    memory: float = scalar("share of the old loyalty that is kept", low=0, high=1)
    price_effect: Array = array("K", "log loyalty per log point below the regular price", low=0, high=20)
    stockout_effect: Array = array("K", "log loyalty lost when all demand is lost", low=0, high=20)
    low: float = scalar("least loyalty", low=0, high=1, default=0.2)
    high: float = scalar("most loyalty", low=1, high=10, default=2.0)


@dataclass(frozen=True)
class Strategic:
    """Customers who may wait for a lower price: they expect the reference price (the regular price where there is none).

    Waiting enters their choice with the weight patience * (sum of the products' weights at the expected prices); those
    who wait come back in the next period.
    """

    share: Array = array("K", "share of a segment's customers who may wait", low=0, high=1)
    patience: Array = array("K", "weight of buying next period against buying now", low=0, high=1)


@dataclass(frozen=True)
class Regimes:
    """A Markov chain of market states; each moves utility, price sensitivity and arrivals."""

    names: tuple[str, ...] = value("Z names")
    transition: Array = array("ZZ", "probability of the next regime (column) given this one (row)", low=0, high=1)
    initial: Array = array("Z", "probability of the first regime", low=0, high=1)
    utility: Array = array("Z", "utility added to every offer, rivals included", low=-1e2, high=1e2, default=0.0)
    sensitivity: Array = array("Z", "multiplies price_sensitivity", low=0, high=1e3, default=1.0)
    arrivals: Array = array("Z", "multiplies the arrival rate", low=0, high=1e3, default=1.0)
    observed: bool = flag("whether policies see the regime", default=True)


@dataclass(frozen=True)
class Shocks:
    """A lognormal multiplier of a category's arrivals with mean one, autoregressive in its logarithm; not observed."""

    volatility: float = scalar("standard deviation of the logarithm in the long run", low=0, high=3)
    persistence: float = scalar("autocorrelation of the logarithm", low=0, high=0.999, default=0.0)


@dataclass(frozen=True)
class Returns:
    """Units that come back in the period they were sold: refunded, and on the shelf again for the next period."""

    probability: Array = array("N", "probability that a sold unit is returned", low=0, high=1)
    handling_cost: Array = array("N", "currency per returned unit", low=0, high=1e9, default=0.0)


@dataclass(frozen=True)
class Prices:
    """What may be charged: one grid at most (price_ladder, tick or price_endings), and rules that hold together."""

    price_ladder: PriceLadder | None = value("allowed prices: a list, or {start, stop, step}", default=None)
    floor: Array | None = array(
        "N",
        "currency per unit; the ladder's first step, or a quarter of the regular price",
        low=1e-9,
        high=1e9,
        optional=True,
    )
    ceiling: Array | None = array(
        "N",
        "currency per unit; the ladder's last step, or four times the regular price",
        low=1e-9,
        high=1e9,
        optional=True,
    )
    tick: float | None = scalar("prices are multiples of it", low=1e-6, high=1e6, optional=True)
    price_endings: PriceEndings | None = value(
        "what prices end in, fractions of one unit of currency: [0.49, 0.99]", default=None
    )
    minimum_margin: float | None = scalar("least (price - cost) / price", low=0, high=0.999, optional=True)
    minimum_advertised_price: Array | None = array(
        "N",
        "least list price, currency per unit; a personal discount may go below; 0 is none",
        low=0,
        high=1e9,
        optional=True,
    )
    max_change: float | None = scalar("largest relative change a period", low=0, high=1e3, optional=True)
    max_changes: int | None = scalar(
        "most changes of a product's price within the window; needs change_window_periods",
        low=1,
        high=1e3,
        optional=True,
    )
    change_window_periods: int | None = scalar(
        "periods of the window, the present one included", low=2, high=1e3, optional=True
    )
    frozen: tuple[str, ...] = value("products whose price stays where it is", default=())
    line_order: tuple[tuple[str, ...], ...] = value(
        "lists of products from small to large, along which list prices do not fall", default=()
    )
    max_discount: float = scalar("largest personal discount, a fraction; 0 is none", low=0, high=0.95, default=0.0)
    max_segment_spread: float = scalar("largest difference of two segments' discounts", low=0, high=1, default=1.0)
    prior_price_periods: int | None = scalar(
        "periods that make 30 days, to carry the lowest price of them with a reduction", low=1, high=1e3, optional=True
    )


@dataclass(frozen=True)
class HistorySection:
    """What the shop itself did in the simulated periods: the benchmark to beat, and the check of the fit."""

    price: Array = array("TN", "currency per unit that was charged", low=1e-9, high=1e9)
    units: Array = array("TN", "units that were sold", low=0, high=1e12)
    promotion: Array = array("TN", "share of stores with a display or in the mailer", low=0, high=1, default=0.0)
    first_day: str = value("first day of the first period, YYYY-MM-DD", default="2001-01-01")
    tables_sha256: str = value("fingerprint of the tables that the market was fitted on, empty if none", default="")
