"""A batch of simulated markets: state, guardrails, rivals, episodes. Every face (Gymnasium, SB3, PettingZoo) stands on this."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pricing import Action, ActionLayout, MarketView
from ..pricing.features import feature_constants
from ..scenarios import MarketSpec, load_scenario
from .dynamics import Decision, Dynamics
from .expected import catalogue_of
from .formulas import decode, guard, market_features
from .rivals import Rivals
from .state import LIST_PRICE, Floats, MarketState, Outcome


class Market:
    """E markets of one scenario that run side by side, each with customers of its own.

    scenario: a MarketSpec, a registered name or a path. seed: with a market's number and episode it fixes that
    market's customers, whatever else runs beside it. numbers: (E,) the markets' own numbers, 0 to E - 1 where left out;
    two markets with the same number have the same customers. draw_rivals: let the rivals' units be drawn, too.
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        num_markets: int = 1,
        seed: int = 0,
        numbers: NDArray[np.int64] | None = None,
        draw_rivals: bool = False,
    ) -> None:
        if num_markets < 1:
            raise ValueError(f"num_markets must be at least 1; got {num_markets}; ask for one market or more")
        self.spec = load_scenario(scenario)
        self.num_markets = num_markets
        self.catalogue = catalogue_of(self.spec)
        self.dynamics = Dynamics(self.spec, num_markets, seed, draw_rivals=draw_rivals)
        self.rivals = Rivals(self.spec)
        self._constants = self.spec.guardrails.constants
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
        s, catalogue = self.state, self.catalogue
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
        catalogue = self.catalogue
        flags = (catalogue.rivals, len(catalogue.regimes), catalogue.loyal)
        seen = self.rivals.seen(self.state)
        return market_features(feature_constants(catalogue), flags, self.state, seen, fixed=fixed)

    def step(
        self, action: Action, *, credit_price: NDArray[np.float32] | None = None, rival_price: ArrayLike | None = None
    ) -> Outcome:
        """Apply the guardrails, run one period, move the state on. Markets that are done must be restarted first.

        credit_price: (N,) counterfactual prices for `Outcome.charge`, or None for no charges. rival_price: (E, R) what the
        rivals charge, NaN where the scenario's rule decides; all by rule where left out.
        """
        parts = {
            "price": _lanes(action.price),
            "discount": _lanes(action.discount),
            "recommendation": _lanes(action.recommendation),
            "promotion": _lanes(action.promotion),
            "order": _lanes(action.order),
        }
        return self._step(parts, _lanes(action.propensity), credit_price, _lanes(rival_price))

    def step_raw(
        self,
        raw: Floats,
        layout: ActionLayout,
        base_price: Floats,
        *,
        credit_price: NDArray[np.float32] | None = None,
        rival_price: ArrayLike | None = None,
    ) -> Outcome:
        """As `step`, from the raw numbers of a learner, (E, N * A)."""
        parts = decode(layout, raw, base_price, self.max_order)
        return self._step(parts, None, credit_price, _lanes(rival_price))

    @property
    def max_order(self) -> Floats:
        """(N,) units of the largest order."""
        return self.spec.stock.max_order_units.astype(np.float32)

    def _step(
        self,
        parts: dict[str, Floats | None],
        propensity: Floats | None,
        credit_price: NDArray[np.float32] | None,
        rival_price: Floats | None,
    ) -> Outcome:
        if self.over:
            raise RuntimeError(
                f"step needs markets that are not over; got {int(self.done.sum())} at their horizon; restart them"
            )
        before, rules = self.state, self.spec.guardrails
        proposed, in_force = parts["price"], before.lanes[LIST_PRICE]
        assert proposed is not None, "every action has prices"
        price, discount, trail = guard(rules, self._constants, proposed, parts["discount"], in_force)
        opening, answer = self._rival_prices(before, price, rival_price)
        now = Decision(
            price=price,
            discount=discount,
            score=parts["recommendation"],
            promotion=parts["promotion"],
            order=parts["order"],
            trail=trail,
            propensity=propensity,
            rival_price=opening,
            rival_answer=answer,
            credit_price=credit_price,
        )
        self.state, outcome = self.dynamics.step(before, now)
        self._left -= 1
        if self.spec.competitors is not None:
            seen = price if answer is not None else in_force
            self.rivals.learn(before, self.state, seen, outcome)
        return outcome

    def _rival_prices(
        self, state: MarketState, our_price: Floats, given: Floats | None
    ) -> tuple[Floats, Floats | None]:
        """(R, E) rival prices as the period opens, and from half-period on (None where they do not answer within it)."""
        rivals = self.spec.competitors
        opening = state.context[state.layout.rival_price]
        if rivals is None:
            return opening, None
        asked = self.rivals.prices(state, our_price if rivals.answers_within_period else state.lanes[LIST_PRICE])
        if given is not None:
            asked = np.where(np.isfinite(given), given, asked)
        return (opening, asked) if rivals.answers_within_period else (asked, None)

    def money(self, outcome: Outcome, *, expected: bool = False) -> NDArray[np.float32]:
        """(E, N) the objective of a period, currency: revenue or profit, drawn or expected."""
        return getattr(outcome, f"expected_{self.spec.market.objective}" if expected else self.spec.market.objective)


def _lanes(part: ArrayLike | None) -> Floats | None:
    """A part of an action, (E, N) or (E, N, K), as the loops want it: (N, E) or (K, N, E)."""
    return None if part is None else np.ascontiguousarray(np.asarray(part, dtype=np.float32).T)
