"""Rewards in which the critic's value of what follows is its mean over several draws.

Most of the noise in an advantage is that of the customers who happened to come, through the value of
the state that they left behind. The critic's value of that state, less its mean given state and
action, has mean zero, so it may be taken out of the reward without moving any mean: a control variate
(Cheng, Yan and Boots 2020, Trajectory-wise Control Variates for Variance Reduction in Policy Gradient
Methods, CoRL 100). The simulator gives the mean: it runs the period again with other customers.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ...envs import MarketVecEnv
from ...envs.adapters.next_draws import NextDraws
from .side_by_side import SideBySidePolicy

# States that the critic values in one call: many small calls take longer, larger ones need memory.
_AT_ONCE = 16_384


class ExpectedValues(VecEnvWrapper):
    """Markets that look at what else could have followed, to take the noise of the next state's value out of
    the rewards of a rollout.

    Args:
        venv: The markets.
        model: Whose critic values states; it does not change during a rollout.
        draws: Number of further draws of each period.
    """

    def __init__(self, venv: MarketVecEnv, model: OnPolicyAlgorithm, draws: int) -> None:
        super().__init__(venv)
        self._markets, self._model = venv, model
        self._next = [NextDraws(view, draws) for view in venv.learner_views]
        # Observations that the last periods reached and which of them end an episode, (rows, F) and (rows,), and
        # the noise of the periods before.
        self._reached: list[NDArray[np.float32]] = []
        self._ended: list[NDArray[np.bool_]] = []
        self._noise: list[NDArray[np.float32]] = []
        self._draws = draws

    def reset(self) -> Any:
        """Reset the markets."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Store the actions, and note in which states they are taken."""
        if any(ahead.moved for ahead in self._next):
            self._look_ahead()
        for ahead, part in zip(self._next, np.split(np.asarray(actions), self._markets.ends[:-1]), strict=True):
            ahead.note(part)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market."""
        observations, rewards, dones, infos = self.venv.step_wait()
        cut = [row for row in np.flatnonzero(dones) if infos[row]["TimeLimit.truncated"]]
        reached, ended = np.array(observations), dones.copy()
        for row in cut:
            reached[row], ended[row] = infos[row]["terminal_observation"], False
        self._reached.append(reached)
        self._ended.append(ended)
        if len(self._reached) * (self._draws + 1) * self.num_envs >= _AT_ONCE:
            self._look_ahead()
        return observations, rewards, dones, infos

    def forget(self) -> None:
        """Start anew, after a rollout that did not end."""
        self._reached, self._ended, self._noise = [], [], []
        for ahead in self._next:
            ahead.forget()

    def take_noise(self) -> NDArray[np.float32]:
        """(T, rows) discounted noise in the rewards of the periods since the last call."""
        self._look_ahead()
        noise, self._noise = self._noise, []
        return np.concatenate(noise)

    def _look_ahead(self) -> None:
        """Replace what the last periods reached by the noise in its value."""
        if self._reached:
            reached, ended = np.stack(self._reached), np.stack(self._ended)
            self._reached, self._ended = [], []
            possible = np.concatenate([ahead.observations() for ahead in self._next], axis=2)
            states = np.concatenate([reached[:, None], possible], axis=1)
            rows, shaping = states.reshape(-1, states.shape[-1]), self._markets.shaping
            values = values_of(self._model.policy, rows)
            if shaping is not None:
                values = values + shaping.scale * shaping.potential(rows)
            values = values.reshape(states.shape[:-1])
            noise = np.where(ended, 0, values[:, 0] - values.mean(axis=1))
            self._noise.append((self._model.gamma * noise).astype(np.float32))


def values_of(policy: ActorCriticPolicy | SideBySidePolicy, rows: NDArray[Any]) -> NDArray[np.float32]:
    """(R,) what the critic expects from states, (R, …), on."""
    with torch.no_grad():
        return policy.predict_values(cast(torch.Tensor, policy.obs_to_tensor(rows)[0]))[:, 0].cpu().numpy()
