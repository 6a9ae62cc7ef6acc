"""One period of E markets as a pure function: (state, action) -> (state, outcome).

Random numbers come from keys, not from state. Order of events: the price rules turn proposed prices
into allowed ones; orders are placed (and arrive at once if the lead time is 0); customers arrive
and choose at the prices of the period, in two halves where rivals answer within it; sales are cut
to stock; units are returned, perish, or leave at the end of a season; orders whose lead time is
over arrive for the next period; reference prices, loyalty, shocks and the regime are updated.
`kernels/period.py` has the stages.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec
from .jit.rng import period_keys
from .kernels.decode import Decoding
from .kernels.demand_arrays import ChoiceParameters, family_callback
from .kernels.expected.money import expected_money
from .kernels.inventory import use_capacity
from .kernels.market_arrays import Constants, MarketArrays, MoneyParameters
from .kernels.outcome import Outcome
from .kernels.period import run_period
from .kernels.price_rules import PriceRules
from .kernels.state import (
    LIST_PRICE,
    ON_HAND,
    PERIOD,
    PIPELINE,
    REFERENCE_PRICE,
    REGIME,
    Floats,
    MarketState,
    StateLayout,
)
from .kernels.transitions import draw_initial_context
from .kernels.workspace import Workspace, bytes_of, period_scratch

_FLOATS, _INTEGERS, _BITS = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint16)
NOTHING_RAW = (np.empty((0, 0), np.float32), np.empty(0, np.float32))


class PeriodInputs(NamedTuple):
    """A proposed action as the step takes it, markets last.

    N products, K segments, R rival offers, E markets.

    Attributes:
        proposed: (A, N, E) the price (currency per unit), followed by the rows that `decoding`
            counts: discounts (K or 0), recommendation scores (K, or 0 to leave the choice to the
            recommender), promotion scores (1 or 0), orders in units (one row a supplier, or 0).
        decoding: How many rows of each kind there are.
        raw: A learner's raw action, (E, N * A), still to be decoded into `proposed`, and the price
            that zero means, (N,); `NOTHING_RAW` if there is none.
        propensity: (N, E) as the policy stated it, or None.
        rival_price: (R, E) currency per unit, NaN where the scenario's rule decides, or (0, E)
            where it always does.
        credit_price: (N,) counterfactual prices for `Outcome.charge`, or (0,) for no charges.
        stands: Whether list prices and promotions stand as proposed: `Action.as_charged` and `as_promoted`.
    """

    proposed: Floats
    decoding: Decoding
    raw: tuple[Floats, Floats]
    propensity: Floats | None
    rival_price: Floats
    credit_price: Floats
    stands: tuple[bool, bool] = (False, False)


class Dynamics:
    """The step of E markets of one scenario.

    It holds constants and scratch; the state is an argument and a result.

    Args:
        num_markets: E.
        seed: Key of all random numbers, with a market's number and episode.
        draw_rivals: Draw the rivals' units instead of using their expectation.
        believed: The market that policies believe in, see `Market`.
    """

    def __init__(
        self,
        spec: MarketSpec,
        num_markets: int,
        seed: int,
        draw_rivals: bool = False,
        believed: MarketSpec | None = None,
    ) -> None:
        self.spec, self.num_markets, self.seed = spec, num_markets, seed
        self.draw_rivals, self.believed, self.cost_factor = draw_rivals, believed, 1.0
        self.layout = StateLayout.of(spec)
        self.constants = constants = Constants.of(spec, draw_rivals=draw_rivals, believed=believed)
        self.arrays = MarketArrays(constants)
        self._variants = {(False, False): self.arrays}
        self._family = family_callback(spec)
        sections, products = constants.sections, spec.sizes["N"]
        self._table, self._workspaces, self._scratch_bytes = sections.table, {}, 0
        self._shape, self._offers = (products, num_markets), (2, spec.sizes["R"], num_markets)
        self._slots = (2, spec.sizes["K"] if sections.slots else 0, num_markets)
        self._nothing_shown = np.empty((2, 0, num_markets), _INTEGERS)
        ordered = 0 if spec.stock.replenishment == "none" else max(spec.stock.pipeline_periods, 1)
        self._clock, self._context = (4, num_markets), (self.layout.rows, num_markets)
        self._lanes = (PIPELINE + ordered, *self._shape)
        self._rival_cost = constants.rivals.cost[:, None]

    def __reduce__(self) -> tuple:
        return Dynamics, (self.spec, self.num_markets, self.seed, self.draw_rivals, self.believed)

    def scale_costs(self, factor: float) -> None:
        """Charge this multiple of the unit costs from now on, as learning under a constraint does.

        Args:
            factor: Of the scenario's unit costs.
        """
        self.cost_factor = factor
        self.move_to(self.spec)

    def move_to(self, spec: MarketSpec) -> None:
        """Continue in another posterior draw: a market of the same structure, with other numbers."""
        self.spec = spec
        choice, money = ChoiceParameters.of(spec), MoneyParameters.of(spec).scaled(self.cost_factor)
        self.constants = self.constants._replace(choice=choice, money=money)
        for arrays in self._variants.values():
            arrays.renew(choice, money)

    def initial_state(self, market: NDArray[np.int64], episode: NDArray[np.int64]) -> MarketState:
        """The initial state of an episode: regular prices within bounds, initial stock, no orders.

        Args:
            market: (E,) the number of each market.
            episode: (E,) the number of each market's episode.
        """
        spec = self.spec
        clock = np.zeros(self._clock, dtype=np.int64)
        clock[0], clock[1] = market, episode
        lanes = np.zeros(self._lanes, np.float32)
        lanes[LIST_PRICE] = spec.initial_price[:, None]
        lanes[REFERENCE_PRICE] = spec.initial_reference[:, None]
        lanes[ON_HAND] = np.floor(spec.stock.initial_units)[:, None]
        context = np.zeros(self._context, np.float32)
        context[self.layout.loyalty] = 1.0
        # From the newest to the oldest, without the one in force.
        past = spec.guardrails.prices_before(spec.products.regular_price)[-2::-1]
        context[self.layout.past] = past.reshape(-1, 1)
        context[self.layout.rival_price] = spec.initial_rival_price[:, None]
        if spec.capacity is not None:
            rules, left = self.constants.stock, context[self.layout.capacity]
            left[:] = spec.capacity.units[:, None]
            sold = np.zeros_like(lanes[ON_HAND])
            use_capacity(rules.use, rules.added, clock[PERIOD], sold, left, lanes[ON_HAND])
        # The initial draws have their own key, that of period -1.
        clock[PERIOD] = -1
        keys = np.empty(self.num_markets, np.uint64)
        period_keys(self.seed, clock, keys)
        clock[PERIOD] = 0
        initial = np.empty((1, 0)) if spec.regimes is None else np.cumsum(spec.regimes.initial)[None]
        draw_initial_context(
            self.constants.transition, self.constants.choice, initial, keys, clock[REGIME], context[self.layout.shock]
        )
        return MarketState(clock, lanes, context, self.layout)

    @property
    def nbytes(self) -> int:
        """Bytes of the constants and of the scratch allocated so far."""
        parts = (self.constants.choice, self.constants.money)
        return self._scratch_bytes + sum(a.nbytes for part in parts for a in part if isinstance(a, np.ndarray))

    def step(self, state: MarketState, now: PeriodInputs) -> tuple[MarketState, Outcome]:
        """One period under a proposed action."""
        empty, floats = np.empty, _FLOATS
        clock, lanes, context = empty(self._clock, _INTEGERS), empty(self._lanes, floats), empty(self._context, floats)
        table = empty((self._table.promoted + 2 * (now.credit_price.size > 0), *self._shape), floats)
        trail, offers = empty(self._shape, _BITS), empty(self._offers, floats)
        slots = empty(self._slots, _INTEGERS) if self._slots[1] else self._nothing_shown
        before, after = (state.clock, state.lanes, state.context), (clock, lanes, context)
        given = (*now.raw, now.proposed, now.rival_price, now.credit_price)
        run_period(self._workspace(now), self.seed, *before, *after, *given, table, trail, slots, offers)
        if self._family is not None:
            self._family.check()
        results = (table, self._table, trail, slots, offers, self._rival_cost)
        outcome = Outcome(state.clock[PERIOD], *results, now.propensity, self._expected_money)
        return MarketState(clock, lanes, context, self.layout), outcome

    def _workspace(self, now: PeriodInputs) -> Workspace:
        """The workspace for actions of this form, allocated once."""
        form = (now.decoding, now.credit_price.size > 0, now.stands)
        workspace = self._workspaces.get(form)
        if workspace is None:
            scratch = period_scratch(self.constants, self.num_markets, *form[:2])
            workspace = self._workspaces[form] = Workspace(self._arrays_where(now.stands), scratch)
            self._scratch_bytes += bytes_of(scratch)
        return workspace

    def _arrays_where(self, stands: tuple[bool, bool]) -> MarketArrays:
        """The market's arrays without its rules for list prices, or for the number of promotions, that stand."""
        if stands not in self._variants:
            rules, sections = self.constants.rules, self.constants.sections
            prices, promotions = stands
            self._variants[stands] = MarketArrays(
                self.constants._replace(
                    rules=PriceRules.none(self.spec) if prices else rules,
                    sections=sections._replace(most=self.spec.sizes["N"]) if promotions else sections,
                )
            )
        return self._variants[stands]

    def _expected_money(self, outcome: Outcome) -> Floats:
        """(2, N, E) expected revenue and profit of a period, see `Outcome`."""
        return expected_money(self.arrays, outcome.period, outcome.table)
