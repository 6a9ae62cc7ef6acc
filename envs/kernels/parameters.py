"""A scenario as arrays for the compiled loops, grouped by purpose and passed as one argument."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...pricing import Catalogue
from ...pricing.features import MOVING, feature_constants, moving_columns
from ...pricing.observed import FACTS
from ...scenarios import MarketSpec
from ...scenarios.sections import Express
from .choice_parameters import choice_parameters
from .expected_demand import catalogue_of
from .planned_deals import DealRules
from .price_rules import PriceRules
from .rival_rules import RivalRules
from .state import StateLayout
from .transitions import TransitionRules

_OFF = np.empty(0, np.float32)


def by_supplier(spec: MarketSpec, regular: NDArray, faster: Callable[[Express], NDArray]) -> NDArray:
    """(S, N) numbers of the supplier, and of the one that delivers sooner, where there is one."""
    return np.stack([regular] if spec.express is None else [regular, faster(spec.express)])


_MONEY_PARAMETERS = """
backlog dispersed net unit_cost sold_cost ordered_cost order_cost holding_cost lost_sale_cost backlog_cost
promotion_cost salvage_value overdispersion return_probability handling_cost spoilage opening_units
"""


class MoneyParameters(namedtuple("MoneyParameters", _MONEY_PARAMETERS)):
    """Costs, and parameters of the flow of units; all arrays (N,) float32, or (S, N) for S suppliers.

    Most are as in the scenario.

    Attributes:
        backlog: Whether unmet demand is served later instead of lost.
        dispersed: Whether the demand of any product is overdispersed.
        net: What the shop keeps of a price that holds VAT, as a share of it; 1 without.
        unit_cost: Currency per unit.
        sold_cost: Unit cost if it is due on sale, else 0.
        ordered_cost: (S, N) currency per unit ordered: the unit cost if it is due on order, and the extra cost of express orders.
        order_cost: (S, N) currency per order.
        holding_cost: Currency per unit left at the end of a period.
        lost_sale_cost: Currency per unit demanded beyond stock.
        backlog_cost: Currency per unit owed and period.
        promotion_cost: Currency per promoted period.
        salvage_value: Currency per unit left at the end of a season.
        overdispersion: Variance of the gamma multiplier of demand.
        return_probability: Share of the units sold that are returned.
        handling_cost: Currency per unit returned.
        spoilage: Probability that a unit left perishes.
        opening_units: Stock at the start of an episode or season, units.
    """

    @classmethod
    def of(cls, spec: MarketSpec) -> MoneyParameters:
        """The parameters of a scenario."""
        stock = spec.stock
        zeros = np.zeros(spec.sizes["N"])
        cost = spec.products.unit_cost
        due = cost if stock.cost_due == "ordered" else zeros
        values = {
            "net": 1 / (1 + spec.products.vat),
            "unit_cost": cost,
            "sold_cost": cost if stock.cost_due == "sold" else zeros,
            "ordered_cost": by_supplier(spec, due, lambda express: due + express.extra_cost),
            "order_cost": by_supplier(spec, stock.order_cost, lambda express: express.order_cost),
            "holding_cost": stock.holding_cost,
            "lost_sale_cost": stock.lost_sale_cost,
            "backlog_cost": stock.backlog_cost,
            "promotion_cost": zeros if spec.promotion is None else spec.promotion.cost,
            "salvage_value": stock.salvage_value,
            "overdispersion": spec.arrivals.overdispersion,
            "return_probability": zeros if spec.returns is None else spec.returns.probability,
            "handling_cost": zeros if spec.returns is None else spec.returns.handling_cost,
            "spoilage": stock.spoilage,
            "opening_units": np.floor(stock.initial_units),
        }
        arrays = {name: np.array(value, dtype=np.float32) for name, value in values.items()}
        dispersed = bool(spec.arrivals.overdispersion.any())
        return cls(backlog=stock.shortage == "backlog", dispersed=dispersed, **arrays)

    def scaled(self, factor: float) -> MoneyParameters:
        """The parameters with a multiple of the unit costs."""
        costs = {name: getattr(self, name) * np.float32(factor) for name in ("unit_cost", "sold_cost", "ordered_cost")}
        return self._replace(**costs)


class StockRules(namedtuple("StockRules", "level most orders immediate lead delay use added season last limited")):
    """Replenishment by S suppliers: one, and where there is one, the one that delivers sooner.

    Attributes:
        level: (N,) order-up-to level, units, or (0,) if the policy orders.
        most: (S, N) largest order, units.
        orders: Whether there are orders at all.
        immediate: Whether the lead time of every product is 0.
        lead: (S, N) lead time, periods.
        delay: (N,) probability that a delivery that is due is late, or (0,) if none is.
        use: (H, N) units of shared resources that a unit of a product uses, or (0, N).
        added: (T + 1, H) units added to them at the start of each period; none after the last.
        season: Periods of a selling season; 0 for none.
        last: Number of periods after which the rest of the stock is salvaged; 0 for never.
        limited: Whether a product may be sold out.
    """

    @classmethod
    def of(cls, spec: MarketSpec) -> StockRules:
        """The replenishment of a scenario."""
        stock = spec.stock
        market = spec.market
        orders = stock.replenishment != "none"
        ends = bool(stock.salvage_value.any()) and market.ending == "terminated" and stock.season_periods is None
        level = stock.order_up_to_units if stock.replenishment == "order-up-to" else _OFF
        use = np.empty((0, spec.sizes["N"]))
        added = np.empty((0, 0))
        if spec.capacity is not None:
            use = spec.capacity.use
            added = np.pad(spec.capacity.added, ((0, 1), (0, 0)))
        most = by_supplier(spec, stock.max_order_units, lambda express: express.max_order_units)
        return cls(
            level=np.round(level).astype(np.float32),
            most=np.floor(most).astype(np.float32),
            orders=orders,
            immediate=orders and not stock.lead_time_periods.any(),
            lead=by_supplier(spec, stock.lead_time_periods, lambda express: express.lead_time_periods).astype(np.int64),
            delay=stock.delay_probability.astype(np.float32) if stock.delay_probability.any() else _OFF,
            use=use.astype(np.float32),
            added=added.astype(np.float32),
            season=stock.season_periods or 0,
            last=market.horizon_periods if ends else 0,
            limited=stock.shortage == "lost"
            and (spec.capacity is not None or bool(np.isfinite(stock.initial_units).any())),
        )


_SECTIONS = """
personal by_segment single slots promotions most candidates default_score profit returned perished received
suppliers visits ends
"""


class Sections(namedtuple("Sections", _SECTIONS)):
    """Which sections of the scenario are on.

    Attributes:
        personal: K if there are personal prices, else 0.
        by_segment: Whether mean units are needed for every segment.
        single: Whether at most one customer comes.
        slots: Whether there are recommendation slots.
        promotions: Whether there are promotions.
        most: Largest number of products on promotion at once.
        candidates: (K, N) whether the recommender may show a product to a segment.
        default_score: (K, N) the recommender's scores.
        profit: Whether profit is the objective, not revenue.
        returned: Whether units may be returned.
        perished: Whether units may perish.
        received: Whether units may be received.
        suppliers: Number of suppliers from which units may be ordered.
        visits: Number of single customers in a period, or 0.
        ends: End of each part of `MarketState.context`, in the order of `StateLayout`.
    """

    @classmethod
    def of(cls, spec: MarketSpec, stock: StockRules) -> Sections:
        """The sections of a scenario with this replenishment."""
        slots = spec.recommendation
        promotion = spec.promotion
        personal = spec.sizes["K"] if spec.prices.max_discount > 0 else 0
        single = spec.arrivals.process == "single"
        candidates = np.empty((0, 0), np.bool_)
        score = np.empty((0, 0), np.float32)
        if slots is not None:
            candidates = slots.candidates > 0
            # Positive scores in the order of the recommender's affinities, whatever their sign.
            score = (slots.affinity - slots.affinity.min(axis=1, keepdims=True) + 1.0).astype(np.float32)
        return cls(
            personal=personal,
            # With personal prices the units of every segment are drawn separately, even without
            # discounts.
            by_segment=bool(personal) or spec.loyalty is not None or single,
            single=single,
            slots=slots is not None,
            promotions=promotion is not None,
            most=0 if promotion is None else int(promotion.max_products),
            candidates=np.ascontiguousarray(candidates),
            default_score=np.ascontiguousarray(score),
            profit=spec.market.objective == "profit",
            returned=spec.returns is not None,
            perished=bool(spec.stock.spoilage.any() or stock.season),
            received=stock.orders or stock.season > 0,
            suppliers=stock.orders * len(stock.lead),
            visits=single * spec.visits,
            ends=tuple(part.stop for part in StateLayout.of(spec)),
        )


_TABLES = "time log_season log_outlook log_ahead log_now log_before log_regular category fixed"


FeaturePlaces = namedtuple("FeaturePlaces", list(MOVING))
"""A number for each feature that changes from period to period, by name."""
ObservedFacts = namedtuple("ObservedFacts", FACTS)
"""How much of something policies observe, by the field of the catalogue that says so, see `Catalogue.amount`."""


class FeatureParameters(namedtuple("FeatureParameters", f"{_TABLES} share first columns facts moving")):
    """Parameters of the features that policies observe: the arrays of `FeatureConstants`, and these.

    Attributes:
        share: (C,) one over the number of products of a category.
        first: `FeaturePlaces`, the first column of each feature.
        columns: `FeaturePlaces`, the number of its columns: 0 where it is not observed.
        facts: `ObservedFacts`.
        moving: Number of columns that change from period to period.
    """

    @classmethod
    def of(cls, catalogue: Catalogue) -> FeatureParameters:
        """From the catalogue that policies see."""
        constants = feature_constants(catalogue)
        named = moving_columns(catalogue)
        columns = FeaturePlaces._make(len(named.get(name, ())) for name in MOVING)
        ends = np.cumsum(columns).tolist()
        first = FeaturePlaces._make(end - count for end, count in zip(ends, columns, strict=True))
        facts = ObservedFacts._make(catalogue.amount(fact) for fact in FACTS)
        share = (1 / constants.member.sum(axis=0)).astype(np.float32)
        tables = [getattr(constants, name) for name in _TABLES.split()]
        return cls._make([*tables, share, first, columns, facts, ends[-1]])


class Constants(namedtuple("Constants", "choice money rules stock rivals transition sections features deals")):
    """All groups of parameters."""

    @classmethod
    def of(cls, spec: MarketSpec, *, draw_rivals: bool = False, assumed: MarketSpec | None = None) -> Constants:
        """All parameters of a scenario.

        Args:
            spec: The scenario.
            draw_rivals: Draw the rivals' units instead of using their expectation.
            assumed: The market that policies believe in, whose features they observe.
        """
        stock = StockRules.of(spec)
        return cls(
            choice_parameters(spec),
            MoneyParameters.of(spec),
            PriceRules.of(spec),
            stock,
            RivalRules.of(spec, draw_rivals),
            TransitionRules.of(spec),
            Sections.of(spec, stock),
            FeatureParameters.of(catalogue_of(assumed or spec)),
            DealRules.of(spec),
        )
