"""PPO on a GPU: the rollout stays on the device, and an update waits for nothing.

SB3 keeps rollouts in host memory: every step copies values and log probabilities to the host, every
batch goes back, and four figures a batch are waited for. Here the actions alone leave the device at
each step, and the figures once an update. Arithmetic and random numbers are SB3's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from .update import UpdateSettings

_PARTS = ("observations", "actions", "values", "log_probs", "advantages", "returns")


class DeviceRolloutBuffer(RolloutBuffer):
    """SB3's rollout buffer as tensors on the policy's device.

    Args:
        args: Those of SB3's buffer, like the options.

    Example:
        >>> from repricer import make_sb3_env
        >>> venv = make_sb3_env("stationary-logit", num_envs=2)
        >>> buffer = DeviceRolloutBuffer(8, venv.observation_space, venv.action_space, device="cpu", n_envs=2)
        >>> buffer.observations.shape[:2]
        torch.Size([8, 2])
    """

    def reset(self) -> None:
        """Forget the rollout."""
        super().reset()
        for name in (*_PARTS, "rewards", "episode_starts"):
            held: Any = torch.from_numpy(getattr(self, name).astype(np.float32, copy=False)).to(self.device)
            setattr(self, name, held)

    def add(
        self,
        obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        episode_start: NDArray[Any],
        value: torch.Tensor,
        log_prob: torch.Tensor,
    ) -> None:
        """Take one step of E markets.

        Args:
            obs: (E, F) features.
            action: (E, A) actions.
            reward: (E,) rewards.
            episode_start: (E,) whether the step began an episode.
            value: (E, 1) values.
            log_prob: (E,) log probabilities of the actions.
        """
        buffer: Any = self
        for name, given in (
            ("observations", obs.reshape(self.n_envs, *self.obs_shape)),
            ("actions", action.reshape(self.n_envs, self.action_dim)),
            ("rewards", reward),
            ("episode_starts", episode_start),
        ):
            getattr(buffer, name)[self.pos].copy_(torch.from_numpy(np.asarray(given, np.float32)), non_blocking=True)
        buffer.values[self.pos].copy_(value.flatten())
        buffer.log_probs[self.pos].copy_(log_prob.flatten())
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Generalised advantage estimates (Schulman et al. 2016, equation 16), and the critic's targets.

        Args:
            last_values: (E, 1) values after the last step.
            dones: (E,) whether the last step ended an episode.
        """
        buffer: Any = self
        goes_on = 1 - torch.from_numpy(dones.astype(np.float32)).to(self.device)
        following, ahead = last_values.flatten(), torch.zeros(self.n_envs, device=self.device)
        for step in reversed(range(self.buffer_size)):
            delta = buffer.rewards[step] + self.gamma * following * goes_on - buffer.values[step]
            ahead = delta + self.gamma * self.gae_lambda * goes_on * ahead
            buffer.advantages[step] = ahead
            goes_on, following = 1 - buffer.episode_starts[step], buffer.values[step]
        buffer.returns = buffer.advantages + buffer.values

    def rows(self) -> RolloutBufferSamples:
        """All steps as rows, market after market."""
        flat = [getattr(self, name).transpose(0, 1).flatten(0, 1) for name in _PARTS]
        return RolloutBufferSamples(*flat)

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples]:
        """Batches of the rollout in random order.

        Args:
            batch_size: Rows of a batch; by default all.
        """
        rows, size = self.rows(), self.buffer_size * self.n_envs
        # The same generator as SB3's.
        order = torch.from_numpy(np.random.permutation(size)).to(self.device)  # noqa: NPY002
        for chosen in order.split(batch_size or size):
            yield RolloutBufferSamples(*(part[chosen] for part in rows))


class _Facts(NamedTuple):
    """What SB3 logs of a batch, as tensors on the device."""

    entropy_loss: torch.Tensor
    policy_gradient_loss: torch.Tensor
    value_loss: torch.Tensor
    approx_kl: torch.Tensor
    clip_fraction: torch.Tensor
    loss: torch.Tensor


def update_on_device(
    policy: ActorCriticPolicy,
    buffer: DeviceRolloutBuffer,
    epochs: int,
    batch_size: int,
    settings: UpdateSettings,
) -> tuple[dict[str, float], int]:
    """One PPO update of a policy (Schulman et al. 2017), with the policy's own optimiser.

    Args:
        policy: The policy; it changes in place.
        buffer: The rollout.
        epochs: Passes over the rollout.
        batch_size: Rows of a batch.
        settings: The hyperparameters; those of Adam are the optimiser's own. A finite `kl_limit`
            waits for the device once a batch.

    Returns:
        The means over the batches of what SB3 logs, and the number of epochs begun.
    """
    seen: list[_Facts] = []
    for epoch in range(epochs):
        for batch in buffer.get(batch_size):
            facts = _objective(policy, batch, settings)
            seen.append(_Facts(*(fact.detach() for fact in facts)))
            if np.isfinite(settings.kl_limit) and facts.approx_kl.item() > settings.kl_limit:
                return _means(seen), epoch + 1
            policy.optimizer.zero_grad()
            facts.loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), settings.max_grad_norm)
            policy.optimizer.step()
    return _means(seen), epochs


def _objective(policy: ActorCriticPolicy, batch: RolloutBufferSamples, settings: UpdateSettings) -> _Facts:
    """The clipped objective of a batch, and what is logged of it."""
    actions = batch.actions
    if not policy.action_space.shape:
        actions = actions.long().flatten()
    values, log_prob, entropy = policy.evaluate_actions(batch.observations, actions)
    advantages = batch.advantages
    if settings.normalize and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    log_ratio = log_prob - batch.old_log_prob
    ratio = log_ratio.exp()
    bound = ratio.clamp(1 - settings.clip, 1 + settings.clip)
    policy_loss = -torch.min(advantages * ratio, advantages * bound).mean()
    value_loss = torch.nn.functional.mse_loss(batch.returns, values.flatten())
    entropy_loss = -(-log_prob if entropy is None else entropy).mean()
    loss = policy_loss + settings.ent_coef * entropy_loss + settings.vf_coef * value_loss
    outside = (ratio - 1).abs() > settings.clip
    divergence = ((ratio - 1) - log_ratio).mean()
    return _Facts(entropy_loss, policy_loss, value_loss, divergence, outside.float().mean(), loss)


def _means(seen: list[_Facts]) -> dict[str, float]:
    means = torch.stack([torch.stack(tuple(facts)) for facts in seen]).mean(dim=0)
    return dict(zip(_Facts._fields, means.tolist(), strict=True))
