"""PPO with Stable-Baselines3's arithmetic, much faster on small networks: its update is one compiled function.

SB3's update spends most of its time dispatching tensor operations. `update` replaces it for networks of ReLU layers
that Adam trains on the CPU; all others, and a GPU, use SB3's own.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ...envs import MarketVecEnv
from .expected_values import ExpectedValues, values_of
from .update import FACTS, Adam, MlpWeights, Rollout, UpdateSettings, update


def _is_compiled(policy: ActorCriticPolicy) -> bool:
    """Whether there are compiled functions for the networks: on the CPU, of ReLU layers on plain features, for Gaussian
    actions.
    """
    if type(policy) is not ActorCriticPolicy or policy.device.type != "cpu":
        return False
    layers = (*policy.mlp_extractor.policy_net, *policy.mlp_extractor.value_net)
    seen = policy.observation_space
    return (
        (isinstance(seen, Box) and seen.dtype == np.float32 and len(seen.shape) == 1)
        and isinstance(policy.action_space, Box)
        and not (policy.use_sde or policy.squash_output)
        and type(policy.features_extractor) is FlattenExtractor
        and all(isinstance(layer, torch.nn.Linear | torch.nn.ReLU) for layer in layers)
        and layers[1::2] == tuple(layer for layer in layers if isinstance(layer, torch.nn.ReLU))
    )


class FusedPPO(PPO):
    """SB3's PPO, with the compiled update if policy, optimiser and settings allow it.

    Args:
        args: Those of SB3's PPO, like the options.
        next_draws: Further draws of each period, over which the critic's value of what follows is averaged (see
            `ExpectedValues`); 0 for none. In markets of one learner; others do without.

    Example:
        >>> from repricer import load_scenario, make_sb3_env
        >>> venv = make_sb3_env(load_scenario("stationary-logit"), num_envs=2)
        >>> model = FusedPPO("MlpPolicy", venv, n_steps=8, batch_size=16, device="cpu")
        >>> model.learn(16).num_timesteps
        16
    """

    def __init__(self, *args: Any, next_draws: int = 0, **options: Any) -> None:
        if not isinstance(next_draws, int) or next_draws < 0:
            raise ValueError(f"next_draws must be a whole number of at least 0; got {next_draws!r}; fix it")
        self.next_draws = next_draws
        super().__init__(*args, **options)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Collect experience as SB3 does; the values of what follows episodes that were cut are computed at the end, at once.

        Args:
            env: The environment.
            callback: Called in each step, and when the rollout is complete.
            rollout_buffer: The buffer, filled.
            n_rollout_steps: Number of steps.
        """
        ahead = None
        if self.next_draws and isinstance(env, MarketVecEnv):
            ahead = ExpectedValues(env, self, self.next_draws)
        completing: Any = _Completing(callback, self, ahead)
        return super().collect_rollouts(ahead or env, completing, rollout_buffer, n_rollout_steps)

    def train(self) -> None:
        """Update the policy on the last rollout."""
        policy = self.policy
        if self.clip_range_vf or type(policy.optimizer) is not torch.optim.Adam or not _is_compiled(policy):
            return super().train()
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        clip = float(self.clip_range(self._current_progress_remaining))  # pyright: ignore[reportCallIssue]
        rollout = Rollout(*(_rows(getattr(self.rollout_buffer, name)) for name in Rollout._fields))
        size = len(rollout.observations)
        # From the same generator as SB3, in the same order.
        order = np.stack([np.random.permutation(size) for _ in range(self.n_epochs)])  # noqa: NPY002
        weights = _Weights(policy)
        facts, epochs = update(weights.network, rollout, order, self.batch_size or size, self._update_settings(clip))
        weights.restore()
        self._n_updates += int(epochs)
        self._record(dict(zip(FACTS, facts, strict=True)), clip)

    def _update_settings(self, clip: float) -> UpdateSettings:
        group = self.policy.optimizer.param_groups[0]
        return UpdateSettings(
            clip=clip,
            normalize=bool(self.normalize_advantage),
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            max_grad_norm=float(self.max_grad_norm),
            kl_limit=np.inf if self.target_kl is None else 1.5 * float(self.target_kl),
            rate=float(group["lr"]),
            adam=Adam(*map(float, (*group["betas"], group["eps"], group["weight_decay"]))),
        )

    def _record(self, facts: dict[str, float], clip: float) -> None:
        """Log the figures that SB3 logs."""
        buffer: Any = self.rollout_buffer
        explained = explained_variance(buffer.values.ravel(), buffer.returns.ravel())
        facts = facts | {"explained_variance": explained, "clip_range": clip}
        facts["std"] = cast(torch.Tensor, self.policy.log_std).exp().mean().item()
        for name, value in facts.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


class _Completing:
    """A callback that completes the rewards of a rollout before the user's own callback sees its end: by the values of what
    follows episodes that were cut, and the noise of those that follow others.

    Args:
        callback: The user's own.
        model: The model.
        ahead: Knows the noise, or None.
    """

    def __init__(self, callback: BaseCallback, model: FusedPPO, ahead: ExpectedValues | None) -> None:
        self._callback = callback
        self._model = model
        self._ahead = ahead
        self._names: dict[str, Any] = {}
        self._cut: list[tuple[int, int]] = []
        self._last: list[NDArray[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)

    def update_locals(self, names: dict[str, Any]) -> None:
        self._names = names
        self._callback.update_locals(names)

    def on_step(self) -> bool:
        goes_on = self._callback.on_step()
        infos = self._names["infos"]
        for row in np.flatnonzero(self._names["dones"]):
            last = infos[row].get("terminal_observation")
            if isinstance(last, np.ndarray) and infos[row].get("TimeLimit.truncated"):
                self._cut.append((self._names["n_steps"], int(row)))
                self._last.append(last)
                # Else SB3 would value what follows, row by row.
                infos[row]["TimeLimit.truncated"] = False
        return goes_on

    def on_rollout_end(self) -> None:
        model = self._model
        buffer = cast(Any, self._model.rollout_buffer)
        if self._ahead is not None:
            buffer.rewards -= self._ahead.take_noise()
        if self._cut:
            buffer.rewards[tuple(np.array(self._cut).T)] += model.gamma * values_of(model.policy, np.stack(self._last))
        if self._cut or self._ahead is not None:
            buffer.compute_returns_and_advantage(self._names["values"], self._names["dones"])
        self._callback.on_rollout_end()


def _rows(played: NDArray[Any]) -> NDArray[np.float32]:
    """(periods, markets, …) to rows: matrices stay matrices, scalars become a vector."""
    flat = RolloutBuffer.swap_and_flatten(played).astype(np.float32, copy=False)
    return flat[:, 0] if played.ndim == 2 else flat.reshape(len(flat), -1)


class _Weights:
    """Copies the weights and Adam moments of an SB3 policy to `MlpWeights` and back."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        extractor: Any = policy.mlp_extractor
        nets = [[*extractor.policy_net[::2], policy.action_net], [*extractor.value_net[::2], policy.value_net]]
        self._tensors: list[torch.Tensor] = [cast(torch.Tensor, policy.log_std)]
        for layer in (each for net in nets for each in net):
            self._tensors += [layer.weight, layer.bias]
        states = [_moments(policy.optimizer, tensor) for tensor in self._tensors]
        self._moments = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        self._counts = [state["step"] for state in states]
        actor, critic = (np.array([net[0].in_features, *(layer.out_features for layer in net)]) for net in nets)
        weights, first, second = (
            parameters_to_vector(part).detach().numpy() for part in (self._tensors, *self._moments)
        )
        updates = np.array([float(self._counts[0])], dtype=np.float32)
        self.network = MlpWeights(weights, first, second, updates, actor, critic)

    def restore(self) -> None:
        """Copy the updated weights and moments back to the policy and its optimiser."""
        for whole, parts in zip(self.network[:3], (self._tensors, *self._moments), strict=True):
            vector_to_parameters(torch.from_numpy(whole), parts)
        for count in self._counts:
            count.fill_(float(self.network.updates[0]))


def _moments(optimizer: torch.optim.Optimizer, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Adam's state of a tensor, initialised as torch does it if there is none yet."""
    state = optimizer.state[tensor]
    if not state:
        state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(tensor), "exp_avg_sq": torch.zeros_like(tensor)}
    return state


# Rewards in which the critic's value of what follows is its mean over several draws.
#
# Most of the noise in an advantage is that of the customers who happened to come, through the value of the state that
# they left behind. The critic's value of that state, less its mean given state and action, has mean zero, so it may
# be taken out of the reward without moving any mean: a control variate (Cheng, Yan and Boots 2020, Trajectory-wise
# Control Variates for Variance Reduction in Policy Gradient Methods, CoRL 100). The simulator gives the mean: it runs
# the period again with other customers.
