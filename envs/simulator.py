"""A batch of simulated markets: state, price rules, rivals, episodes.

Every adapter (Gymnasium, SB3, PettingZoo) runs on it.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import Action, ActionLayout, MarketView
from ..scenarios import MarketSpec, load_scenario
from .draw_schedule import DrawSchedule
from .kernels.decode import Decoding, decode
from .kernels.expected.demand import catalogue_of
from .kernels.observe import observe
from .kernels.outcome import Outcome
from .kernels.price_rules import guarded_prices
from .kernels.state import LIST_PRICE, PERIOD, Floats, MarketState
from .rivals import Rivals
from .seeds import checked_seed
from .step import NOTHING_RAW, Dynamics, PeriodInputs


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
        believed: The market that policies believe in. It has the same products, segments and price
            rules; policies see its forecasts and elasticities. The scenario itself by default.
        draws: Follow the posterior draws of the scenario, another one in each episode of the batch,
            as is the default under the stress `posterior` (`spec` is then the present draw,
            `scenario` the market with its posterior), while policies believe in the scenario
            itself.

    Raises:
        ValueError: If num_markets is below 1, the believed market does not fit the scenario, or the
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
        believed: MarketSpec | None = None,
        draws: DrawSchedule | None = None,
    ) -> None:
        if not isinstance(num_markets, int | np.integer) or num_markets < 1:
            raise ValueError(f"num_markets must be a whole number of at least 1; got {num_markets!r}; fix it")
        self.spec = self.scenario = load_scenario(scenario)
        if draws is None and self.scenario.posterior is not None and self.scenario.posterior.simulated:
            draws = DrawSchedule()
        self._draws, self._draw = draws, -1
        if draws is not None:
            if not self.scenario.num_draws:
                raise ValueError(
                    f"draws need a market with a posterior; got {self.scenario.name} without; leave draws out"
                )
            self.spec, believed = self.scenario.draw(0), believed or self.scenario
        self.num_markets = num_markets
        if believed is not None:
            _check_believed(self.spec, believed)
        self.believed = believed
        self.catalogue = catalogue_of(believed or self.spec)
        self.dynamics = Dynamics(self.spec, num_markets, checked_seed(seed), draw_rivals, believed)
        self.rivals = Rivals(self.spec)
        self._by_rule, self._no_credit = np.empty((0, num_markets), np.float32), np.empty(0, np.float32)
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
        if self._draws is not None:
            self._follow(self._draws, int(state.episode.min()))
        # Counted down by `step`: faster than a look at the period of every market.
        self._left = self.spec.market.horizon_periods - int(state.period.max())

    def _follow(self, draws: DrawSchedule, episode: int) -> None:
        """Move on to the draw of an episode."""
        draw = draws.draw_of(episode, self.scenario.num_draws, seed=self.dynamics.seed)
        if draw != self._draw:
            self._draw, self.spec = draw, self.scenario.draw(draw)
            self.dynamics.move_to(self.spec)

    def take_turns(self, draws: DrawSchedule) -> None:
        """Follow the posterior draws by another schedule from the next reset on."""
        self._draws = draws

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
        s, catalogue, rules = self.state, self.catalogue, self.spec.guardrails
        changes = lowest = None
        if rules.change_window_periods is not None:
            prices = s.latest_prices(rules.change_window_periods)
            changes = (prices[1:] != prices[:-1]).sum(axis=0).T
        if rules.prior_price_periods is not None:
            lowest = s.latest_prices(rules.prior_price_periods).min(axis=0).T
        return MarketView(
            catalogue=catalogue,
            period=s.period,
            list_price=s.list_price,
            reference_price=s.reference_price,
            on_hand=s.on_hand,
            on_order=s.on_order,
            last_units=s.last_units,
            competitor_price=self.rivals.seen(s).T if catalogue.rivals else None,
            regime=s.regime if catalogue.regimes else None,
            loyalty=s.loyalty if catalogue.loyal else None,
            changes=changes,
            lowest_price_30_days=lowest,
            capacity=s.capacity if self.spec.capacity is not None else None,
            due=s.due[..., : catalogue.due_periods] if catalogue.due_periods else None,
        )

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
        products, markets = self.spec.sizes["N"], self.num_markets
        rows = [np.empty((0, products, markets)) if part is None else _markets_last(part) for part in parts]
        rows = [row.reshape(-1, products, markets) for row in rows]
        discounts, scores, promotions, *orders = (len(row) for row in rows[1:])
        decoding = Decoding(discounts, scores, promotions, sum(orders))
        proposed = np.concatenate(rows, dtype=np.float32)
        propensity = None if action.propensity is None else _markets_last(action.propensity)
        given = (propensity, credit_price, rival_price)
        return self._step(proposed, decoding, NOTHING_RAW, *given, stands=(action.as_charged, action.as_promoted))

    def _orders(self, action: Action) -> tuple[ArrayLike | None, ...]:
        """The orders of an action, one a supplier; an express order comes after a regular one, if only of zero."""
        if action.express is None:
            return (action.order,)
        if self.spec.express is None:
            raise ValueError(
                "express of an action needs a market with a second supplier; got one without; leave it out"
            )
        return (np.zeros_like(action.express) if action.order is None else action.order, action.express)

    def _check(self, action: Action) -> None:
        """Refuse an action of another shape; the price rules see to numbers that are not finite."""
        alone = (self.num_markets, self.spec.sizes["N"])
        for part in fields(action):
            values = getattr(action, part.name)
            if part.name in ("as_charged", "as_promoted"):
                if not isinstance(values, bool):
                    raise ValueError(
                        f"{part.name} of an action must be True or False, for all; got {values!r:.40}; fix it"
                    )
                continue
            if values is None:
                continue
            shape = (*alone, self.spec.sizes["K"]) if part.name in ("discount", "recommendation") else alone
            if np.shape(values) != shape:
                raise ValueError(f"{part.name} of an action must have shape {shape}; got {np.shape(values)}; fix it")

    def step_raw(
        self,
        raw: Floats,
        layout: ActionLayout,
        base_price: Floats,
        *,
        credit_price: NDArray[np.float32] | None = None,
        rival_price: ArrayLike | None = None,
    ) -> Outcome:
        """As `step`, from a learner's raw action.

        Args:
            raw: (E, N * A) numbers in [-1, 1].
            layout: What the A columns of a product mean.
            base_price: What a raw price of zero means, currency per unit: (N,), or (E, N) if it
                differs between markets.
            credit_price: As for `step`.
            rival_price: As for `step`.
        """
        products, moves = base_price.shape[-1], base_price.ndim > 1
        if layout is not self._layout:
            self._layout, self._decoding = layout, Decoding.of(layout)
            self._proposed = np.empty((layout.size, products, self.num_markets), np.float32)
        # The decoded action is used within this period only, so its array is reused.
        proposed, pending = self._proposed, (raw, base_price)
        if moves or self.rivals.external:
            # The prices are needed before the compiled period: decode now.
            steady = np.ones(products, np.float32) if moves else base_price
            decode(raw, steady, self._decoding, self.max_order, proposed)
            pending = NOTHING_RAW
        if moves:
            proposed[0] *= base_price.T
        return self._step(proposed, self._decoding, pending, None, credit_price, rival_price)

    @property
    def max_order(self) -> Floats:
        """(S, N) units of the largest order of each product with each supplier."""
        return self.dynamics.constants.stock.most

    def _step(
        self,
        proposed: Floats,
        decoding: Decoding,
        raw: tuple[Floats, Floats],
        propensity: Floats | None,
        credit_price: NDArray[np.float32] | None,
        rival_price: ArrayLike | None,
        *,
        stands: tuple[bool, bool] = (False, False),
    ) -> Outcome:
        if self.over:
            raise RuntimeError(
                f"step needs markets that are not over; got {int(self.done.sum())} at their horizon; restart them"
            )
        before = self.state
        given = self._by_rule if rival_price is None else _markets_last(rival_price)
        if self.rivals.external:
            given = self.rivals.prices(before, self._seen_by_rivals(proposed[0], stands[0]), given)
        credit = self._no_credit if credit_price is None else credit_price
        inputs = PeriodInputs(proposed, decoding, raw, propensity, given, credit, stands)
        self.state, outcome = self.dynamics.step(before, inputs)
        self._left -= 1
        if self.rivals.external:
            within = self.dynamics.constants.rivals.within
            self.rivals.learn(before, self.state, outcome.list_price.T if within else before.lanes[LIST_PRICE], outcome)
        return outcome

    def _seen_by_rivals(self, proposed: Floats, stand: bool) -> Floats:
        """(N, E) our prices that rivals react to: the current ones, or those of this period."""
        current, constants = self.state.lanes[LIST_PRICE], self.dynamics.constants
        if not constants.rivals.within:
            return current
        if stand:
            return proposed
        price, past = np.empty_like(proposed), self.state.context[self.state.layout.past]
        rival, period = self.state.context[self.state.layout.rival_price], self.state.clock[PERIOD]
        guarded_prices(proposed, current, past, rival, period, constants.rules, price, np.empty(price.shape, np.uint16))
        return price

    def money(self, outcome: Outcome, *, expected: bool = False) -> NDArray[np.float32]:
        """(E, N) the objective of a period, drawn or expected, currency."""
        return getattr(outcome, f"expected_{self.spec.market.objective}" if expected else self.spec.market.objective)


def _check_believed(spec: MarketSpec, believed: MarketSpec) -> None:
    """Check that the believed market has the same decisions and no state that the market lacks."""
    actual, assumed = (
        (s.products.names, s.arrivals.segments, s.market.horizon_periods, s.prices.change_window_periods)
        for s in (spec, believed)
    )
    if actual != assumed:
        raise ValueError(
            f"believed must have the products, segments, periods and price rules of {spec.name}; got {believed.name}, which differs; "
            "change demand, arrivals, stock or rivals only"
        )
    for part in ("competitors", "regimes", "loyalty"):
        if getattr(believed, part) is not None and getattr(spec, part) is None:
            raise ValueError(
                f"believed must have no [{part}] where the market has none; got {believed.name}, which has; leave them out"
            )


def _markets_last(part: ArrayLike) -> Floats:
    """An array (E, N) or (E, N, K) with its axes reversed, markets last."""
    return np.ascontiguousarray(np.asarray(part, dtype=np.float32).T)
