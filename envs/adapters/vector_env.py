"""The Gymnasium vector environment: E markets in one batched step."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ...scenarios import MarketSpec, load_scenario
from ..draw_schedule import DrawSchedule
from ..simulator import Market
from .learner_view import LearnerView, Reward

# Batches that follow draws of their own.
_MOST_BATCHES = 8


class MarketVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """E markets as `gymnasium.vector.VectorEnv`; each has the path that it has alone.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        num_envs: E.
        reward: As for `LearnerView`.
        base_price: As for `LearnerView`.
        history: As for `LearnerView`.
        draws: Follow the posterior draws of the scenario: the markets form up to eight batches, and
            each follows another draw in each of its episodes, while observations show the scenario
            itself.
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
        draws: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        count = min(num_envs, _MOST_BATCHES) if draws else 1
        spec = load_scenario(scenario)
        batches = np.array_split(np.arange(num_envs), count) if draws else [np.arange(num_envs)]
        markets = (
            Market(spec, num_markets=len(each), numbers=each, draws=DrawSchedule(i, count) if draws else None)
            for i, each in enumerate(batches)
        )
        views = [LearnerView(each, reward=reward, base_price=base_price, history=history) for each in markets]
        self.learner_view, self.num_envs = views[0], num_envs
        self.render_mode = render_mode
        self._mode = AutoresetMode(autoreset_mode)
        self._batches = [_Batch(view, self._mode) for view in views]
        self._rows = np.split(np.arange(num_envs), np.cumsum([len(each) for each in batches])[:-1])
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
        for batch, rows in zip(self._batches, self._rows, strict=True):
            batch.reset(mask[rows], seed if mask.all() else None)
        return _joined([batch.view.observe() for batch in self._batches]), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one period of every market."""
        none = np.zeros(self.num_envs, dtype=bool)
        parts = [batch.step(actions[rows]) for batch, rows in zip(self._batches, self._rows, strict=True)]
        *arrays, infos = (list(column) for column in zip(*parts, strict=True))
        observations, rewards, over = map(_joined, arrays)
        info = infos[0] if len(infos) == 1 else _joined_infos(infos, self._rows)
        terminated, truncated = (over, none) if self.learner_view.market.ends else (none, over)
        return observations, rewards, terminated, truncated, info


class _Batch:
    """Markets that follow the same draw."""

    def __init__(self, view: LearnerView, mode: AutoresetMode) -> None:
        self.view, self._mode = view, mode

    def reset(self, mask: NDArray[np.bool_], seed: int | None) -> None:
        """Start an episode in the markets of the mask; a seed resets all."""
        if seed is not None:
            self.view.reset(seed=seed)
        elif mask.any():
            self.view.restart(mask)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], dict[str, Any]]:
        """Observations, rewards, which episodes are over, and info."""
        market, view = self.view.market, self.view
        ended = market.done
        if self._mode is AutoresetMode.NEXT_STEP and ended.any():
            view.restart(ended)
            if ended.all():
                return view.observe(), np.zeros(len(ended)), np.zeros(len(ended), dtype=bool), {}
        initial = market.state
        outcome = view.step(actions)
        rewards = view.rewards(outcome).astype(np.float64)
        if ended.any():
            view.restore(initial, where=ended)
            rewards[ended] = 0.0
        over = market.done
        info: dict[str, Any] = view.info(outcome)
        if ended.any():
            # An episode that has just started has no last period to report.
            info = {name: np.where(ended.reshape(-1, *[1] * (v.ndim - 1)), 0, v) for name, v in info.items()}
        if self._mode is AutoresetMode.SAME_STEP and over.any():
            info |= {"final_obs": view.observe(), "_final_obs": over.copy()}
            view.restart(over)
        return view.observe(), rewards, over, info


def _joined(parts: list[Any]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _joined_infos(infos: list[Any], rows: list[NDArray[np.intp]]) -> dict[str, Any]:
    """The infos of all batches; what one does not have is zero there."""
    like = {name: value for info in infos for name, value in info.items()}
    return {
        name: np.concatenate(
            [
                info.get(name, np.zeros((len(own), *value.shape[1:]), value.dtype))
                for info, own in zip(infos, rows, strict=True)
            ]
        )
        for name, value in like.items()
    }
