"""The Stable-Baselines3 vector environment of one seller among others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from .multi_seller import MultiSellerMarket, SellerPolicy
from .sb3_env import BatchVecEnv, endings
from .view_options import checked_actions


class SellerVecEnv(BatchVecEnv):
    """E markets as SB3's `VecEnv` in which one seller learns; row e is market e.

    `arrays()` holds the state of the markets but not the policies of the other sellers; set
    `others` again after a restore.

    Args:
        multi_seller: The markets.
        seller: Name of the learning seller.
        others: Policies of other sellers; by default each acts as in the scenario. The attribute
            may be changed between two steps; a `MixedSellerPolicy` gives each market its own
            opponent.
        reward_scale: Factor of all rewards.

    Raises:
        ValueError: For a seller that the market does not have.

    Example:
        >>> from repricer.envs import MultiSellerMarket, SellerVecEnv
        >>> venv = SellerVecEnv(MultiSellerMarket("calvano-duopoly", num_markets=2), "rival")
        >>> venv.reset().shape[0], venv.num_envs
        (2, 2)
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
        """Start episode 0 of every market."""
        self.learner_view.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self.multi_seller.observe(self.seller)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market under the actions of the learner and of the others."""
        assert self._actions is not None, "step_wait comes after step_async"
        learned = checked_actions(self._actions, self.num_envs, self.action_space)
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
        """Everything that changes from period to period, by name."""
        return self.learner_view.arrays()

    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Continue from the result of `arrays`; returns the observation."""
        self.learner_view.restore_arrays(arrays)
        return self.multi_seller.observe(self.seller)
