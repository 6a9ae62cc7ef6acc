"""All that a period's compiled code must know of a market, laid out once and handed over as one argument."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.experimental import structref
from numpy.typing import NDArray

from ...pricing import MOVING_FEATURES, Catalogue, competitor
from ...pricing.features import FeatureConstants, feature_constants
from ...pricing.rule_formulas import StepConstants
from ...scenarios import MarketSpec
from ..jit.math import Held, compiled
from .demand_arrays import ChoiceParameters
from .expected_demand import catalogue_of
from .rival_rules import offer_rule
from .state import StateLayout, TableLayout

_OFF = np.empty(0, np.float32)


class MoneyParameters(NamedTuple):
    """What a period costs and earns, and what happens to units; all (N,) float32.

    dispersed: whether any demand is a gamma mixture. unit_cost; sold_cost, ordered_cost: the same, where it is due when sold
    or when ordered. The others are as in the spec.
    """

    backlog: bool
    dispersed: bool
    unit_cost: NDArray
    sold_cost: NDArray
    ordered_cost: NDArray
    order_cost: NDArray
    holding_cost: NDArray
    lost_sale_cost: NDArray
    backlog_cost: NDArray
    promotion_cost: NDArray
    salvage_value: NDArray
    overdispersion: NDArray
    return_probability: NDArray
    handling_cost: NDArray
    spoilage: NDArray
    opening_units: NDArray

    @classmethod
    def of(cls, spec: MarketSpec) -> MoneyParameters:
        """From a spec."""
        stock, zeros = spec.stock, np.zeros(spec.sizes["N"])
        cost = spec.products.unit_cost
        values = {
            "unit_cost": cost,
            "sold_cost": cost if stock.cost_due == "sold" else zeros,
            "ordered_cost": cost if stock.cost_due == "ordered" else zeros,
            "order_cost": stock.order_cost,
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


class PriceRules(NamedTuple):
    """Price rules as the loops want them.

    low, high: (N,) hard bounds of each product alone; steps: the rest of what `price_steps` needs. frozen: (N,) or (0,).
    most_changes: within so many periods, the window; 0 for any number. line: the products of all lines, one line after the other;
    opens: whether one is the smallest of its line; line_low, line_high: (N,) bounds that lines leave. paid_low: (N,) after a
    discount; cap and spread of discounts.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    steps: StepConstants
    frozen: NDArray[np.bool_]
    most_changes: int
    window: int
    line: NDArray[np.int64]
    opens: NDArray[np.bool_]
    line_low: NDArray[np.float32]
    line_high: NDArray[np.float32]
    paid_low: NDArray[np.float32]
    cap: np.float32
    spread: np.float32

    @classmethod
    def of(cls, spec: MarketSpec) -> PriceRules:
        """From a spec."""
        rules, steps = spec.guardrails, spec.guardrails.constants
        # A ladder's steps are read-only, which is another type to the compiler.
        steps = steps._replace(steps=np.array(steps.steps))
        return cls(
            low=rules.own_low,
            high=rules.own_high,
            steps=steps,
            frozen=np.empty(0, np.bool_) if rules.frozen is None else rules.frozen,
            most_changes=rules.max_changes or 0,
            window=rules.change_window_periods or 1,
            line=np.array([n for line in rules.lines for n in line], np.int64),
            opens=np.array([n == line[0] for line in rules.lines for n in line], np.bool_),
            line_low=rules.low,
            line_high=rules.high,
            paid_low=rules.paid_low,
            cap=np.float32(rules.max_discount),
            spread=np.float32(rules.max_segment_spread),
        )


class StockRules(NamedTuple):
    """How a market is replenished. level: (N,) ordered up to, or (0,) where the policy orders; most: (N,) that it can order; orders,
    immediate: whether anybody orders, and without a lead time. season: periods of a season, 0 for none. last: number of the
    period whose end salvages what is left, 0 for none.
    """

    level: NDArray[np.float32]
    most: NDArray[np.float32]
    orders: bool
    immediate: bool
    season: int
    last: int

    @classmethod
    def of(cls, spec: MarketSpec) -> StockRules:
        """From a spec."""
        stock, market = spec.stock, spec.market
        orders = stock.replenishment != "none"
        ends = bool(stock.salvage_value.any()) and market.ending == "terminated" and stock.season_periods is None
        level = stock.order_up_to_units if stock.replenishment == "order-up-to" else _OFF
        return cls(
            level=np.round(level).astype(np.float32),
            most=stock.max_order_units.astype(np.float32),
            orders=orders,
            immediate=orders and stock.lead_time_periods == 0,
            season=stock.season_periods or 0,
            last=market.horizon_periods if ends else 0,
        )


class RivalRules(NamedTuple):
    """How rivals price their R offers: kind and parameters of the rule, (R,) and (R, 3), see `offer_rule`; product: (R,)
    that each competes with; floor, ceiling, regular, cost: (R,) currency per unit. within: whether they answer within the
    period. drawn: whether their units are drawn.
    """

    kind: NDArray[np.int64]
    parameters: NDArray[np.float32]
    product: NDArray[np.int64]
    floor: NDArray[np.float32]
    ceiling: NDArray[np.float32]
    regular: NDArray[np.float32]
    cost: NDArray[np.float32]
    within: bool
    drawn: bool

    @classmethod
    def of(cls, spec: MarketSpec, drawn: bool) -> RivalRules:
        """From a spec."""
        rivals, single = spec.competitors, np.float32
        if rivals is None:
            none = np.empty(0, np.int64)
            return cls(none, np.empty((0, 3), single), none, _OFF, _OFF, _OFF, _OFF, False, drawn)
        rule = np.broadcast_to(np.array(rivals.rule, dtype=object), len(rivals.names))
        rules = [offer_rule(competitor(text)) for text in rule]
        return cls(
            kind=np.array([kind for kind, _ in rules], np.int64),
            parameters=np.array([parameters for _, parameters in rules], single),
            product=spec.competitor_product.astype(np.int64),
            floor=rivals.floor.astype(single),
            ceiling=rivals.ceiling.astype(single),
            regular=rivals.regular_price.astype(single),
            cost=rivals.unit_cost.astype(single),
            within=rivals.answers_within_period,
            drawn=drawn,
        )


class TransitionRules(NamedTuple):
    """What moves from period to period. memory: share of the reference price that is kept, 1 where nobody remembers.
    loyal: whether loyalty moves, with its memory, effects (K,), bounds and regular prices (N,). volatility, persistence,
    deviation of the shocks (volatility below 0 for none). transition: (Z, Z) cumulative, or (0, 0).
    """

    memory: np.float32
    loyal: bool
    loyalty_memory: np.float32
    price_effect: NDArray[np.float32]
    stockout_effect: NDArray[np.float32]
    bounds: tuple[np.float32, np.float32]
    regular: NDArray[np.float32]
    shocked: bool
    volatility: np.float32
    persistence: np.float32
    deviation: np.float32
    regime_matrix: NDArray[np.float64]

    @classmethod
    def of(cls, spec: MarketSpec) -> TransitionRules:
        """From a spec."""
        single, loyalty, shocks = np.float32, spec.loyalty, spec.shocks
        persistence = 0.0 if shocks is None else shocks.persistence
        volatility = 0.0 if shocks is None else shocks.volatility
        return cls(
            memory=single(1.0 if spec.reference_price is None else spec.reference_price.memory),
            loyal=loyalty is not None,
            loyalty_memory=single(1.0 if loyalty is None else loyalty.memory),
            price_effect=_OFF if loyalty is None else loyalty.price_effect.astype(single),
            stockout_effect=_OFF if loyalty is None else loyalty.stockout_effect.astype(single),
            bounds=(single(0), single(0)) if loyalty is None else (single(loyalty.low), single(loyalty.high)),
            regular=spec.products.regular_price.astype(single),
            shocked=shocks is not None,
            volatility=single(volatility),
            persistence=single(persistence),
            deviation=single(volatility * np.sqrt(1 - persistence**2)),
            regime_matrix=np.empty((0, 0)) if spec.regimes is None else np.cumsum(spec.regimes.transition, axis=1),
        )


class Sections(NamedTuple):
    """Which parts there are. personal: K where prices are personal, else 0. by_segment: whether the means of every segment
    are wanted. single: whether at most one customer comes. slots, promotions: whether there are; most: products promoted
    at once. candidates: (K, N), default_score: (K, N) of the recommender. profit: whether profit is the objective. ends:
    where each part of `MarketState.context` ends, in the order of `StateLayout`. table: of what a period fills.
    """

    personal: int
    by_segment: bool
    single: bool
    slots: bool
    promotions: bool
    most: int
    candidates: NDArray[np.bool_]
    default_score: NDArray[np.float32]
    profit: bool
    ends: tuple[int, int, int, int, int, int, int]
    table: TableLayout

    @classmethod
    def of(cls, spec: MarketSpec, stock: StockRules) -> Sections:
        """From a spec and its rules of stock."""
        slots, promotion, rivals = spec.recommendation, spec.promotion, spec.competitors
        personal = spec.sizes["K"] if spec.prices.max_discount > 0 else 0
        single = spec.arrivals.process == "single"
        candidates, score = np.empty((0, 0), np.bool_), np.empty((0, 0), np.float32)
        if slots is not None:
            candidates = slots.candidates > 0
            # Above zero in the order of the recommender's affinities, whatever their sign.
            score = (slots.affinity - slots.affinity.min(axis=1, keepdims=True) + 1.0).astype(np.float32)
        return cls(
            personal=personal,
            # Personal prices make every segment's units a draw of its own, whether a policy gives discounts or not.
            by_segment=bool(personal) or spec.loyalty is not None or single,
            single=single,
            slots=slots is not None,
            promotions=promotion is not None,
            most=0 if promotion is None else int(promotion.max_products),
            candidates=np.ascontiguousarray(candidates),
            default_score=np.ascontiguousarray(score),
            profit=spec.market.objective == "profit",
            ends=StateLayout.of(spec).ends,
            table=TableLayout.of(
                returned=spec.returns is not None,
                perished=bool(spec.stock.spoilage.any() or stock.season),
                received=stock.orders or stock.season > 0,
                ordered=stock.orders,
                personal=personal,
                # One in each half of the period.
                customers=single * (1 + (rivals is not None and rivals.answers_within_period)),
                promotions=promotion is not None,
            ),
        )


class FeatureTables(NamedTuple):
    """`FeatureConstants` as the loops want them; share: (C,) one over the number of products of a category."""

    time: NDArray[np.float32]
    log_season: NDArray[np.float32]
    log_outlook: NDArray[np.float32]
    log_ahead: NDArray[np.float32]
    log_now: NDArray[np.float32]
    log_before: NDArray[np.float32]
    log_regular: NDArray[np.float32]
    category: NDArray[np.int64]
    fixed: NDArray[np.float32]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, constants: FeatureConstants) -> FeatureTables:
        """From those of a catalogue."""
        tables = {name: getattr(constants, name) for name in cls._fields if name != "share"}
        return cls(**tables, share=(1 / constants.member.sum(axis=0)).astype(np.float32))


class FeatureParameters(NamedTuple):
    """What features are made of: tables of the catalogue, and what of the market is seen. regimes: number seen. window: of the
    price changes that are counted, 0 for none. moving: number of the columns that change."""

    tables: FeatureTables
    rivals: bool
    regimes: int
    loyal: bool
    window: int
    moving: int

    @classmethod
    def of(cls, catalogue: Catalogue) -> FeatureParameters:
        """From what policies know."""
        regimes, loyal, window = len(catalogue.regimes), catalogue.loyal, catalogue.change_window_periods
        more = catalogue.rivals + regimes + loyal * catalogue.num_segments + (window > 0)
        tables = FeatureTables.of(feature_constants(catalogue))
        return cls(tables, catalogue.rivals, regimes, loyal, window, len(MOVING_FEATURES) + more)


class Constants(NamedTuple):
    """All groups."""

    choice: ChoiceParameters
    money: MoneyParameters
    rules: PriceRules
    stock: StockRules
    rivals: RivalRules
    transition: TransitionRules
    sections: Sections
    features: FeatureParameters

    @classmethod
    def of(cls, spec: MarketSpec, *, draw_rivals: bool = False, believed: MarketSpec | None = None) -> Constants:
        """From a spec. draw_rivals: let the rivals' units be drawn, too. believed: the market that policies are told of."""
        stock = StockRules.of(spec)
        return cls(
            ChoiceParameters.of(spec),
            MoneyParameters.of(spec),
            PriceRules.of(spec),
            stock,
            RivalRules.of(spec, draw_rivals),
            TransitionRules.of(spec),
            Sections.of(spec, stock),
            FeatureParameters.of(catalogue_of(believed or spec)),
        )


@structref.register
class _MarketArraysType(Held):
    pass


class MarketArrays(structref.StructRefProxy):
    """`Constants` behind one pointer."""

    def __new__(cls, constants: Constants) -> MarketArrays:
        """The plan of these constants."""
        return _market_arrays(constants)


structref.define_proxy(MarketArrays, _MarketArraysType, list(Constants._fields))


@compiled
def _market_arrays(constants):
    return MarketArrays(*constants)
