"""One period of E markets: (state, action) -> (state, outcome), pure, with randomness keyed and not stored.

Order of events: prices are guarded; orders are placed (and arrive at once where the lead time is 0); customers arrive and
choose at the prices of the period, in two halves where rivals answer within it; sales are cut to stock; units return,
perish, or leave at a season's end; what was ordered a lead time ago arrives for the next period; reference prices,
loyalty, shocks and the regime move on. `period` has the stages.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec
from ..scenarios.families import family_function
from .advancing import open_context
from .choice import mean_demand
from .expecting import expected_money
from .period import (
    finish_period,
    half_share,
    open_period,
    part_of,
    parts_of,
    results_of,
    room_for_period,
    run_period,
    together,
)
from .plan import Constants, Plan
from .random import period_keys
from .state import (
    LIST_PRICE,
    ON_HAND,
    ORDERED,
    PERIOD,
    PIPELINE,
    REFERENCE_PRICE,
    REGIME,
    Expected,
    Floats,
    MarketState,
    Outcome,
    StateLayout,
    shared_rows,
)


class Decision(NamedTuple):
    """A proposed action as the step takes it, markets last. N products, K segments, R rival offers, E markets.

    asked: (A, N, E), the price (currency per unit) and behind it as many rows as counts, (4,), says of discounts (K or 0),
    recommendation scores (K or 0, the recommender's own choice), promotion scores (1 or 0) and orders in units (1 or 0).
    propensity: (N, E) or None. rival_price: (R, E), NaN where the scenario's rule decides, or (0, E) where it always does.
    credit_price: (N,) prices of the counterfactual that `Outcome.charge` is worked out against, or (0,) for no charges.
    """

    asked: Floats
    counts: NDArray[np.int64]
    propensity: Floats | None
    rival_price: Floats
    credit_price: Floats


class Dynamics:
    """The step of E markets of one spec. Holds constants only: the state comes in and goes out."""

    def __init__(
        self,
        spec: MarketSpec,
        num_markets: int,
        seed: int,
        draw_rivals: bool = False,
        known: MarketSpec | None = None,
    ) -> None:
        self.spec, self.num_markets, self.seed, self.draw_rivals, self.known = (
            spec,
            num_markets,
            seed,
            draw_rivals,
            known,
        )
        self.layout = StateLayout.of(spec)
        self.constants = constants = Constants.of(spec, draw_rivals=draw_rivals, known=known)
        self.plan = Plan(constants)
        self._family = family_function(spec.demand.family)
        sections, products = constants.sections, spec.sizes["N"]
        self._table = sections.table
        self._shape, self._offers = (products, num_markets), (2, spec.sizes["R"], num_markets)
        self._slots = (2, spec.sizes["K"] if sections.slots else 0, num_markets)
        self._rival_cost = constants.rivals.cost[:, None]

    def __reduce__(self) -> tuple:
        return Dynamics, (self.spec, self.num_markets, self.seed, self.draw_rivals, self.known)

    def initial_state(self, market: NDArray[np.int64], episode: NDArray[np.int64]) -> MarketState:
        """The opening of the given episode of each market: regular prices, full shelves, no orders."""
        spec, products = self.spec, self.spec.sizes["N"]
        slots = 0 if spec.stock.replenishment == "none" else max(spec.stock.lead_time_periods, 1)
        clock = np.zeros((4, self.num_markets), dtype=np.int64)
        clock[0], clock[1] = market, episode
        lanes = np.zeros((PIPELINE + slots, products, self.num_markets), np.float32)
        opening = np.clip(spec.products.regular_price, spec.guardrails.low, spec.guardrails.high)
        lanes[LIST_PRICE] = opening[:, None]
        lanes[REFERENCE_PRICE] = spec.products.regular_price[:, None]
        lanes[ON_HAND] = np.floor(spec.stock.initial_units)[:, None]
        context = np.zeros((self.layout.rows, self.num_markets), np.float32)
        context[self.layout.loyalty] = 1.0
        # The opening price has stood for as long as anybody looks back.
        context[self.layout.past] = np.tile(opening, spec.guardrails.past_periods)[:, None]
        if spec.competitors is not None:
            context[self.layout.rival_price] = spec.competitors.regular_price[:, None]
        # No period of the episode: the opening has draws of its own.
        clock[PERIOD] = -1
        keys = period_keys(self.seed, clock)
        clock[PERIOD] = 0
        initial = np.empty((1, 0)) if spec.regimes is None else np.cumsum(spec.regimes.initial)[None]
        open_context(
            self.constants.shifts, self.constants.choice, initial, keys, clock[REGIME], context[self.layout.shock]
        )
        return MarketState(clock, lanes, context, self.layout)

    @property
    def nbytes(self) -> int:
        """Bytes of the constants."""
        parts = (self.constants.choice, self.constants.money)
        return sum(a.nbytes for part in parts for a in part if isinstance(a, np.ndarray))

    def step(self, state: MarketState, now: Decision) -> tuple[MarketState, Outcome]:
        """One period under a proposed action."""
        clock, lanes, context = state.clock.copy(), state.lanes.copy(), state.context.copy()
        table = np.empty((self._table.promoted + (now.credit_price.size > 0), *self._shape), np.float32)
        trail, slots = np.empty(self._shape, np.uint16), np.empty(self._slots, np.int64)
        offers = np.empty(self._offers, np.float32)
        moving, results = (clock, lanes, context), (table, trail, slots, offers)
        if self._family is None:
            given = (now.asked, now.counts, now.rival_price, now.credit_price)
            run_period(self.plan, self.seed, *moving, *given, *results)
        else:
            self._run_with_family(moving, now, results)
        outcome = self._outcome(now, state.clock[PERIOD], *results)
        return MarketState(clock, lanes, context, self.layout), outcome

    def _outcome(
        self,
        now: Decision,
        period: NDArray[np.int64],
        table: Floats,
        trail: NDArray[np.uint16],
        slots: NDArray[np.int64],
        offers: Floats,
    ) -> Outcome:
        money, flows, segments, paid, chances, promoted = self._table
        moved, charged, none = table[money + 2 : flows], table[segments:paid], table[0, :0]
        promotions = table[chances] if promoted > chances else none
        price, ordered = charged[1] if len(charged) else table[0], moved[ORDERED] if len(moved) else none
        goods = (price, table[money], table[money + 1], table[paid:chances])
        return Outcome(
            price=table[0],
            money=table[1:money],
            flows=moved,
            charged=charged,
            expectation=Expected(expected_money, self.plan, period, *goods, ordered, promotions),
            taken=table[-1] if now.credit_price.size else None,
            slots=slots[0],
            promotions=promotions,
            by_segment=table[flows:segments],
            rules=trail,
            stated=now.propensity,
            rivals=(offers[0], offers[1], self._rival_cost),
        )

    def _run_with_family(self, moving: tuple, now: Decision, results: tuple) -> None:
        """As `run_period`, asking an extension's demand family in between."""
        clock, lanes, context = moving
        plan, keys, period = self.constants, period_keys(self.seed, clock), clock[PERIOD].copy()
        shared, out = shared_rows(plan.sections, context), results_of(plan.sections, *results)
        parts, detail = parts_of(now.asked, now.counts), now.credit_price.size > 0
        room = room_for_period(plan, self.num_markets, parts.score, parts.promotion, detail)
        opening = open_period(plan, lanes, clock[REGIME], period, shared, parts, now.rival_price, room, out)
        prices, scale = (opening.rival_price, out.rival_price), half_share(plan)
        first, second = (
            mean_demand(plan.choice, part_of(opening, price, shared.waiting, scale), self._family) for price in prices
        )
        room = room._replace(first=first, second=second, whole=first)
        if plan.rivals.within:
            together(first, second, second)
            room = room._replace(whole=second)
        finish_period(plan, keys, clock, lanes, shared, opening, now.credit_price, parts.promotion, room, out)
