"""Rewards in which the critic's value of what follows is its mean over several draws.

Most of the noise in an advantage is that of the customers who happened to come, through the value of
the state that they left behind. The critic's value of that state, less its mean given state and
action, has mean zero, so it may be taken out of the reward without moving any mean: a control variate
(Cheng, Yan and Boots 2020, Trajectory-wise Control Variates for Variance Reduction in Policy Gradient
Methods, CoRL 100). The simulator gives the mean: it runs the period again with other customers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ...envs import MarketVecEnv
from ...envs.adapters.next_draws import NextDraws


class ExpectedValues(VecEnvWrapper):
    """Markets whose rewards have the noise of the next state's value taken out.

    Args:
        venv: The markets.
        model: Whose critic values states; it does not change during a rollout.
        draws: Number of further draws of each period.
    """

    def __init__(self, venv: MarketVecEnv, model: OnPolicyAlgorithm, draws: int) -> None:
        super().__init__(venv)
        self._markets, self._model = venv, model
        self._next = [NextDraws(view, draws) for view in venv.learner_views]
        self._possible = np.empty((0, 0, 0), np.float32)

    def reset(self) -> Any:
        """Reset the markets."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Store the actions, and look at what may follow them."""
        rows = np.split(np.asarray(actions), self._markets.ends[:-1])
        possible = [draws.observations(part) for draws, part in zip(self._next, rows, strict=True)]
        self._possible = possible[0] if len(possible) == 1 else np.concatenate(possible, axis=1)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market."""
        observations, rewards, dones, infos = self.venv.step_wait()
        cut = [row for row in np.flatnonzero(dones) if infos[row]["TimeLimit.truncated"]]
        reached, ended = np.array(observations), dones.copy()
        for row in cut:
            reached[row], ended[row] = infos[row]["terminal_observation"], False
        values = self._values(np.concatenate([reached[None], self._possible]))
        noise = np.where(ended, 0, values[0] - values.mean(axis=0))
        return observations, (rewards - self._model.gamma * noise).astype(np.float32), dones, infos

    def _values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(D, rows) what the critic expects from states on, with the potential that shapes the rewards."""
        flat, policy = observations.reshape(-1, observations.shape[-1]), self._model.policy
        with torch.no_grad():
            values = policy.predict_values(policy.obs_to_tensor(flat)[0])[:, 0].cpu().numpy()
        shaping = self._markets.shaping
        if shaping is not None:
            values = values + shaping.scale * shaping.potential(flat)
        return values.reshape(observations.shape[:-1])
