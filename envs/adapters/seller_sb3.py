"""The Stable-Baselines3 vector environment of one seller, while the others act by given policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from .multi_seller import SeatPolicy, Sellers
from .sb3_env import BatchVecEnv, endings


class SeatVecEnv(BatchVecEnv):
    """E markets as SB3's `VecEnv` in which one seat learns; row e is market e.

    others: what the other seats do; left out, they act as the scenario has them. It may be changed between two steps: a
    `Mixed` policy draws an opponent a market. reward_scale: multiplies rewards. `arrays()` holds the markets, not the
    others' policies: whoever brings markets back says again who plays in them.
    """

    def __init__(
        self,
        sellers: Sellers,
        seat: str,
        others: Mapping[str, SeatPolicy] | None = None,
        *,
        reward_scale: float = 1.0,
    ) -> None:
        if seat not in sellers.seats:
            raise ValueError(f"seat must be one of {', '.join(sellers.seats)}; got '{seat}'; choose one of them")
        self.sellers, self.seat, self.face, self.reward_scale = sellers, seat, sellers.face, reward_scale
        self.others = {name: sellers.by_rule(name) for name in sellers.seats if name != seat} | dict(others or {})
        spaces = sellers.observation_spaces[seat], sellers.action_spaces[seat]
        super().__init__(sellers.market.num_markets, *spaces)

    def reset(self) -> NDArray[np.float32]:
        """Open episode 0 of every market."""
        self.face.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self.sellers.observe(self.seat)

    def step_wait(self) -> VecEnvStepReturn:
        """One period of every market: the learner's actions, and what the others' policies answer to what they see."""
        assert self._actions is not None, "step_wait comes after step_async"
        learned = self._actions
        outcome = self.sellers.play(self.others | {self.seat: lambda rows, opens: learned})
        rewards = self.sellers.rewards(outcome)[self.seat] * np.float32(self.reward_scale)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = self.sellers.market.done
        if done.any():
            last = self.sellers.observe(self.seat)
            for row, fact in endings(done, last, not self.sellers.market.ends).items():
                infos[row] = fact
            self.face.restart(done)
        return self.sellers.observe(self.seat), rewards, done, infos

    def arrays(self) -> dict[str, NDArray]:
        """All that changes from period to period, by name."""
        return self.face.arrays()

    def put_back(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Go on from what `arrays` gave; returns the observation."""
        self.face.put_back(arrays)
        return self.sellers.observe(self.seat)
