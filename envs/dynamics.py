"""One period of E markets: (state, action) -> (state, outcome), pure, with randomness keyed and not stored.

Order of events: orders are placed (and arrive at once where the lead time is 0); customers arrive and choose at the
prices of the period, in two halves where rivals answer within it; sales are cut to stock; units return, perish, or leave
at a season's end; what was ordered a lead time ago arrives for the next period; reference prices, loyalty, shocks and the
regime move on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec
from ..scenarios.families import family_function
from . import advancing, selling, stocking
from .choice import Choice, Situation, mean_demand
from .credit import charges
from .parameters import ChoiceParameters, MoneyParameters
from .random import period_keys, poisson_lanes
from .slots import choose_promoted, choose_shown
from .state import (
    LIST_PRICE,
    ON_HAND,
    ORDERED,
    PERIOD,
    PIPELINE,
    RECEIVED,
    REFERENCE_PRICE,
    Floats,
    MarketState,
    Outcome,
    StateLayout,
)


class Decision(NamedTuple):
    """An allowed action as the step takes it, markets last. N products, K segments, R rival offers, E markets.

    price: (N, E). discount: (K, N, E) or None. score: (K, N, E) recommendation scores, None for the recommender's own
    choice. promotion: (N, E) scores or None. order: (N, E) units or None. trail: (N, E) what the guardrails changed.
    propensity: (N, E) or None. rival_price: (R, E) in force as the period opens; rival_answer: (R, E) from half-period on,
    or None where rivals do not answer within it. credit_price: (N,) prices of the counterfactual that `Outcome.charge` is
    worked out against, or None for no charges.
    """

    price: Floats
    discount: Floats | None
    score: Floats | None
    promotion: Floats | None
    order: Floats | None
    trail: NDArray[np.uint16]
    propensity: Floats | None
    rival_price: Floats
    rival_answer: Floats | None
    credit_price: Floats | None


class Dynamics:
    """The step of E markets of one spec. Holds constants only: the state comes in and goes out."""

    def __init__(self, spec: MarketSpec, num_markets: int, seed: int, *, draw_rivals: bool = False) -> None:
        self.spec, self.num_markets, self.seed, self.draw_rivals = spec, num_markets, seed, draw_rivals
        self.layout = StateLayout.of(spec)
        self.choice = ChoiceParameters.of(spec)
        self.money = MoneyParameters.of(spec)
        self._family = family_function(spec.demand.family)
        # Personal prices make every segment's units a draw of its own, whether a policy gives discounts or not.
        self._personal = spec.sizes["K"] if spec.prices.max_discount > 0 else 0
        self._by_segment = bool(self._personal) or spec.loyalty is not None or spec.arrivals.process == "single"
        self._none, self._never = np.empty((0, num_markets), np.float32), np.empty(0, np.bool_)
        self._nobody = np.empty((0, num_markets), np.int64)
        level = spec.stock.order_up_to_units if spec.stock.replenishment == "order-up-to" else np.empty(0)
        self._level = np.round(level).astype(np.float32)
        self._most = spec.stock.max_order_units.astype(np.float32)[:, None]
        self._memory = np.float32(1.0 if spec.reference_price is None else spec.reference_price.memory)
        self._rival_cost = np.zeros((0, 1), np.float32)
        if spec.competitors is not None:
            self._rival_cost = spec.competitors.unit_cost.astype(np.float32)[:, None]
        self._flows = (
            spec.returns is not None
            or spec.stock.replenishment != "none"
            or bool(spec.stock.spoilage.any() or spec.stock.season_periods or spec.stock.salvage_value.any())
        )
        slots = spec.recommendation
        if slots is not None:
            self._candidates = slots.candidates > 0
            # Above zero in the order of the recommender's affinities, whatever their sign.
            score = slots.affinity - slots.affinity.min(axis=1, keepdims=True) + 1.0
            self._default_score = np.repeat(score.astype(np.float32)[:, :, None], num_markets, axis=2)

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
        if spec.competitors is not None:
            context[self.layout.rival_price] = spec.competitors.regular_price[:, None]
        state = MarketState(clock, lanes, context, self.layout)
        advancing.open_context(spec, state, self._opening_keys(state))
        return state

    @property
    def nbytes(self) -> int:
        """Bytes of the constants."""
        return sum(a.nbytes for part in (self.choice, self.money) for a in part if isinstance(a, np.ndarray))

    def _opening_keys(self, state: MarketState) -> NDArray[np.uint64]:
        clock = state.clock.copy()
        clock[PERIOD] = -1  # no period of the episode: the opening has draws of its own
        return period_keys(self.seed, clock)

    def step(self, state: MarketState, now: Decision) -> tuple[MarketState, Outcome]:
        """One period under an allowed action."""
        keys = period_keys(self.seed, state.clock)
        lanes = state.lanes.copy()
        flows = np.zeros((4 if self._flows else 0, *now.price.shape), np.float32)
        ordered = self._order(state, now, lanes, flows)
        situation, runner_up = self._situation(state, now, lanes[ON_HAND])
        halves = self._halves(situation, now)
        choice = halves[0] if len(halves) == 1 else _whole(halves)
        demand, by_segment, rival_units = self._draw(halves, choice, keys)
        ends, money = self._season_ends(state), np.empty((7, *now.price.shape), np.float32)
        offered = (now.price, situation.paid, lanes[ON_HAND], ordered, situation.promoted, ends)
        wanted = (choice.mean, choice.units, self._chances(halves), by_segment, demand)
        selling.settle(self.money, keys, self.spec.sizes["K"], offered, wanted, money, flows)
        rival_price = now.rival_price if now.rival_answer is None else now.rival_answer
        outcome = Outcome(
            price=now.price,
            money=money,
            flows=flows,
            taken=self._charges(situation, halves, runner_up, now.credit_price),
            slots=situation.shown,
            promotions=situation.promoted,
            by_segment=by_segment,
            rules=now.trail,
            stated=now.propensity,
            rivals=(rival_price, rival_units, self._rival_cost),
        )
        return self._advance(state, lanes, keys, outcome, choice, situation.paid, demand, ends), outcome

    def _charges(
        self,
        situation: Situation,
        halves: list[Choice],
        runner_up: NDArray[np.int64],
        credit_price: NDArray[np.float32] | None,
    ) -> Floats | None:
        """(N, E) what each product took from the others, or None where nobody asked."""
        if credit_price is None:
            return None
        counts = np.float32(self.spec.market.objective == "profit")
        cost = self.spec.products.unit_cost.astype(np.float32) * counts
        taken = [charges(self.choice, situation, half, credit_price, runner_up, cost) for half in halves]
        return taken[0] if len(taken) == 1 else taken[0] + taken[1]

    def _order(self, state: MarketState, now: Decision, lanes: Floats, flows: Floats) -> Floats:
        """Place the period's orders in `lanes`; units ordered, (N, E) or (0, E)."""
        stock = self.spec.stock
        if stock.replenishment == "none":
            return self._none
        quantity = flows[ORDERED]
        asked = quantity
        if stock.replenishment == "action" and now.order is not None:
            asked = np.round(np.clip(np.nan_to_num(now.order, nan=0.0), 0, self._most)).astype(np.float32)
        immediate = stock.lead_time_periods == 0
        stocking.order(self._level, asked, state.period, immediate, lanes, quantity)
        if immediate:
            flows[RECEIVED] = quantity
        return quantity

    def _situation(self, state: MarketState, now: Decision, stock: Floats) -> tuple[Situation, NDArray[np.int64]]:
        """What customers meet as the period opens, and who would have had the slots instead, (K, E) or (0, E)."""
        available = np.ones_like(stock) if self.money.backlog else stock
        shown = runner_up = self._nobody
        if self.spec.recommendation is not None:
            shown, runner_up = np.empty((2, self.spec.sizes["K"], self.num_markets), np.int64)
            score = self._default_score if now.score is None else now.score
            choose_shown(score, self._candidates, available, shown, runner_up)
        promoted = self._none
        if self.spec.promotion is not None:
            promoted = np.zeros_like(stock)
            if now.promotion is not None:
                choose_promoted(now.promotion, int(self.spec.promotion.max_products), promoted)
        paid = np.empty((self._personal, *stock.shape), np.float32)
        if self._personal:
            paid[:] = now.price if now.discount is None else now.price * (1 - now.discount)
        situation = Situation(
            period=state.period,
            regime=state.regime,
            price=now.price,
            reference=state.lanes[REFERENCE_PRICE],
            available=available,
            paid=paid,
            shown=shown,
            promoted=promoted,
            rival_price=now.rival_price,
            multiplier=advancing.arrival_multiplier(self.spec, state),
            waiting=state.context[self.layout.waiting],
        )
        return situation, runner_up

    def _halves(self, situation: Situation, now: Decision) -> list[Choice]:
        """The choice of the whole period, or of each half where rivals answer within it."""
        wanted = {"by_segment": self._by_segment, "detail": now.credit_price is not None}
        if now.rival_answer is None:
            return [mean_demand(self.choice, situation, self._family, **wanted)]
        scale = 1.0 if self.spec.arrivals.process == "single" else 0.5
        # Of those who waited half come in each half; those who wait in either half come back in the next period.
        first = situation._replace(scale=scale, waiting=situation.waiting * np.float32(scale))
        second = first._replace(rival_price=now.rival_answer)
        return [mean_demand(self.choice, half, self._family, **wanted) for half in (first, second)]

    def _chances(self, halves: list[Choice]) -> Floats:
        """(H, N, E) probability of a sale to the customer of each half, or (0, N, E) where any number come."""
        if self.spec.arrivals.process == "single":
            return np.stack([half.units for half in halves])
        return np.empty((0, *halves[0].units.shape), np.float32)

    def _draw(self, halves: list[Choice], choice: Choice, keys: NDArray[np.uint64]) -> tuple[Floats, Floats, Floats]:
        """Demand (N, E), by segment (K, N, E) or (0, N, E), and the rivals' units (R, E)."""
        products, markets = choice.units.shape
        demand = np.zeros((products, markets), np.float32)
        by_segment = np.zeros((self._personal, products, markets), np.float32)
        common = advancing.first_common(self.spec)
        if self.spec.arrivals.process == "single":
            rivals = np.zeros_like(choice.rival_units)
            p, categories = self.choice, self.spec.sizes["C"]
            for i, half in enumerate(halves):
                first = common + advancing.CUSTOMERS + i * categories
                arrays = (half.mean, half.rival_units, by_segment, demand, rivals)
                selling.draw_single(p.category, p.rival_category, keys, first, *arrays)
            return demand, by_segment, rivals
        segments = self.spec.sizes["K"]
        arrays = (choice.mean, choice.units, by_segment, demand)
        selling.draw_poisson(self.money.overdispersion, keys, segments, *arrays)
        rivals = choice.rival_units
        if self.draw_rivals:
            rivals = np.empty_like(choice.rival_units)
            for r in range(len(rivals)):
                first = common + advancing.CUSTOMERS + 2 * self.spec.sizes["C"]
                poisson_lanes(choice.rival_units[r], keys, first + r, rivals[r])
        return demand, by_segment, rivals

    def _season_ends(self, state: MarketState) -> NDArray[np.bool_]:
        """(E,) whether a selling season ends with this period, or (0,) where that does not matter."""
        stock, market = self.spec.stock, self.spec.market
        if stock.season_periods is not None:
            return (state.period + 1) % stock.season_periods == 0
        if stock.salvage_value.any() and market.ending == "terminated":
            return state.period + 1 == market.horizon_periods
        return self._never

    def _advance(
        self,
        state: MarketState,
        lanes: Floats,
        keys: NDArray[np.uint64],
        outcome: Outcome,
        choice: Choice,
        paid: Floats,
        demand: Floats,
        ends: NDArray[np.bool_],
    ) -> MarketState:
        """The state that opens the next period; `lanes` hold the stock after ordering and are finished in place."""
        spec, clock = self.spec, state.clock.copy()
        clock[PERIOD] += 1
        stock = spec.stock
        stocking.close_period(
            self.money,
            keys,
            spec.sizes["K"],
            clock[PERIOD],
            stock.replenishment != "none" and stock.lead_time_periods > 0,
            ends if stock.season_periods is not None else self._never,
            self._memory,
            outcome.price,
            outcome.money,
            outcome.flows,
            lanes,
        )
        if not self.layout.rows and spec.regimes is None:
            return MarketState(clock, lanes, state.context, self.layout)
        context = state.context.copy()
        context[self.layout.waiting] = choice.waiting
        context[self.layout.rival_price] = outcome.rival_price.T
        context[self.layout.rival_units] = outcome.rival_units.T
        after = MarketState(clock, lanes, context, self.layout)
        advancing.move_context(spec, after, keys, outcome, choice, paid, demand)
        return after


def _whole(halves: list[Choice]) -> Choice:
    """The means of a period from those of its halves."""
    first, second = halves
    return second._replace(
        mean=first.mean + second.mean,
        units=first.units + second.units,
        rival_units=first.rival_units + second.rival_units,
        waiting=first.waiting + second.waiting,
    )
