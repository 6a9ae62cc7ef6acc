"""The Gymnasium environment: one market, which is a batch of one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...scenarios import MarketSpec
from ..simulator import Market
from .learner_view import LearnerView, Reward
from .render import Seen, draw, lines


class MarketEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One market as `gymnasium.Env`; actions are a flat Box in [-1, 1], see `ActionLayout`.

    An episode lasts the scenario's horizon and ends `terminated`, or `truncated` where the market
    continues. Rewards are the scenario's objective in currency. `info` holds, as arrays over
    products, the list price, price paid, units, lost sales, revenue and profit (drawn and
    expected), the product shown to each segment, which price rules changed the price and the
    propensity that a logging policy stated; and the expected reward.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        reward: As for `LearnerView`.
        base_price: As for `LearnerView`.
        history: As for `LearnerView`.
        render_mode: None, `ansi` or `rgb_array`.

    Raises:
        ValueError: For an unknown render mode.

    Example:
        >>> from repricer.envs import MarketEnv
        >>> env = MarketEnv("stationary-logit", reward="expected")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        >>> info["list_price"].shape, terminated
        ((1,), False)
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012  Gymnasium's own name and type

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        reward: Reward = "drawn",
        base_price: ArrayLike | None = None,
        history: int = 1,
        render_mode: str | None = None,
    ) -> None:
        self.learner_view = LearnerView(Market(scenario), reward=reward, base_price=base_price, history=history)
        self.observation_space = self.learner_view.observation_space
        self.action_space = self.learner_view.action_space
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be None, 'ansi' or 'rgb_array'; got {render_mode!r}; choose one of them"
            )
        self.render_mode = render_mode
        self._path: list[Seen] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; without a seed, the next one of the same stream of customers."""
        super().reset(seed=seed)
        if seed is not None:
            self.learner_view.reset(seed=seed)
        else:
            self.learner_view.restart(np.ones(1, dtype=bool))
        self._path = []
        return self.learner_view.observe()[0], {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Run one period."""
        market = self.learner_view.market
        outcome = self.learner_view.step(action)
        if self.render_mode is not None:
            self._path.append((outcome, market.state.on_hand[0]))
        info = {name: values[0] for name, values in self.learner_view.info(outcome).items()}
        reward = float(self.learner_view.rewards(outcome)[0])
        over = bool(market.done[0])
        return self.learner_view.observe()[0], reward, over and market.ends, over and not market.ends, info

    def render(self) -> str | NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Mode `ansi`: period, prices, stock and last sales as lines of text.

        Mode `rgb_array`: a plot of the episode.
        """
        if self.render_mode == "ansi":
            return lines(self.learner_view.market, self._path)
        return draw(self.learner_view.market, self._path) if self.render_mode == "rgb_array" else None
