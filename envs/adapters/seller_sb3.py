"""The Stable-Baselines3 vector environment of one seller, while the others act by given policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from .multi_seller import MultiSellerMarket, SellerPolicy
from .sb3_env import BatchVecEnv, endings


class SellerVecEnv(BatchVecEnv):
    """E markets as SB3's `VecEnv` in which one seller learns; row e is market e.

    others: what the other seats do; left out, they act as the scenario has them. It may be changed between two steps: a
    `MixedSellerPolicy` policy draws an opponent a market. reward_scale: multiplies rewards. `arrays()` holds the markets, not the
    others' policies: whoever brings markets back says again who plays in them.
    """

    def __init__(
        self,
        multi_seller: MultiSellerMarket,
        seller: str,
        others: Mapping[str, SellerPolicy] | None = None,
        *,
        reward_scale: float = 1.0,
    ) -> None:
        if seller not in multi_seller.names:
            raise ValueError(
                f"seller must be one of {', '.join(multi_seller.names)}; got '{seller}'; choose one of them"
            )
        self.multi_seller, self.seller, self.reward_scale = multi_seller, seller, reward_scale
        self.learner_view = multi_seller.learner_view
        by_rule = {name: multi_seller.by_rule(name) for name in multi_seller.names if name != seller}
        self.others = by_rule | dict(others or {})
        spaces = multi_seller.observation_spaces[seller], multi_seller.action_spaces[seller]
        super().__init__(multi_seller.market.num_markets, *spaces)

    def reset(self) -> NDArray[np.float32]:
        """Open episode 0 of every market."""
        self.learner_view.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self.multi_seller.observe(self.seller)

    def step_wait(self) -> VecEnvStepReturn:
        """One period of every market: the learner's actions, and what the others' policies answer to what they see."""
        assert self._actions is not None, "step_wait comes after step_async"
        learned = self._actions
        outcome = self.multi_seller.play(self.others | {self.seller: lambda rows, starts: learned})
        rewards = self.multi_seller.rewards(outcome)[self.seller] * np.float32(self.reward_scale)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = self.multi_seller.market.done
        if done.any():
            last = self.multi_seller.observe(self.seller)
            for row, fact in endings(done, last, not self.multi_seller.market.ends).items():
                infos[row] = fact
            self.learner_view.restart(done)
        return self.multi_seller.observe(self.seller), rewards, done, infos

    def arrays(self) -> dict[str, NDArray]:
        """All that changes from period to period, by name."""
        return self.learner_view.arrays()

    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Go on from what `arrays` gave; returns the observation."""
        self.learner_view.restore_arrays(arrays)
        return self.multi_seller.observe(self.seller)
