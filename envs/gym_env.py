"""The Gymnasium environment: the batch of one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..scenarios import MarketSpec
from .face import Face, Reward
from .market import Market


class MarketEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One market as `gymnasium.Env`: the action is a flat Box in [-1, 1], columns as in `ActionLayout` by product.

    An episode is the scenario's horizon and ends `terminated`. Rewards are currency (the scenario's objective).
    `info` carries the list price, price paid, units, lost sales, revenue and profit (drawn and expected), what each
    segment was shown and the guardrail trail, each as an array over products.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012  Gymnasium's own name and type

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        reward: Reward = "drawn",
        base_price: ArrayLike | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.face = Face(Market(scenario), reward=reward, base_price=base_price)
        self.observation_space = self.face.observation_space
        self.action_space = self.face.action_space
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None or 'ansi'; got {render_mode!r}; choose one of them")
        self.render_mode = render_mode
        self._last: dict[str, NDArray] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Open an episode; without a seed, the next one of the same stream of customers."""
        super().reset(seed=seed)
        if seed is not None:
            self.face.market.reset(seed=seed)
        else:
            self.face.market.restart(np.ones(1, dtype=bool))
        self._last = {}
        return self.face.observe()[0], {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One period."""
        market = self.face.market
        outcome = self.face.step(action)
        self._last = {name: values[0] for name, values in self.face.info(outcome).items()}
        reward = float(self.face.rewards(outcome)[0])
        return self.face.observe()[0], reward, bool(market.done[0]), False, dict(self._last)

    def render(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The period, prices, stock and last sales as lines of text, in mode `ansi`."""
        if self.render_mode != "ansi":
            return None
        market, state = self.face.market, self.face.market.state
        lines = [f"{market.spec.name}, {market.spec.market.period} {state.period[0]} of {market.catalogue.horizon}"]
        for n, name in enumerate(market.catalogue.products):
            units = f"{self._last['units'][n]:.0f} sold" if self._last else "opening"
            lines.append(f"  {name}: price {state.list_price[0, n]:.2f}, {state.on_hand[0, n]:g} on hand, {units}")
        return "\n".join(lines)
