"""A batch of simulated markets: state, guardrails, rivals, episodes. Every face (Gymnasium, SB3, PettingZoo) stands on this."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import Action, ActionLayout, MarketView
from ..scenarios import MarketSpec, load_scenario
from .kernels.decode import Decoding, decode
from .kernels.expected_demand import catalogue_of
from .kernels.observe import observe
from .kernels.price_rules import guard_prices
from .kernels.state import LIST_PRICE, Floats, MarketState, Outcome
from .rivals import Rivals
from .step import NOTHING_RAW, Dynamics, PeriodInputs


class Market:
    """E markets of one scenario that run side by side, each with customers of its own.

    scenario: a MarketSpec, a registered name or a path. seed: with a market's number and episode it fixes that
    market's customers, whatever else runs beside it. numbers: (E,) the markets' own numbers, 0 to E - 1 where left out;
    two markets with the same number have the same customers. draw_rivals: let the rivals' units be drawn, too. believed: the
    market that policies are told of, with the same products, segments and price rules: forecasts and elasticities that they
    see are then that market's, whatever this one turned into. This one where left out.
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
    ) -> None:
        if num_markets < 1:
            raise ValueError(f"num_markets must be at least 1; got {num_markets}; ask for one market or more")
        self.spec = load_scenario(scenario)
        self.num_markets = num_markets
        if believed is not None:
            _check_believed(self.spec, believed)
        self.believed = believed
        self.catalogue = catalogue_of(believed or self.spec)
        self.dynamics = Dynamics(self.spec, num_markets, seed, draw_rivals, believed)
        self.rivals = Rivals(self.spec)
        self._by_rule, self._uncharged = np.empty((0, num_markets), np.float32), np.empty(0, np.float32)
        self._layout: ActionLayout | None = None
        self._numbers = np.arange(num_markets) if numbers is None else numbers
        self.reset()

    def reset(self, *, seed: int | None = None) -> MarketState:
        """Start episode 0 of every market, with other customers where a seed is given."""
        if seed is not None:
            self.dynamics.seed = int(seed)
        self._set(self.dynamics.initial_state(self._numbers, np.zeros(self.num_markets, dtype=np.int64)))
        return self.state

    def _set(self, state: MarketState) -> None:
        self.state = state
        # Counted down by `step`, which is quicker than to look at every market's period.
        self._left = self.spec.market.horizon_periods - int(state.period.max())

    def restart(self, done: NDArray[np.bool_]) -> None:
        """Start the next episode of the markets in the (E,) mask; the others go on."""
        fresh = self.dynamics.initial_state(self.state.market, self.state.episode + 1)
        if done.all():
            self._set(fresh)
            return
        self.restore(fresh, where=done)

    def restore(self, state: MarketState, *, where: NDArray[np.bool_] | None = None) -> None:
        """Bring a saved state back, in all markets or in those of the (E,) mask."""
        if where is None:
            self._set(state)
            return
        now = self.state.arrays()
        mixed = {name: np.where(where, saved, now[name]) for name, saved in state.arrays().items()}
        self._set(replace(self.state, **mixed))

    @property
    def view(self) -> MarketView:
        """What a policy sees now."""
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
        )

    @property
    def done(self) -> NDArray[np.bool_]:
        """(E,) whether the market's horizon is reached; `ends` says what kind of end that is."""
        return self.state.period >= self.spec.market.horizon_periods

    @property
    def over(self) -> bool:
        """Whether any market is at its horizon."""
        return self._left <= 0

    @property
    def ends(self) -> bool:
        """Whether the horizon is a real end (terminated) and not a cut (truncated)."""
        return self.spec.market.ending == "terminated"

    def features(self, *, fixed: bool = True) -> Floats:
        """`product_features` of the present view, (E, N, F), by compiled loops."""
        state = self.state
        return observe(self.dynamics.arrays, state.clock, state.lanes, state.context, fixed)

    def step(
        self, action: Action, *, credit_price: NDArray[np.float32] | None = None, rival_price: ArrayLike | None = None
    ) -> Outcome:
        """Apply the guardrails, run one period, move the state on. Markets that are done must be restarted first.

        credit_price: (N,) counterfactual prices for `Outcome.charge`, or None for no charges. rival_price: (E, R) what the
        rivals charge, NaN where the scenario's rule decides; all by rule where left out.
        """
        parts = (action.price, action.discount, action.recommendation, action.promotion, action.order)
        products, markets = self.spec.sizes["N"], self.num_markets
        rows = [np.empty((0, products, markets)) if part is None else _lanes(part) for part in parts]
        rows = [row.reshape(-1, products, markets) for row in rows]
        decoding = Decoding(*(len(row) for row in rows[1:]))
        asked = np.concatenate(rows, dtype=np.float32)
        propensity = None if action.propensity is None else _lanes(action.propensity)
        return self._step(asked, decoding, NOTHING_RAW, propensity, credit_price, rival_price)

    def step_raw(
        self,
        raw: Floats,
        layout: ActionLayout,
        base_price: Floats,
        *,
        credit_price: NDArray[np.float32] | None = None,
        rival_price: ArrayLike | None = None,
    ) -> Outcome:
        """As `step`, from the raw numbers of a learner, (E, N * A). base_price: (N,), or (E, N) where it moves."""
        products, moves = base_price.shape[-1], base_price.ndim > 1
        if layout is not self._layout:
            self._layout, self._decoding = layout, Decoding.of(layout)
            self._asked = np.empty((layout.size, products, self.num_markets), np.float32)
        # Nobody keeps what is asked: it goes where the last one was.
        asked, given = self._asked, (raw, base_price)
        if moves or self.rivals.foreign:
            # Somebody must see the prices first.
            steady = np.ones(products, np.float32) if moves else base_price
            decode(raw, steady, self._decoding, self.max_order, asked)
            given = NOTHING_RAW
        if moves:
            asked[0] *= base_price.T
        return self._step(asked, self._decoding, given, None, credit_price, rival_price)

    @property
    def max_order(self) -> Floats:
        """(N,) units of the largest order."""
        return self.dynamics.constants.stock.most

    def _step(
        self,
        asked: Floats,
        decoding: Decoding,
        raw: tuple[Floats, Floats],
        propensity: Floats | None,
        credit_price: NDArray[np.float32] | None,
        rival_price: ArrayLike | None,
    ) -> Outcome:
        if self.over:
            raise RuntimeError(
                f"step needs markets that are not over; got {int(self.done.sum())} at their horizon; restart them"
            )
        before = self.state
        given = self._by_rule if rival_price is None else _lanes(rival_price)
        if self.rivals.foreign:
            given = self.rivals.asked(before, self._seen_by_rivals(asked[0]), given)
        charged = self._uncharged if credit_price is None else credit_price
        self.state, outcome = self.dynamics.step(before, PeriodInputs(asked, decoding, raw, propensity, given, charged))
        self._left -= 1
        if self.rivals.foreign:
            within = self.dynamics.constants.rivals.within
            self.rivals.learn(before, self.state, outcome.list_price.T if within else before.lanes[LIST_PRICE], outcome)
        return outcome

    def _seen_by_rivals(self, proposed: Floats) -> Floats:
        """(N, E) the prices that rivals look at: those in force, or ours of this period where they answer within it."""
        in_force, constants = self.state.lanes[LIST_PRICE], self.dynamics.constants
        if not constants.rivals.within:
            return in_force
        price, past = np.empty_like(proposed), self.state.context[self.state.layout.past]
        guard_prices(proposed, in_force, past, constants.rules, price, np.empty(price.shape, np.uint16))
        return price

    def money(self, outcome: Outcome, *, expected: bool = False) -> NDArray[np.float32]:
        """(E, N) the objective of a period, currency: revenue or profit, drawn or expected."""
        return getattr(outcome, f"expected_{self.spec.market.objective}" if expected else self.spec.market.objective)


def _check_believed(spec: MarketSpec, believed: MarketSpec) -> None:
    """What policies are told of must fit what they decide, and all that they are told must be there to see."""
    same, told = (
        (s.products.names, s.arrivals.segments, s.market.horizon_periods, s.prices.change_window_periods)
        for s in (spec, believed)
    )
    if same != told:
        raise ValueError(
            f"believed must have the products, segments, periods and price rules of {spec.name}; got {believed.name}, which differs; "
            "change demand, arrivals, stock or rivals only"
        )
    for part in ("competitors", "regimes", "loyalty"):
        if getattr(believed, part) is not None and getattr(spec, part) is None:
            raise ValueError(
                f"believed must have no [{part}] where the market has none; got {believed.name}, which has; leave them out"
            )


def _lanes(part: ArrayLike) -> Floats:
    """A part of an action, (E, N) or (E, N, K), as the loops want it: (N, E) or (K, N, E)."""
    return np.ascontiguousarray(np.asarray(part, dtype=np.float32).T)
