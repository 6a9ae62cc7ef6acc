"""A batch of simulated markets: state, price rules, rivals, episodes; and its step as a pure function.

Every adapter (Gymnasium, SB3, PettingZoo) runs on it. `kernels/period.py` has the stages of a step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import Action, ActionLayout, MarketView
from ..pricing.catalogue import amount_of
from ..pricing.observed import FACTS
from ..scenarios import MarketSpec, load_scenario
from .jit.compiling import Structure
from .jit.rng import period_keys
from .kernels.choice_parameters import choice_parameters
from .kernels.expected_demand import catalogue_of, observed_facts
from .kernels.learner import Decoding, decode, observe
from .kernels.parameters import Constants, MoneyParameters
from .kernels.period import period_scratch, run_period
from .kernels.price_rules import PriceRules
from .kernels.sales import expected_money
from .kernels.state import (
    LIST_PRICE,
    ON_HAND,
    PERIOD,
    PIPELINE,
    REFERENCE_PRICE,
    REGIME,
    Floats,
    MarketState,
    Outcome,
    StateLayout,
)
from .kernels.transitions import draw_initial_context, use_capacity
from .observation import Simulated, view_of
from .rivals import Rivals
from .seeds import DrawSchedule, checked_seed

_NO_NUMBERS = np.empty(0, np.float32)


class Market:
    """E markets of one scenario that run side by side, each with its own customers.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        num_markets: E.
        seed: Together with a market's number and episode it fixes that market's customers, whatever
            runs beside it.
        numbers: (E,) the number of each market, 0 to E - 1 by default. Markets with the same number
            have the same customers.
        draw_rivals: Draw the rivals' units as well, instead of using their expectation.
        assumed: The market that policies believe in. It has the same products, segments and price
            rules; policies see its forecasts and elasticities. The scenario itself by default.
        draws: Follow the posterior draws of the scenario, another one in each episode of the batch,
            as is the default under the stress `posterior` (`spec` is then the present draw,
            `scenario` the market with its posterior), while policies believe in the scenario
            itself.

    Raises:
        ValueError: If num_markets is below 1, the assumed market does not fit the scenario, or the
            scenario has no posterior whose draws could be followed.

    Example:
        >>> from repricer.envs import Market
        >>> from repricer.pricing import Action
        >>> market = Market("stationary-logit", num_markets=2, seed=0)
        >>> outcome = market.step(Action(price=market.view.list_price))
        >>> outcome.units.shape, market.state.period.tolist()
        ((2, 1), [1, 1])
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        num_markets: int = 1,
        seed: int = 0,
        numbers: NDArray[np.int64] | None = None,
        draw_rivals: bool = False,
        assumed: MarketSpec | None = None,
        draws: DrawSchedule | None = None,
    ) -> None:
        if not isinstance(num_markets, int | np.integer) or num_markets < 1:
            raise ValueError(f"num_markets must be a whole number of at least 1; got {num_markets!r}; fix it")
        self.spec = self.scenario = load_scenario(scenario)
        if draws is None and self.scenario.posterior is not None and self.scenario.posterior.simulated:
            draws = DrawSchedule()
        self.draws = draws
        self._draw = -1
        if draws is not None:
            if not self.scenario.num_draws:
                raise ValueError(f"draws need a posterior; got {self.scenario.name} without; leave them out")
            self.spec = self.scenario.draw(0)
            assumed = assumed or self.scenario
        self.num_markets = num_markets
        if assumed is not None:
            _check_assumed(self.spec, assumed)
        self.assumed = assumed
        self.catalogue = catalogue_of(assumed or self.spec)
        self.dynamics = Dynamics(self.spec, num_markets, checked_seed(seed), draw_rivals, assumed)
        self.rivals = Rivals(self.spec)
        self._layout: ActionLayout | None = None
        self.numbers = np.arange(num_markets) if numbers is None else numbers
        self.reset()

    def reset(self, *, seed: int | None = None) -> MarketState:
        """Start episode 0 of every market; a seed gives the markets other customers."""
        if seed is not None:
            self.dynamics.seed = checked_seed(seed)
        self._set(self.dynamics.initial_state(self.numbers, np.zeros(self.num_markets, dtype=np.int64)))
        return self.state

    def _set(self, state: MarketState) -> None:
        self.state = state
        if self.draws is not None:
            self._follow(self.draws, int(state.episode.min()))
        # Counted down by `step`: faster than a look at the period of every market.
        self._left = self.spec.market.horizon_periods - int(state.period.max())

    def _follow(self, draws: DrawSchedule, episode: int) -> None:
        """Move on to the draw of an episode."""
        draw = draws.draw_of(episode, self.scenario.num_draws, seed=self.dynamics.seed)
        if draw != self._draw:
            self._draw, self.spec = draw, self.scenario.draw(draw)
            self.dynamics.move_to(self.spec)

    def restart(self, done: NDArray[np.bool_]) -> None:
        """Start the next episode of the markets in the (E,) mask; the others continue."""
        fresh = self.dynamics.initial_state(self.state.market, self.state.episode + 1)
        if done.all():
            self._set(fresh)
            return
        self.restore(fresh, where=done)

    def restore(self, state: MarketState, *, where: NDArray[np.bool_] | None = None) -> None:
        """Restore a saved state, in all markets or in those of the (E,) mask."""
        if where is None:
            self._set(state)
            return
        now = self.state.arrays()
        mixed = {name: np.where(where, saved, now[name]) for name, saved in state.arrays().items()}
        self._set(replace(self.state, **mixed))

    @property
    def view(self) -> MarketView:
        """What a policy sees at the start of the current period."""
        return view_of(Simulated(self.state, self.spec, self.catalogue, self.rivals))

    @property
    def done(self) -> NDArray[np.bool_]:
        """(E,) whether each market has reached its horizon; see `ends`."""
        return self.state.period >= self.spec.market.horizon_periods

    @property
    def over(self) -> bool:
        """Whether any market has reached its horizon."""
        return self._left <= 0

    @property
    def ends(self) -> bool:
        """Whether an episode that reaches the horizon is terminated (True) or truncated (False)."""
        return self.spec.market.ending == "terminated"

    def features(self, *, fixed: bool = True) -> Floats:
        """(E, N, F) `product_features` of the current view; fixed: with those that never change."""
        state = self.state
        return observe(self.dynamics.arrays, state.clock, state.lanes, state.context, fixed)

    def step(
        self, action: Action, *, credit_price: NDArray[np.float32] | None = None, rival_price: ArrayLike | None = None
    ) -> Outcome:
        """Apply the price rules, run one period and advance the state.

        Args:
            action: A policy's action, arrays (E, N) and (E, N, K).
            credit_price: (N,) counterfactual prices for `Outcome.charge`, currency per unit; None
                for no charges.
            rival_price: (E, R) prices of the rival offers, NaN where the scenario's rule decides;
                all by rule by default.

        Raises:
            ValueError: An array of the action has another shape.
            RuntimeError: If a market has reached its horizon. Restart it first.
        """
        self._check(action)
        parts = (action.price, action.discount, action.recommendation, action.promotion, *self._orders(action))
        products = self.spec.sizes["N"]
        markets = self.num_markets
        rows = [np.empty((0, products, markets)) if part is None else _markets_last(part) for part in parts]
        rows = [row.reshape(-1, products, markets) for row in rows]
        discounts, scores, promotions, *orders = (len(row) for row in rows[1:])
        decoding = Decoding(discounts, scores, promotions, sum(orders))
        proposed = np.concatenate(rows, dtype=np.float32)
        propensity = None if action.propensity is None else _markets_last(action.propensity)
        stands = (action.as_charged, action.as_promoted)
        options = {"propensity": propensity, "credit_price": credit_price, "stands": stands}
        options["announced"] = None if action.deal is None else _markets_last(action.deal)
        return self._step(proposed, decoding, rival_price, **options)

    def _orders(self, action: Action) -> tuple[ArrayLike | None, ...]:
        """The orders of an action, one a supplier; an express order comes after a regular one, if only of zero."""
        if action.express is None:
            return (action.order,)
        if self.spec.express is None:
            raise ValueError("express of an action needs a second supplier; got a market without; leave it out")
        return (np.zeros_like(action.express) if action.order is None else action.order, action.express)

    def _check(self, action: Action) -> None:
        """Refuse an action of another shape; the price rules see to numbers that are not finite."""
        alone = (self.num_markets, self.spec.sizes["N"])
        by_segment = (*alone, self.spec.sizes["K"])
        for name, values in vars(action).items():
            if name in ("as_charged", "as_promoted"):
                if not isinstance(values, bool):
                    raise ValueError(f"{name} of an action must be True or False; got {values!r:.40}; fix it")
                continue
            shape = by_segment if name in ("discount", "recommendation") else alone
            if values is not None and np.shape(values) != shape:
                raise ValueError(f"{name} of an action must have shape {shape}; got {np.shape(values)}; fix it")

    def step_raw(
        self,
        raw: Floats,
        layout: ActionLayout,
        base_price: Floats,
        *,
        deal: ArrayLike | None = None,
        recommendation: ArrayLike | None = None,
        credit_price: NDArray[np.float32] | None = None,
        rival_price: ArrayLike | None = None,
    ) -> Outcome:
        """As `step`, from a learner's raw action.

        Args:
            raw: (E, N * A) numbers in [-1, 1].
            layout: What the A columns of a product mean.
            base_price: What a raw price of zero means, currency per unit: (N,), or (E, N) if it
                differs between markets.
            deal: (E, N) as of `Action`.
            recommendation: (E, N, K) scores that those of the raw action come on top of.
            credit_price: As for `step`.
            rival_price: As for `step`.
        """
        products = base_price.shape[-1]
        moves = base_price.ndim > 1
        if layout is not self._layout:
            self._layout = layout
            self._decoding = Decoding.of(layout)
            self._proposed = np.empty((layout.size, products, self.num_markets), np.float32)
        # The decoded action is used within this period only, so its array is reused.
        proposed = self._proposed
        most = self.dynamics.constants.stock.most
        decode(raw, np.ones(products, np.float32) if moves else base_price, self._decoding, most, proposed)
        if moves:
            proposed[0] *= base_price.T
        if recommendation is not None and self._decoding.scores:
            first = 1 + self._decoding.discounts
            proposed[first : first + self._decoding.scores] += _markets_last(recommendation)
        announced = None if deal is None else _markets_last(deal)
        return self._step(proposed, self._decoding, rival_price, announced=announced, credit_price=credit_price)

    def _step(self, proposed: Floats, decoding: Decoding, rival_price: ArrayLike | None, **options: Any) -> Outcome:
        """`Dynamics.step`, with the rivals whose prices are set here."""
        if self.over:
            raise RuntimeError(f"step needs markets in an episode; got {int(self.done.sum())} at the end; restart them")
        before = self.state
        given = None if rival_price is None else _markets_last(rival_price)
        ours = before.lanes[LIST_PRICE]
        if self.rivals.groups:
            if self.dynamics.constants.rivals.within:
                charged = options.get("stands", (False, False))[0]
                ours = proposed[0] if charged else self.spec.guardrails.apply(Action(proposed[0].T), self.view).price.T
            given = self.rivals.prices(before, ours, given)
        self.state, outcome = self.dynamics.step(before, proposed, decoding, rival_price=given, **options)
        self._announce(before, outcome)
        self._left -= 1
        self.rivals.learn(before, self.state, ours, outcome)
        return outcome

    def _announce(self, before: MarketState, outcome: Outcome) -> None:
        """Keep with the next state what its prices are announced with, where the law asks for it."""
        rules = self.spec.guardrails
        if rules.law is None or not rules.law.states_prior:
            return
        assert rules.prior_price_periods is not None, "the law sets it"
        lowest = before.latest_prices(rules.prior_price_periods).min(axis=0).T
        prior = rules.law.announced(outcome.list_price, before.list_price, lowest, before.prior_price)
        self.state.context[self.state.layout.prior] = np.nan_to_num(prior).T

    def money(self, outcome: Outcome, *, expected: bool = False) -> NDArray[np.float32]:
        """(E, N) the objective of a period, drawn or expected, currency."""
        return getattr(outcome, f"expected_{self.spec.market.objective}" if expected else self.spec.market.objective)


def _check_assumed(spec: MarketSpec, assumed: MarketSpec) -> None:
    """Check that the assumed market has the same decisions, and that its policies observe nothing that the market lacks."""
    actual, wanted = (
        (s.products.names, s.arrivals.segments, s.market.horizon_periods, s.prices.change_window_periods)
        for s in (spec, assumed)
    )
    if actual != wanted:
        raise ValueError(f"assumed must have products, segments, periods as {spec.name}; got {assumed.name}; fix them")
    there = observed_facts(spec)
    seen = observed_facts(assumed)
    for fact in FACTS:
        if amount_of(seen[fact]) > amount_of(there[fact]):
            must = f"assumed must observe no more than the market, whose {fact} is {there[fact]!r}"
            raise ValueError(f"{must}; got {assumed.name} with {seen[fact]!r}; leave it out")


def _markets_last(part: ArrayLike) -> Floats:
    """An array (E, N) or (E, N, K) with its axes reversed, markets last."""
    return np.ascontiguousarray(np.asarray(part, dtype=np.float32).T)


class Dynamics:
    """The step of E markets of one scenario.

    It holds constants and scratch; the state is an argument and a result.

    Args:
        num_markets: E.
        seed: Key of all random numbers, with a market's number and episode.
        draw_rivals: Draw the rivals' units instead of using their expectation.
        assumed: The market that policies believe in, see `Market`.
    """

    def __init__(
        self,
        spec: MarketSpec,
        num_markets: int,
        seed: int,
        draw_rivals: bool = False,
        assumed: MarketSpec | None = None,
    ) -> None:
        self.spec = spec
        self.num_markets = num_markets
        self.seed = seed
        self.draw_rivals = draw_rivals
        self.assumed = assumed
        self.cost_factor = 1.0
        self.layout = StateLayout.of(spec)
        self.constants = Constants.of(spec, draw_rivals=draw_rivals, assumed=assumed)
        self.arrays = Structure(self.constants)
        self._workspaces: dict[Any, tuple[Structure, Structure]] = {}
        ordered = 0 if spec.stock.replenishment == "none" else max(spec.stock.pipeline_periods, 1)
        self._lanes = (PIPELINE + ordered, spec.sizes["N"], num_markets)

    def __reduce__(self) -> tuple:
        return Dynamics, (self.spec, self.num_markets, self.seed, self.draw_rivals, self.assumed)

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
        choice = choice_parameters(spec)
        money = MoneyParameters.of(spec).scaled(self.cost_factor)
        self.constants = self.constants._replace(choice=choice, money=money)
        self.arrays = Structure(self.constants)
        self._workspaces.clear()

    def initial_state(self, market: NDArray[np.int64], episode: NDArray[np.int64]) -> MarketState:
        """The initial state of an episode: regular prices within bounds, initial stock, no orders.

        Args:
            market: (E,) the number of each market.
            episode: (E,) the number of each market's episode.
        """
        spec = self.spec
        clock = np.zeros((4, self.num_markets), dtype=np.int64)
        clock[0] = market
        clock[1] = episode
        lanes = np.zeros(self._lanes, np.float32)
        lanes[LIST_PRICE] = spec.initial_price[:, None]
        lanes[REFERENCE_PRICE] = spec.initial_reference[:, None]
        lanes[ON_HAND] = np.floor(spec.stock.initial_units)[:, None]
        context = np.zeros((self.layout.rows, self.num_markets), np.float32)
        context[self.layout.loyalty] = 1.0
        context[self.layout.level] = 1.0
        # From the newest to the oldest, without the one in force.
        past = spec.prices_before[-2::-1]
        context[self.layout.past] = past.reshape(-1, 1)
        context[self.layout.rival_price] = spec.initial_rival_price[:, None]
        if spec.capacity is not None:
            rules = self.constants.stock
            left = context[self.layout.capacity]
            left[:] = spec.capacity.units[:, None]
            sold = np.zeros_like(lanes[ON_HAND])
            use_capacity(rules.use, rules.added, clock[PERIOD], sold, left, lanes[ON_HAND])
        # The initial draws have their own key, that of period -1.
        clock[PERIOD] = -1
        keys = np.empty(self.num_markets, np.uint64)
        period_keys(self.seed, clock, keys)
        clock[PERIOD] = 0
        initial = np.empty((1, 0)) if spec.regimes is None else np.cumsum(spec.regimes.initial)[None]
        draw_initial_context(self.arrays, initial, keys, clock[REGIME], context[self.layout.shock])
        return MarketState(clock, lanes, context, self.layout)

    def step(
        self,
        state: MarketState,
        proposed: Floats,
        decoding: Decoding,
        *,
        announced: Floats | None = None,
        propensity: Floats | None = None,
        rival_price: Floats | None = None,
        credit_price: Floats | None = None,
        stands: tuple[bool, bool] = (False, False),
    ) -> tuple[MarketState, Outcome]:
        """One period under a proposed action. N products, K segments, R rival offers, E markets.

        Args:
            state: The state before the period, which stays as it is.
            proposed: (A, N, E) the price (currency per unit), followed by the rows that `decoding`
                counts: discounts (K or 0), recommendation scores (K, or 0 to leave the choice to the
                recommender), promotion scores (1 or 0), orders in units (one row a supplier, or 0).
            decoding: How many rows of each kind there are.
            announced: (N, E) above zero where a deal is announced; None where the plan says.
            propensity: (N, E) as the policy stated it.
            rival_price: (R, E) currency per unit, NaN where the scenario's rule decides; None where it always does.
            credit_price: (N,) counterfactual prices for `Outcome.charge`; None for no charges.
            stands: Whether list prices and promotions stand as proposed: `Action.as_charged` and `as_promoted`.
        """
        credit = _NO_NUMBERS if credit_price is None else credit_price
        nothing = np.empty((0, self.num_markets), np.float32)
        given = nothing if rival_price is None else rival_price
        deals = nothing if announced is None else announced
        constants, scratch = self._workspace(decoding, credit_price is not None, stands)
        before = (state.clock, state.lanes, state.context)
        clock, lanes, context, results = run_period(
            constants, scratch, self.seed, *before, proposed, deals, given, credit
        )
        cost = self.constants.rivals.cost[:, None]
        outcome = Outcome(state.clock[PERIOD], results, cost, propensity, self._expected_money)
        return MarketState(clock, lanes, context, self.layout), outcome

    def _workspace(self, *form: Any) -> tuple[Structure, Structure]:
        """The market's arrays, and the scratch for actions of this form, allocated once."""
        if form not in self._workspaces:
            decoding, charged, (prices, promotions) = form
            constants = self.constants
            spec = self.spec
            if prices:
                constants = constants._replace(rules=PriceRules.none(spec))
            if promotions:
                constants = constants._replace(sections=constants.sections._replace(most=spec.sizes["N"]))
            scratch = period_scratch(constants, self.num_markets, decoding, detail=charged)
            self._workspaces[form] = Structure(constants), Structure(scratch)
        return self._workspaces[form]

    def _expected_money(self, outcome: Outcome) -> Floats:
        """(2, N, E) expected revenue and profit of a period, see `Outcome`."""
        done = outcome.results
        price = done.paid[1] if len(done.paid) else done.price
        now = (done.stock, done.wanted, done.chances, done.ordered, done.promoted, done.funded)
        return expected_money(self.arrays, outcome.period, price, *now)
