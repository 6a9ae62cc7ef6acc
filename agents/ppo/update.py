"""PPO's update in one compiled function: objective, gradient, gradient clipping and Adam.

The objective is the clipped one of Schulman et al. (2017, Proximal Policy Optimization Algorithms,
equations 7 and 9), for an actor and a critic of ReLU layers with Gaussian or categorical actions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.jit.compiling import compiled
from ...envs.jit.math import exponential, logarithm
from .mlp import Adam, adam_step, backward, categorical, clip_norm, count_weights, forward, scratch_for

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
FACTS = ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "loss")
_TINY = np.float32(np.finfo(np.float32).tiny)


class Rollout(NamedTuple):
    """One rollout, R rows of F features and A action columns.

    Attributes:
        observations: (R, F) features.
        actions: (R, A) actions taken.
        log_probs: (R,) their log probabilities under the policy that took them.
        advantages: (R,) generalised advantage estimates.
        returns: (R,) targets of the critic.
    """

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]


class UpdateSettings(NamedTuple):
    """Hyperparameters of PPO under Stable-Baselines3's names, and Adam's constants.

    Attributes:
        clip: Clip range of the probability ratio.
        normalize: Whether advantages are normalised per batch.
        ent_coef: Weight of the entropy.
        vf_coef: Weight of the value loss.
        max_grad_norm: Largest norm of the gradient.
        kl_limit: The update stops once the approximate divergence exceeds this.
        rate: Learning rate.
        adam: Adam's constants.
    """

    clip: float
    normalize: bool
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    kl_limit: float
    rate: float
    adam: Adam


@compiled
def update(network, rollout, order, batch_size, settings):
    """Run all epochs of one PPO update; changes `network` in place.

    Args:
        network: `MlpWeights`.
        rollout: `Rollout`.
        order: (epochs, R) row numbers in the order in which batches take them.
        batch_size: Rows of a batch.
        settings: `UpdateSettings`.

    Returns:
        The means of `FACTS` over the batches, and the number of epochs begun.
    """
    rows, columns = rollout.actions.shape[0], 0 if network.choices.size else rollout.actions.shape[1]
    size = min(batch_size, rows)
    actor_work, critic_work = scratch_for(network.actor, size), scratch_for(network.critic, size)
    gradient, totals, batches = np.empty_like(network.weights), np.zeros(len(FACTS)), 0
    actor_at, critic_at = columns, columns + count_weights(network.actor)
    for epoch in range(order.shape[0]):
        for start in range(0, rows, size):
            chosen = order[epoch, start : start + size]
            b = _batch(rollout, chosen, settings.normalize)
            out = forward(b.observations, network.weights, actor_at, network.actor, actor_work)
            value = forward(b.observations, network.weights, critic_at, network.critic, critic_work)
            gradient[:columns] = 0
            log_std, d_log_std = network.weights[:columns], gradient[:columns]
            facts, d_out, d_value = _objective(b, out, value, network.choices, log_std, d_log_std, settings)
            totals += facts
            batches += 1
            if facts[3] > settings.kl_limit:
                return totals / batches, epoch + 1
            backward(b.observations, network.weights, gradient, actor_at, network.actor, actor_work, d_out)
            backward(b.observations, network.weights, gradient, critic_at, network.critic, critic_work, d_value)
            clip_norm(gradient, settings.max_grad_norm)
            adam_step(network, gradient, settings.rate, settings.adam)
    return totals / batches, order.shape[0]


@compiled
def _batch(rollout, chosen, normalize):
    """The chosen rows of the rollout, their advantages normalised if `normalize` is set."""
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
def _objective(batch, out, value, choices, log_std, d_log_std, settings):
    """`FACTS` of the batch, and the loss gradients in the outputs of actor and critic.

    Adds the gradient in `log_std` to `d_log_std`.
    """
    size = out.shape[0]
    d_out, d_value = np.empty_like(out), np.empty_like(value)
    gain = squares = divergence = clipped = entropy = 0.0
    for i in range(size):
        if choices.size:
            log_prob, disorder = categorical(out[i], batch.actions[i], choices, d_out[i])
            log_ratio = log_prob - batch.log_probs[i]
            entropy += disorder
        else:
            log_ratio = _gaussian(-batch.log_probs[i], out[i], batch.actions[i], log_std)
        ratio, advantage = exponential(log_ratio), batch.advantages[i]
        outside = abs(ratio - 1) > settings.clip
        bound = min(max(ratio, 1 - settings.clip), 1 + settings.clip)
        gain += min(ratio * advantage, bound * advantage)
        clipped += outside
        divergence += (ratio - 1) - log_ratio
        slope = np.float32(0.0)
        if not outside or ratio * advantage < bound * advantage:
            slope = np.float32(-ratio * advantage / size)
        if choices.size:
            _categorical_slope(slope, np.float32(settings.ent_coef / size), batch.actions[i], choices, d_out[i])
        else:
            _gaussian_slope(slope, out[i], batch.actions[i], log_std, d_out[i], d_log_std)
        error = value[i, 0] - batch.returns[i]
        squares += error * error
        d_value[i, 0] = np.float32(settings.vf_coef * 2 / size) * error
    entropy /= size
    for j in range(log_std.size):
        entropy += 0.5 + HALF_LOG_2PI + log_std[j]
        d_log_std[j] -= np.float32(settings.ent_coef)
    policy_loss, value_loss = -gain / size, squares / size
    loss = policy_loss - settings.ent_coef * entropy + settings.vf_coef * value_loss
    facts = np.array([-entropy, policy_loss, value_loss, divergence / size, clipped / size, loss])
    return facts, d_out, d_value


@compiled
def _gaussian(start, mean, actions, log_std):
    """`start` plus the log probability of the actions."""
    for j in range(mean.size):
        z = (actions[j] - mean[j]) * np.exp(-log_std[j])
        start -= np.float32(0.5) * z * z + log_std[j] + np.float32(HALF_LOG_2PI)
    return start


@compiled
def _gaussian_slope(slope, mean, actions, log_std, d_mean, d_log_std):
    """Write the gradient in the means and add that in log_std; `slope` is that in log_prob."""
    for j in range(mean.size):
        precision = np.exp(-log_std[j])
        z = (actions[j] - mean[j]) * precision
        d_mean[j] = slope * z * precision
        d_log_std[j] += slope * (z * z - 1)


@compiled
def _categorical_slope(slope, ent_coef, actions, choices, shares):
    """Replace the probabilities by the gradient in the logits; `slope` as in `_gaussian_slope`."""
    start = 0
    for j in range(choices.size):
        end, disorder = start + choices[j], np.float32(0)
        for k in range(start, end):
            disorder -= shares[k] * logarithm(max(shares[k], _TINY))
        taken = start + np.int64(actions[j])
        for k in range(start, end):
            by_entropy = shares[k] * (logarithm(max(shares[k], _TINY)) + disorder)
            shares[k] = slope * ((k == taken) - shares[k]) + ent_coef * by_entropy
        start = end
