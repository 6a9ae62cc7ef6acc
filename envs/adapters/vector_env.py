"""The Gymnasium vector environment: E markets in one batched step."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ...scenarios import MarketSpec
from ..simulator import Market
from .learner_view import LearnerView, Reward


class MarketVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """E markets as `gymnasium.vector.VectorEnv`; each has the path that it has alone.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        num_envs: E.
        reward: As for `LearnerView`.
        base_price: As for `LearnerView`.
        history: As for `LearnerView`.
        autoreset_mode: Gymnasium's modes. `NEXT_STEP`: the step after an end starts the next
            episode, with reward 0. `SAME_STEP`: the last step of an episode returns the first
            observation of the next; the last observation is in `info["final_obs"]`. `DISABLED`: the
            caller resets, with `options={"reset_mask": …}` for some of the markets.
        render_mode: Kept for Gymnasium; a batch is not rendered.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import MarketVectorEnv
        >>> envs = MarketVectorEnv("stationary-logit", num_envs=3)
        >>> observations, _ = envs.reset(seed=0)
        >>> _, rewards, *_ = envs.step(np.zeros((3, 1), np.float32))
        >>> rewards.shape
        (3,)
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        num_envs: int = 1,
        *,
        reward: Reward = "drawn",
        base_price: ArrayLike | None = None,
        history: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        market = Market(scenario, num_markets=num_envs)
        self.learner_view = LearnerView(market, reward=reward, base_price=base_price, history=history)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        self.single_observation_space = self.learner_view.observation_space
        self.single_action_space = self.learner_view.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every market, or in those of `options["reset_mask"]`."""
        if isinstance(seed, list):
            raise ValueError(
                f"seed must be one whole number, from which every market's own is derived; got a list of {len(seed)}; "
                "give the first"
            )
        super().reset(seed=seed)
        mask = np.ones(self.num_envs, dtype=bool)
        if options and "reset_mask" in options:
            mask = np.asarray(options["reset_mask"], dtype=bool)
        if seed is not None and mask.all():
            self.learner_view.reset(seed=seed)
        else:
            self.learner_view.restart(mask)
        return self.learner_view.observe(), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one period of every market."""
        market = self.learner_view.market
        ended = market.done
        none = np.zeros(self.num_envs, dtype=bool)
        if self._mode is AutoresetMode.NEXT_STEP and ended.any():
            self.learner_view.restart(ended)
            if ended.all():
                return self.learner_view.observe(), np.zeros(self.num_envs), none.copy(), none, {}
        initial = market.state
        outcome = self.learner_view.step(actions)
        rewards = self.learner_view.rewards(outcome).astype(np.float64)
        if ended.any():
            self.learner_view.restore(initial, where=ended)
            rewards[ended] = 0.0
        over = market.done
        info: dict[str, Any] = self.learner_view.info(outcome)
        if ended.any():
            # An episode that has just started has no last period to report.
            info = {name: np.where(ended.reshape(-1, *[1] * (v.ndim - 1)), 0, v) for name, v in info.items()}
        if self._mode is AutoresetMode.SAME_STEP and over.any():
            info |= {"final_obs": self.learner_view.observe(), "_final_obs": over.copy()}
            self.learner_view.restart(over)
        terminated, truncated = (over, none) if market.ends else (none, over)
        return self.learner_view.observe(), rewards, terminated, truncated, info
