"""The Stable-Baselines3 vector environment, joint or product-wise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ..scenarios import MarketSpec
from .face import Face, Reward
from .market import Market
from .state import MarketState


class MarketVecEnv(VecEnv):
    """E markets as SB3's `VecEnv`: E rows joint, E * N rows product-wise (row e * N + n is product n of market e).

    Episodes restart by themselves, as SB3 expects; the last observation is in the row's info as
    `terminal_observation`. `state()` and `restore()` save and bring back the markets in mid-episode.
    """

    def __init__(self, face: Face) -> None:
        self.face = face
        self._raw: NDArray[np.float32] | None = None
        super().__init__(face.num_rows, face.observation_space, face.action_space)

    def reset(self) -> NDArray[np.float32]:
        """Open episode 0 of every market."""
        self.face.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self.face.observe()

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the raw actions for `step_wait`."""
        self._raw = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One period of every market."""
        assert self._raw is not None, "step_wait comes after step_async"
        market = self.face.market
        outcome = self.face.step(self._raw)
        rewards = self.face.rewards(outcome)
        done = market.done
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones = np.repeat(done, self.face.rows_per_market)
        if done.any():
            last = self.face.observe()
            for row in np.flatnonzero(dones):
                infos[row] = {"terminal_observation": last[row], "TimeLimit.truncated": not market.ends}
            self.face.restart(done)
        return self.face.observe(), rewards, dones, infos

    def state(self) -> MarketState:
        """The markets as they stand."""
        return self.face.market.state

    def restore(self, state: MarketState) -> NDArray[np.float32]:
        """Bring saved markets back; returns their observation."""
        self.face.restore(state)
        return self.face.observe()

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the face, once a row: rows share one batch of markets."""
        return [getattr(self.face, attr_name, None) for _ in self._rows(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: rows share one batch of markets."""
        raise AttributeError(
            f"{attr_name} cannot be set on one row; rows share a batch of markets; make a new environment"
        )

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refused: rows share one batch of markets."""
        raise AttributeError(f"{method_name} cannot be called on one row; rows share markets; use `face.market`")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False for _ in self._rows(indices)]

    def _rows(self, indices: int | Sequence[int] | None) -> Sequence[int]:
        return list(self._get_indices(indices))


def make_sb3_env(
    scenario: MarketSpec | str,
    *,
    num_envs: int = 64,
    seed: int = 0,
    product_wise: bool = False,
    reward: Reward = "drawn",
    base_price: NDArray[np.float32] | None = None,
    reward_scale: float = 1.0,
    history: int = 1,
) -> MarketVecEnv:
    """An SB3 environment over `num_envs` markets of a scenario; see `Face` for the options."""
    market = Market(scenario, num_markets=num_envs, seed=seed)
    face = Face(
        market,
        product_wise=product_wise,
        reward=reward,
        base_price=base_price,
        reward_scale=reward_scale,
        history=history,
    )
    return MarketVecEnv(face)
