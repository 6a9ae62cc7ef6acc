"""PPO whose update is one compiled function: the same arithmetic as Stable-Baselines3's, without a call a tensor.

On small networks SB3's update is almost all dispatch. What is compiled here is PPO's clipped objective (Schulman et al.
2017, Proximal Policy Optimization Algorithms, equation 7) for a Gaussian policy of ReLU layers, its gradient, the cut of
the gradient's norm, and Adam (Kingma and Ba 2015, algorithm 1). Anything else is left to SB3.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import explained_variance

from ..envs.fastmath import compiled, exponential

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_FACTS = ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "loss")


class GaussianPolicy(ActorCriticPolicy):
    """SB3's policy, which draws Gaussian actions without a distribution object."""

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows, F) to the actions, values and log probabilities of a rollout."""
        if not _is_plain(self) or deterministic:
            return super().forward(obs, deterministic)
        rows = obs.flatten(1)
        mean = self.action_net(self.mlp_extractor.policy_net(rows))
        noise = torch.randn_like(mean)
        log_prob = (-0.5 * noise.square() - self.log_std - _HALF_LOG_2PI).sum(dim=1)
        actions = torch.addcmul(mean, noise, self.log_std.exp())
        return actions, self.value_net(self.mlp_extractor.value_net(rows)), log_prob


def _is_plain(policy: ActorCriticPolicy) -> bool:
    """Whether actions are Gaussian and the networks ReLU layers on the bare observation."""
    layers = (*policy.mlp_extractor.policy_net, *policy.mlp_extractor.value_net)
    return (
        isinstance(policy.action_space, Box)
        and not (policy.use_sde or policy.squash_output)
        and type(policy.features_extractor) is FlattenExtractor
        and all(isinstance(layer, torch.nn.Linear | torch.nn.ReLU) for layer in layers)
        and layers[1::2] == tuple(layer for layer in layers if isinstance(layer, torch.nn.ReLU))
    )


class FusedPPO(PPO):
    """SB3's PPO with the compiled update where policy and optimiser are such that there is one."""

    policy_aliases = PPO.policy_aliases | {"MlpPolicy": GaussianPolicy}

    def train(self) -> None:
        """Update the policy on the rollout."""
        policy = self.policy
        if not isinstance(policy, GaussianPolicy) or not self._is_fused(policy):
            return super().train()
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        rollout = Rollout(*(_rows(getattr(self.rollout_buffer, name)) for name in Rollout._fields))
        size = len(rollout.observations)
        # From the generator that SB3 takes it from, in the same order.
        order = np.stack([np.random.permutation(size) for _ in range(self.n_epochs)])  # noqa: NPY002
        weights = _Weights(policy)
        clip = float(self.clip_range(self._current_progress_remaining))  # pyright: ignore[reportCallIssue]
        facts, epochs = update(weights.network, rollout, order, self.batch_size or size, self._rules(clip))
        weights.put_back()
        self._n_updates += int(epochs)
        self._record(dict(zip(_FACTS, facts, strict=True)), clip)

    def _is_fused(self, policy: GaussianPolicy) -> bool:
        """Whether the compiled update knows such a policy, its optimiser and the settings."""
        adam = type(policy.optimizer) is torch.optim.Adam
        return adam and _is_plain(policy) and not self.clip_range_vf and self.device.type == "cpu"

    def _rules(self, clip: float) -> Rules:
        group = self.policy.optimizer.param_groups[0]
        return Rules(
            clip=clip,
            normalize=bool(self.normalize_advantage),
            ent_coef=float(self.ent_coef),
            vf_coef=float(self.vf_coef),
            max_grad_norm=float(self.max_grad_norm),
            kl_limit=np.inf if self.target_kl is None else 1.5 * float(self.target_kl),
            rate=float(group["lr"]),
            beta1=float(group["betas"][0]),
            beta2=float(group["betas"][1]),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
        )

    def _record(self, facts: dict[str, float], clip: float) -> None:
        """The figures that SB3 records."""
        buffer: Any = self.rollout_buffer
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        deviation = self.policy.log_std.exp().mean().item()  # pyright: ignore[reportCallIssue]
        for name, value in (facts | {"explained_variance": explained, "std": deviation, "clip_range": clip}).items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


class Rollout(NamedTuple):
    """What was played: observations (R, F), actions (R, A), their log probabilities, advantages and returns (R,)."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]


class Rules(NamedTuple):
    """PPO's settings by SB3's names, and Adam's. kl_limit: an update stops where the divergence passes it."""

    clip: float
    normalize: bool
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    kl_limit: float
    rate: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float


class Network(NamedTuple):
    """All weights one after another, (W,): log deviations (A,), the actor's layers, the critic's; each a matrix (out, in)
    and a bias. first, second: Adam's moments. updates: (1,) Adam's so far. actor, critic: widths of the layers, from
    the features to what comes out.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    updates: NDArray[np.float32]
    actor: NDArray[np.int64]
    critic: NDArray[np.int64]


def _rows(played: NDArray[np.float32]) -> NDArray[np.float32]:
    """(periods, markets, …) to rows: matrices stay matrices, numbers become a vector."""
    flat = RolloutBuffer.swap_and_flatten(played)
    return flat[:, 0] if played.ndim == 2 else flat.reshape(len(flat), -1)


class _Weights:
    """The weights and moments of an SB3 policy laid out as a `Network`, and the way back."""

    def __init__(self, policy: GaussianPolicy) -> None:
        extractor: Any = policy.mlp_extractor
        nets = [[*extractor.policy_net[::2], policy.action_net], [*extractor.value_net[::2], policy.value_net]]
        self._tensors: list[torch.Tensor] = [policy.log_std]
        for layer in (each for net in nets for each in net):
            self._tensors += [layer.weight, layer.bias]
        states = [_moments(policy.optimizer, tensor) for tensor in self._tensors]
        self._moments = [[state[name] for state in states] for name in ("exp_avg", "exp_avg_sq")]
        self._counts = [state["step"] for state in states]
        actor, critic = (np.array([net[0].in_features, *(layer.out_features for layer in net)]) for net in nets)
        weights, first, second = (_flat(part) for part in (self._tensors, *self._moments))
        updates = np.array([float(self._counts[0])], dtype=np.float32)
        self.network = Network(weights, first, second, updates, actor, critic)

    def put_back(self) -> None:
        """Give the policy and its optimiser what the update made of them."""
        for whole, parts in zip(self.network[:3], (self._tensors, *self._moments), strict=True):
            pieces = torch.from_numpy(whole).split([part.numel() for part in parts])
            with torch.no_grad():
                for part, piece in zip(parts, pieces, strict=True):
                    part.copy_(piece.view_as(part))
        for count in self._counts:
            count.fill_(float(self.network.updates[0]))


def _moments(optimizer: torch.optim.Optimizer, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Adam's state of a tensor, as torch begins it where there is none."""
    state = optimizer.state[tensor]
    if not state:
        state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(tensor), "exp_avg_sq": torch.zeros_like(tensor)}
    return state


def _flat(tensors: list[torch.Tensor]) -> NDArray[np.float32]:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).numpy()


@compiled
def update(network, rollout, order, batch_size, rules):
    """Passes over the rollout in the rows' `order`, (epochs, R); changes `network`.

    Returns the means of `_FACTS` and the number of passes begun.
    """
    rows, columns = rollout.actions.shape
    size = min(batch_size, rows)
    actor_work, critic_work = _scratch(network.actor, size), _scratch(network.critic, size)
    gradient, totals, batches = np.empty_like(network.weights), np.zeros(len(_FACTS)), 0
    actor_at, critic_at = columns, columns + _count(network.actor)
    for epoch in range(order.shape[0]):
        for start in range(0, rows, size):
            chosen = order[epoch, start : start + size]
            b = _batch(rollout, chosen, rules.normalize)
            mean = _forward(b.observations, network.weights, actor_at, network.actor, actor_work)
            value = _forward(b.observations, network.weights, critic_at, network.critic, critic_work)
            gradient[:columns] = 0
            facts, d_mean, d_value = _objective(b, mean, value, network.weights[:columns], gradient[:columns], rules)
            totals += facts
            batches += 1
            if facts[3] > rules.kl_limit:
                return totals / batches, epoch + 1
            _backward(b.observations, network.weights, gradient, actor_at, network.actor, actor_work, d_mean)
            _backward(b.observations, network.weights, gradient, critic_at, network.critic, critic_work, d_value)
            _cut_norm(gradient, rules.max_grad_norm)
            _adam(network, gradient, rules)
    return totals / batches, order.shape[0]


@compiled
def _batch(rollout, chosen, normalize):
    """Those rows of the rollout, with advantages of mean 0 and deviation 1 where asked for."""
    advantages = rollout.advantages[chosen]
    if normalize and chosen.size > 1:
        mean, squares = advantages.sum(dtype=np.float64) / chosen.size, 0.0
        for a in advantages:
            squares += (a - mean) ** 2
        deviation = np.sqrt(squares / (chosen.size - 1)) + 1e-8
        for i in range(chosen.size):
            advantages[i] = (advantages[i] - mean) / deviation
    return Rollout(
        rollout.observations[chosen],
        rollout.actions[chosen],
        rollout.log_probs[chosen],
        advantages,
        rollout.returns[chosen],
    )


@compiled
def _objective(batch, mean, value, log_std, d_log_std, rules):
    """`_FACTS` of the batch, and the loss's derivatives by the means (B, A) and the values (B, 1); adds that by log_std."""
    size, columns = mean.shape
    d_mean, d_value, precision = np.empty_like(mean), np.empty_like(value), np.exp(-log_std)
    gain = squares = divergence = clipped = 0.0
    for i in range(size):
        log_ratio = -batch.log_probs[i]
        for j in range(columns):
            z = (batch.actions[i, j] - mean[i, j]) * precision[j]
            log_ratio -= np.float32(0.5) * z * z + log_std[j] + np.float32(_HALF_LOG_2PI)
        ratio, advantage = exponential(log_ratio), batch.advantages[i]
        outside = abs(ratio - 1) > rules.clip
        bound = min(max(ratio, 1 - rules.clip), 1 + rules.clip)
        gain += min(ratio * advantage, bound * advantage)
        clipped += outside
        divergence += (ratio - 1) - log_ratio
        slope = np.float32(0.0)
        if not outside or ratio * advantage < bound * advantage:
            slope = np.float32(-ratio * advantage / size)
        for j in range(columns):
            z = (batch.actions[i, j] - mean[i, j]) * precision[j]
            d_mean[i, j] = slope * z * precision[j]
            d_log_std[j] += slope * (z * z - 1)
        error = value[i, 0] - batch.returns[i]
        squares += error * error
        d_value[i, 0] = np.float32(rules.vf_coef * 2 / size) * error
    entropy = 0.0
    for j in range(columns):
        entropy += 0.5 + _HALF_LOG_2PI + log_std[j]
        d_log_std[j] -= np.float32(rules.ent_coef)
    policy_loss, value_loss = -gain / size, squares / size
    loss = policy_loss - rules.ent_coef * entropy + rules.vf_coef * value_loss
    facts = np.array([-entropy, policy_loss, value_loss, divergence / size, clipped / size, loss])
    return facts, d_mean, d_value


@compiled
def _count(widths):
    """Weights of a network."""
    return ((widths[:-1] + 1) * widths[1:]).sum()


@compiled
def _scratch(widths, rows):
    """Room for what each layer gives."""
    return np.empty(rows * widths[1:].sum(), np.float32)


@compiled
def _layer(weights, at, widths, i):
    """Matrix (out, in) and bias of layer i, and where the next begins."""
    inside, outside = widths[i], widths[i + 1]
    middle = at + inside * outside
    return weights[at:middle].reshape(outside, inside), weights[middle : middle + outside], middle + outside


@compiled
def _forward(rows, weights, at, widths, work):
    """What the network gives for the rows, (B, out); what its layers gave stays in `work`."""
    given, place, last = rows, 0, widths.size - 2
    for i in range(last + 1):
        matrix, bias, at = _layer(weights, at, widths, i)
        count = rows.shape[0] * widths[i + 1]
        out = work[place : place + count].reshape(rows.shape[0], widths[i + 1])
        np.dot(given, matrix.T, out)
        for r in range(out.shape[0]):
            for c in range(out.shape[1]):
                x = out[r, c] + bias[c]
                out[r, c] = x if i == last else max(x, np.float32(0))
        given, place = out, place + count
    return given


@compiled
def _backward(rows, weights, gradient, at, widths, work, slope):
    """Write the gradient of a network whose outputs have this slope (B, out)."""
    size = rows.shape[0]
    places, ats = np.zeros(widths.size, np.int64), np.zeros(widths.size, np.int64)
    ats[0] = at
    for i in range(widths.size - 1):
        places[i + 1] = places[i] + size * widths[i + 1]
        ats[i + 1] = ats[i] + (widths[i] + 1) * widths[i + 1]
    for i in range(widths.size - 2, -1, -1):
        matrix, _, _ = _layer(weights, ats[i], widths, i)
        d_matrix, d_bias, _ = _layer(gradient, ats[i], widths, i)
        given = rows if i == 0 else work[places[i - 1] : places[i]].reshape(size, widths[i])
        np.dot(slope.T, given, d_matrix)
        d_bias[:] = 0
        for r in range(size):
            for c in range(d_bias.size):
                d_bias[c] += slope[r, c]
        if i > 0:
            before = np.dot(slope, matrix)
            for r in range(size):
                for c in range(before.shape[1]):
                    if given[r, c] <= 0:
                        before[r, c] = 0
            slope = before


@compiled
def _cut_norm(gradient, most):
    """Scale the gradient down to this norm where it is longer."""
    squares = np.float32(0)
    for g in gradient:
        squares += g * g
    scale = np.float32(min(1.0, most / (np.sqrt(squares) + 1e-6)))
    for i in range(gradient.size):
        gradient[i] *= scale


@compiled
def _adam(network, gradient, rules):
    """One step of Adam."""
    network.updates[0] += 1
    t = network.updates[0]
    beta1, beta2 = np.float32(rules.beta1), np.float32(rules.beta2)
    step = np.float32(rules.rate / (1 - rules.beta1**t))
    scale, eps = np.float32(1 / np.sqrt(1 - rules.beta2**t)), np.float32(rules.eps)
    decay, one = np.float32(rules.weight_decay), np.float32(1)
    weights, first, second = network.weights, network.first, network.second
    for i in range(weights.size):
        g = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (one - beta1) * g
        second[i] = beta2 * second[i] + (one - beta2) * g * g
        weights[i] -= step * first[i] / (np.sqrt(second[i]) * scale + eps)
