"""The sections `[stock]`, `[express]` and `[capacity]` of a market description: where units for sale come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fields import array, choice, scalar, value

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stock:
    """Units for sale; customers are served in random order.

    replenishment: none; order-up-to: the market orders by rule at the start of each period; action:
    the policy orders. shortage: demand beyond stock is lost, or backlogged (paid for immediately
    and delivered later; units on hand are then negative). cost_due: unit costs are charged on units
    sold or on units ordered.
    """

    initial_units: Array = array("N", "units on hand at the start; inf is unlimited", low=0, default=np.inf)
    replenishment: str = choice("how stock is replenished", "none", "order-up-to", "action", default="none")
    order_up_to_units: Array = array("N", "units on hand and on order after an order", low=0, high=1e9, default=0.0)
    max_order_units: Array = array("N", "largest order of the policy", low=0, high=1e9, default=0.0)
    lead_time_periods: Array = array("N", "periods from order to delivery", low=0, high=1000, default=1.0)
    delay_probability: Array = array(
        "N",
        "probability that a delivery that is due comes a period later, each period anew, together with what is due then",
        low=0,
        high=0.99,
        default=0.0,
    )
    shortage: str = choice("what happens to demand beyond stock", "lost", "backlog", default="lost")
    cost_due: str = choice("when unit costs are charged", "sold", "ordered", default="sold")
    order_cost: Array = array("N", "currency per order placed", low=0, high=1e9, default=0.0)
    holding_cost: Array = array("N", "currency per unit on hand at the end of a period", low=0, high=1e9, default=0.0)
    lost_sale_cost: Array = array(
        "N",
        "currency per unit of lost sales: demand beyond stock, also of a sold-out product, less customers who buy another",
        low=0,
        high=1e9,
        default=0.0,
    )
    backlog_cost: Array = array(
        "N", "currency per backlogged unit at the end of a period", low=0, high=1e9, default=0.0
    )
    spoilage: Array = array("N", "probability that a unit on hand perishes in a period", low=0, high=0.99, default=0.0)
    season_periods: int | None = scalar(
        "periods in a selling season: leftovers perish at its end, and the next starts with `initial_units`; by default the episode",
        low=1,
        high=100_000,
        optional=True,
    )
    salvage_value: Array = array(
        "N",
        "currency per unit left at the end of a season, or of an episode that is terminated; negative for disposal",
        low=-1e9,
        high=1e9,
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

    max_order_units: Array = array("N", "largest order of the policy", low=0, high=1e9)
    lead_time_periods: Array = array(
        "N", "periods from order to delivery, fewer than `stock.lead_time_periods`", low=0, high=1000, default=0.0
    )
    extra_cost: Array = array("N", "currency per unit ordered, beside its unit cost", low=0, high=1e9, default=0.0)
    order_cost: Array = array("N", "currency per order placed", low=0, high=1e9, default=0.0)


@dataclass(frozen=True)
class Capacity:
    """Resources that products share, as itineraries share the seats of flights: a sale uses some of each.

    A product that needs more of a resource than is left is sold out. For markets of one category
    with `arrivals.process = "single"`, whose products have no stock of their own.
    """

    names: tuple[str, ...] = value("H names of the resources")
    units: Array = array("H", "units before the first period", low=0, high=1e6)
    use: Array = array("HN", "units that one unit of a product uses", low=0, high=1e6)
    added: Array = array(
        "TH",
        "units added at the start of a period; below 0 they are withdrawn, as far as they are left",
        low=-1e6,
        high=1e6,
        default=0.0,
    )
