"""One period of E markets: (state, action) -> (state, outcome), pure, with randomness keyed and not stored.

Order of events: the market's own orders are placed (and arrive at once where the lead time is 0); customers arrive
and choose at the prices of the period; sales are cut to stock; the reference price moves; what was ordered a lead time
ago arrives for the next period.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pricing import GuardedAction
from ..scenarios import MarketSpec
from . import kernels
from .choice import Choice, mean_demand
from .credit import charges
from .random import market_keys
from .state import Floats, MarketState, Outcome
from .tiling import Tiling


class Dynamics:
    """The step of E markets of one spec. Holds constants only: the state comes in and goes out."""

    def __init__(self, spec: MarketSpec, num_markets: int, seed: int) -> None:
        self.spec, self.num_markets, self.seed = spec, num_markets, seed
        self.tiling = Tiling.of(spec, num_markets)
        self._order_up_to = np.round(spec.stock.order_up_to_units).astype(np.float32)
        self._by_segment = spec.prices.max_discount > 0

    def initial_state(self, market: NDArray[np.int64], episode: NDArray[np.int64]) -> MarketState:
        """The opening of the given episode of each market: regular prices, full shelves, no orders."""
        shape = (self.num_markets, self.tiling.products)
        spread = {
            "list_price": np.clip(
                self.spec.products.regular_price, self.spec.guardrails.low, self.spec.guardrails.high
            ),
            "reference_price": self.spec.products.regular_price,
            "on_hand": np.floor(self.spec.stock.initial_units),
            "last_units": self.spec.products.regular_price * 0,
        }
        arrays = {name: np.broadcast_to(row, shape).astype(np.float32) for name, row in spread.items()}
        slots = max(self.spec.stock.lead_time_periods, 1)
        period = np.zeros(self.num_markets, dtype=np.int64)
        return MarketState(
            market=market.astype(np.int64),
            episode=episode.astype(np.int64),
            period=period,
            pipeline=np.zeros((slots, *shape), dtype=np.float32),
            **arrays,
        )

    def step(
        self,
        state: MarketState,
        action: GuardedAction,
        recommendation: Floats | None = None,
        *,
        credit_price: Floats | None = None,
    ) -> tuple[MarketState, Outcome]:
        """One period under an allowed action.

        recommendation: (E, N, K) scores, or None for the recommender's own choice. credit_price: (N,) prices of the
        counterfactual that `Outcome.charge` is worked out against, or None for no charges.
        """
        tiling = self.tiling
        on_hand, pipeline = self._order(state)
        price, stock = np.ascontiguousarray(action.price, np.float32).reshape(-1), on_hand.reshape(-1)
        shown, runner_up = self._slots(recommendation, on_hand)
        choice = mean_demand(
            tiling,
            state.period,
            price,
            state.reference_price.reshape(-1),
            stock,
            discount=action.discount if self._by_segment else None,
            shown=shown,
        )
        outcome = self._sell(state, action, choice, stock, shown)
        if credit_price is not None:
            profit = self.spec.market.objective == "profit"
            taken = charges(tiling, choice, credit_price, shown, runner_up, profit=profit)
            outcome.charge[:] = taken.reshape(on_hand.shape)
        return self._advance(state, outcome, on_hand, pipeline), outcome

    def _order(self, state: MarketState) -> tuple[Floats, Floats]:
        """Place the market's own orders: stock on hand and pipeline after it."""
        if self.spec.stock.replenishment == "none":
            return state.on_hand, state.pipeline
        quantity = np.maximum(self._order_up_to - state.on_hand - state.on_order, 0)
        if self.spec.stock.lead_time_periods == 0:
            return state.on_hand + quantity, state.pipeline
        pipeline = state.pipeline.copy()
        pipeline[state.period % len(pipeline), np.arange(self.num_markets)] = quantity
        return state.on_hand, pipeline

    def _slots(self, recommendation: Floats | None, on_hand: Floats) -> tuple[NDArray | None, NDArray | None]:
        """What is shown to each segment, and what would have been instead: (E, K) each, None where there is no slot."""
        tiling = self.tiling
        if tiling.candidates is None or tiling.default_score is None:
            return None, None
        shown, runner_up = np.empty((2, self.num_markets, tiling.segments), dtype=np.int64)
        if recommendation is None:
            recommendation = np.broadcast_to(tiling.default_score, (self.num_markets, *tiling.default_score.shape))
        kernels.choose_shown(
            np.ascontiguousarray(recommendation, np.float32), tiling.candidates, on_hand, shown, runner_up
        )
        return shown, runner_up

    def _sell(
        self, state: MarketState, action: GuardedAction, choice: Choice, stock: Floats, shown: NDArray | None
    ) -> Outcome:
        """Draw the sales and work out the money, drawn and expected."""
        tiling, lanes = self.tiling, stock.size
        shape = (self.num_markets, tiling.products)
        keys = market_keys(self.seed, state.market, state.episode)
        kernels.period_keys(keys, state.period, keys)
        mean = choice.mean.sum(axis=0)
        demand, sold, expected = np.empty((3, lanes), np.float32)
        by_segment, paid_mean, paid = None, action.price.reshape(-1), action.price.reshape(-1)
        if self._by_segment:
            by_segment = np.empty((lanes, tiling.segments), np.float32)
            kernels.draw_segment_units(
                choice.mean, tiling.overdispersion, stock, keys, tiling.products, demand, sold, by_segment
            )
            # What nobody wants is offered at its list price.
            paid_mean = np.where(mean > 0, (choice.mean * choice.paid).sum(axis=0) / np.maximum(mean, 1e-30), paid)
            paid = np.where(sold > 0, (by_segment.T * choice.paid).sum(axis=0) / np.maximum(sold, 1), paid_mean)
        else:
            kernels.draw_units(mean, tiling.overdispersion, stock, keys, tiling.products, demand, sold)
        kernels.expected_sales(mean, tiling.overdispersion, stock, expected)
        costs = (tiling.cost, tiling.holding, tiling.lost_cost)
        revenue, profit, expected_revenue, expected_profit = np.empty((4, lanes), np.float32)
        kernels.money(sold, demand, stock, paid.astype(np.float32), *costs, revenue, profit)
        kernels.money(expected, mean, stock, paid_mean.astype(np.float32), *costs, expected_revenue, expected_profit)
        return Outcome(
            list_price=action.price,
            paid=paid.reshape(shape),
            units=sold.reshape(shape),
            lost=(demand - sold).reshape(shape),
            revenue=revenue.reshape(shape),
            profit=profit.reshape(shape),
            expected_revenue=expected_revenue.reshape(shape),
            expected_profit=expected_profit.reshape(shape),
            charge=np.zeros(shape, np.float32),
            shown=np.full((self.num_markets, tiling.segments), -1) if shown is None else shown,
            segment_units=None if by_segment is None else by_segment.reshape(*shape, -1),
            trail=action.trail,
        )

    def _advance(self, state: MarketState, outcome: Outcome, on_hand: Floats, pipeline: Floats) -> MarketState:
        """The state that opens the next period."""
        period = state.period + 1
        on_hand = on_hand - outcome.units
        if self.spec.stock.replenishment != "none" and self.spec.stock.lead_time_periods > 0:
            due, markets = period % len(pipeline), np.arange(self.num_markets)
            on_hand = on_hand + pipeline[due, markets]
            pipeline = pipeline.copy()
            pipeline[due, markets] = 0
        reference = state.reference_price
        if self.spec.reference_price is not None:
            keep = np.float32(self.spec.reference_price.memory)
            reference = (keep * reference + (1 - keep) * outcome.list_price).astype(np.float32)
        return MarketState(
            market=state.market,
            episode=state.episode,
            period=period,
            list_price=outcome.list_price,
            reference_price=reference,
            on_hand=on_hand,
            pipeline=pipeline,
            last_units=outcome.units,
        )
