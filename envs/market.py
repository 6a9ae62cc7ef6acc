"""A batch of simulated markets: state, guardrails, episodes. Every face (Gymnasium, SB3) stands on this."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..pricing import Action, MarketView
from ..scenarios import MarketSpec, load_scenario
from .dynamics import Dynamics
from .expected import catalogue_of
from .state import MarketState, Outcome


class Market:
    """E markets of one scenario that run side by side, each with customers of its own.

    scenario: a MarketSpec, a registered name or a path. seed: with a market's number and episode it fixes that
    market's customers, whatever else runs beside it. numbers: (E,) the markets' own numbers, 0 to E - 1 where left out;
    two markets with the same number have the same customers.
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        num_markets: int = 1,
        seed: int = 0,
        numbers: NDArray[np.int64] | None = None,
    ) -> None:
        if num_markets < 1:
            raise ValueError(f"num_markets must be at least 1; got {num_markets}; ask for one market or more")
        self.spec = load_scenario(scenario)
        self.num_markets = num_markets
        self.catalogue = catalogue_of(self.spec)
        self.dynamics = Dynamics(self.spec, num_markets, seed)
        self._numbers = np.arange(num_markets) if numbers is None else numbers
        self.state = self.reset()

    def reset(self, *, seed: int | None = None) -> MarketState:
        """Start episode 0 of every market, with other customers where a seed is given."""
        if seed is not None:
            self.dynamics.seed = int(seed)
        self.state = self.dynamics.initial_state(self._numbers, np.zeros(self.num_markets, dtype=np.int64))
        return self.state

    def restart(self, done: NDArray[np.bool_]) -> None:
        """Start the next episode of the markets in the (E,) mask; the others go on."""
        fresh = self.dynamics.initial_state(self.state.market, self.state.episode + 1)
        if done.all():
            self.state = fresh
            return
        self.restore(fresh, where=done)

    def restore(self, state: MarketState, *, where: NDArray[np.bool_] | None = None) -> None:
        """Bring a saved state back, in all markets or in those of the (E,) mask."""
        if where is None:
            self.state = state
            return
        arrays = {}
        for name, now in self.state.arrays().items():
            axis = 1 if name == "pipeline" else 0
            mask = where.reshape((1,) * axis + (-1,) + (1,) * (now.ndim - axis - 1))
            arrays[name] = np.where(mask, getattr(state, name), now)
        self.state = replace(self.state, **arrays)

    @property
    def view(self) -> MarketView:
        """What a policy sees now."""
        s = self.state
        return MarketView(
            catalogue=self.catalogue,
            period=s.period,
            list_price=s.list_price,
            reference_price=s.reference_price,
            on_hand=s.on_hand,
            on_order=s.on_order,
            last_units=s.last_units,
        )

    @property
    def done(self) -> NDArray[np.bool_]:
        """(E,) whether the market's horizon is reached: a real end (terminated), not a truncation."""
        return self.state.period >= self.spec.market.horizon_periods

    def step(self, action: Action, *, credit_price: NDArray[np.float32] | None = None) -> Outcome:
        """Apply the guardrails, run one period, move the state on. Markets that are done must be restarted first.

        credit_price: (N,) counterfactual prices for `Outcome.charge`, or None for no charges.
        """
        if self.done.any():
            raise RuntimeError(
                f"step needs markets that are not over; got {int(self.done.sum())} at their horizon; restart them"
            )
        allowed = self.spec.guardrails.apply(action, self.view)
        self.state, outcome = self.dynamics.step(self.state, allowed, action.recommendation, credit_price=credit_price)
        return outcome

    def money(self, outcome: Outcome, *, expected: bool = False) -> NDArray[np.float32]:
        """(E, N) the objective of a period, currency: revenue or profit, drawn or expected."""
        return getattr(outcome, f"expected_{self.spec.market.objective}" if expected else self.spec.market.objective)
