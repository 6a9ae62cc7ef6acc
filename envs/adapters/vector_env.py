"""The Gymnasium vector environment: E markets in one batched step."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ...scenarios import MarketSpec, load_scenario
from ..seeds import DRAWN_SEEDS, DrawSchedule, checked_seed, numbers_for
from ..simulator import Market
from .learner_view import LearnerView, ViewOptions, checked_actions, learner_views

# Batches that follow draws of their own.
_MOST_BATCHES = 8


_Step = tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], dict[str, Any]]


class MarketVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """E markets as `gymnasium.vector.VectorEnv`; each has the path that it has alone.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        num_envs: E.
        draws: Follow the posterior draws of the scenario: the markets form up to eight batches, and
            each follows another draw in each of its episodes, while observations show the scenario
            itself.
        staggered: Let a reset of all markets spread them over the periods of an episode, see
            `LearnerView.stagger`.
        autoreset_mode: Gymnasium's modes. `NEXT_STEP`: the step after an end starts the next
            episode, with reward 0. `SAME_STEP`: the last step of an episode returns the first
            observation of the next; the last observation is in `info["final_obs"]`. `DISABLED`: the
            caller resets, with `options={"reset_mask": …}` for some of the markets.
        render_mode: None: a batch is not rendered.
        max_episode_steps: The market's own horizon, or None: a market ends by itself.
        options: As for `MarketEnv`.

    Raises:
        ValueError: For a render mode, or an option out of range.

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
        draws: bool = False,
        staggered: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **options: Unpack[ViewOptions],
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode of a batch must be None; got {render_mode!r}; use gymnasium.make")
        spec = load_scenario(scenario)
        if max_episode_steps not in (None, horizon := spec.market.horizon_periods):
            raise ValueError(f"max_episode_steps must be the horizon, {horizon}; got {max_episode_steps}; leave it out")
        # In a market whose demand is drawn anew in each episode, every row has a draw of its own, as it has alone.
        self._apart = spec.posterior is not None and spec.posterior.simulated
        draws = draws or self._apart
        count = min(num_envs, _MOST_BATCHES) if draws else 1
        if self._apart:
            count = num_envs
        batches = np.array_split(np.arange(num_envs), count)
        markets = [
            Market(spec, num_markets=len(own), numbers=own, draws=DrawSchedule(i, count) if draws else None)
            for i, own in enumerate(batches)
        ]
        self._views = learner_views(markets, **options)
        self.learner_view = self._views[0]
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._staggered = staggered
        self._seeded = False
        self.autoreset_mode = self._mode = AutoresetMode(autoreset_mode)
        self._rows = [slice(each[0], each[-1] + 1) for each in batches]
        self.metadata = {"render_modes": [], "autoreset_mode": self._mode}
        view = self.learner_view
        self.single_observation_space = view.observation_space
        self.single_action_space = view.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every market, or in those of `options["reset_mask"]`.

        Args:
            seed: One from which every market's own is derived, or a list of one for each market,
                which then has the customers of a `MarketEnv` with this seed. Without one, the next
                episodes of the same streams of customers; an environment that never had a seed
                draws one.
            options: May hold `reset_mask`, (E,).

        Raises:
            ValueError: There are not as many seeds or marks as markets, or an option is unknown.
        """
        mask = self._mask(options or {})
        seed = self._checked(seed)
        if seed is not None and not mask.all():
            raise ValueError(f"seed must be None with a reset_mask; got {seed}; reset all markets to seed them")
        self._reset(seed, mask)
        infos = _joined_infos([view.initial_info() for view in self._views], self._rows)
        return _joined([view.observe() for view in self._views]), infos

    def _mask(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        """(E,) the markets that a reset with these options starts."""
        for name in options.keys() - {"reset_mask"}:
            raise ValueError(f"options of a reset may hold reset_mask; got {name}; leave it out")
        if "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=bool)
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must hold {self.num_envs} booleans; got {mask.dtype} {mask.shape}; fix it")
        if not mask.any():
            raise ValueError("reset_mask must be True for a market; got False for all; leave the reset out")
        return mask

    def _checked(self, seed: Any) -> int | list[int | None] | None:
        """The seed, or one for each market, as whole numbers."""
        if isinstance(seed, list | tuple | np.ndarray) and np.ndim(seed):  # pyright: ignore[reportArgumentType]
            if len(seed) != self.num_envs:
                raise ValueError(f"seed must hold one for each of {self.num_envs} markets; got {len(seed)}; fix it")
            return [None if each is None else checked_seed(each) for each in seed]
        return None if seed is None else checked_seed(seed)

    def _reset(self, seed: int | list[int | None] | None, mask: NDArray[np.bool_]) -> None:
        unseeded = seed is None and not self._seeded
        self._seeded = True
        super().reset(seed=None if isinstance(seed, list) else seed)
        numbers = np.arange(self.num_envs)
        seeds = []
        if isinstance(seed, list):
            seeds = [self._drawn_seed() if each is None else each for each in seed]
            numbers = numbers_for(seeds)
        whole = seed is not None or unseeded
        key = seed if isinstance(seed, int) else 0
        if unseeded and seed is None:
            key = self._drawn_seed()
        for view, rows in zip(self._views, self._rows, strict=True):
            if not whole:
                if mask[rows].any():
                    view.restart(mask[rows])
                continue
            own = seeds[rows.start] if self._apart and seeds else None
            market = view.market
            market.numbers = numbers[rows] if own is None else np.zeros(1, np.int64)
            if self._apart:
                market.draws = DrawSchedule(rows.start, self.num_envs) if own is None else DrawSchedule()
            view.reset(seed=key if own is None else own)
            if self._staggered:
                view.stagger()

    def _drawn_seed(self) -> int:
        return int(self.np_random.integers(DRAWN_SEEDS))

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Run one period of every market."""
        none = np.zeros(self.num_envs, dtype=bool)
        if len(self._views) == 1:
            observations, rewards, over, info = self._stepped(self._views[0], actions)
        else:
            whole = checked_actions(actions, self.num_envs, self.single_action_space)
            parts = [self._stepped(view, whole[rows]) for view, rows in zip(self._views, self._rows, strict=True)]
            *arrays, infos = (list(column) for column in zip(*parts, strict=True))
            observations, rewards, over = map(_joined, arrays)
            info = _joined_infos(infos, self._rows)
        terminated, truncated = (over, none) if self.learner_view.market.ends else (none, over)
        return observations, rewards, terminated, truncated, info

    def _stepped(self, view: LearnerView, actions: NDArray[np.float32]) -> _Step:
        """Observations, rewards, which episodes are over, and info."""
        market = view.market
        if market.over and self._mode is AutoresetMode.NEXT_STEP:
            return _restarting(view, actions, market.done)
        outcome = view.step(actions)
        rewards = view.rewards(outcome).astype(np.float64)
        info = view.info(outcome)
        if not market.over:
            return view.observe(), rewards, np.zeros(market.num_markets, np.bool_), info
        over = market.done
        if self._mode is AutoresetMode.SAME_STEP:
            info |= {"final_obs": view.observe(), "_final_obs": over.copy()}
            view.restart(over)
            # Of the market that goes on, as the observation.
            info |= {name: values for name, values in view.initial_info().items() if name == "action_mask"}
        return view.observe(), rewards, over, info


def _restarting(view: LearnerView, actions: NDArray[np.float32], ended: NDArray[np.bool_]) -> _Step:
    """The step after the end of some episodes, which starts their next one; the other markets go on."""
    market = view.market
    view.restart(ended)
    initial = view.initial_info()
    if ended.all():
        return view.observe(), np.zeros(len(ended)), np.zeros(len(ended), np.bool_), initial
    before = market.state
    outcome = view.step(actions)
    rewards = np.where(ended, 0.0, view.rewards(outcome).astype(np.float64))
    view.restore(before, where=ended)
    played = view.info(outcome)
    info = {name: np.where(ended.reshape(-1, *[1] * (v.ndim - 1)), initial[name], v) for name, v in played.items()}
    return view.observe(), rewards, market.done, info


def _joined(parts: list[Any]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _joined_infos(infos: list[Any], rows: list[slice]) -> dict[str, Any]:
    """The infos of all batches; what one does not have is zero there."""
    like = {name: value for info in infos for name, value in info.items()}
    pairs = list(zip(infos, rows, strict=True))
    nothing = {name: np.zeros((rows[-1].stop, *value.shape[1:]), value.dtype) for name, value in like.items()}
    return {name: _joined([info.get(name, nothing[name][own]) for info, own in pairs]) for name in like}
