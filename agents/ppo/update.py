"""PPO's update in one compiled function: objective, gradient, gradient clipping and Adam.

The objective is the clipped one of Schulman et al. (2017, Proximal Policy Optimization Algorithms,
equations 7 and 9), for an actor and a critic of ReLU layers with Gaussian actions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.jit.compiling import compiled
from ...envs.jit.math import exponential

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
FACTS = ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "loss")


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
    rows, columns = rollout.actions.shape
    size = min(batch_size, rows)
    actor_work = scratch_for(network.actor, size)
    critic_work = scratch_for(network.critic, size)
    gradient = np.empty_like(network.weights)
    totals = np.zeros(len(FACTS))
    batches = 0
    actor_at = columns
    critic_at = columns + count_weights(network.actor)
    for epoch in range(order.shape[0]):
        for start in range(0, rows, size):
            chosen = order[epoch, start : start + size]
            b = _batch(rollout, chosen, settings.normalize)
            out = forward(b.observations, network.weights, actor_at, network.actor, actor_work)
            value = forward(b.observations, network.weights, critic_at, network.critic, critic_work)
            gradient[:columns] = 0
            log_std = network.weights[:columns]
            d_log_std = gradient[:columns]
            facts, d_out, d_value = _objective(b, out, value, log_std, d_log_std, settings)
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
        mean = advantages.sum(dtype=np.float64) / chosen.size
        squares = 0.0
        for a in advantages:
            squares += (a - mean) ** 2
        deviation = np.sqrt(squares / (chosen.size - 1)) + 1e-8
        for i in range(chosen.size):
            advantages[i] = (advantages[i] - mean) / deviation
    observations = rollout.observations[chosen]
    actions = rollout.actions[chosen]
    return Rollout(observations, actions, rollout.log_probs[chosen], advantages, rollout.returns[chosen])


@compiled
def _objective(batch, out, value, log_std, d_log_std, settings):
    """`FACTS` of the batch, and the loss gradients in the outputs of actor and critic.

    Adds the gradient in `log_std` to `d_log_std`.
    """
    size = out.shape[0]
    d_out = np.empty_like(out)
    d_value = np.empty_like(value)
    gain = squares = divergence = clipped = entropy = 0.0
    for i in range(size):
        log_ratio = _gaussian(-batch.log_probs[i], out[i], batch.actions[i], log_std)
        ratio = exponential(log_ratio)
        advantage = batch.advantages[i]
        outside = abs(ratio - 1) > settings.clip
        bound = min(max(ratio, 1 - settings.clip), 1 + settings.clip)
        gain += min(ratio * advantage, bound * advantage)
        clipped += outside
        divergence += (ratio - 1) - log_ratio
        slope = np.float32(0.0)
        if not outside or ratio * advantage < bound * advantage:
            slope = np.float32(-ratio * advantage / size)
        _gaussian_slope(slope, out[i], batch.actions[i], log_std, d_out[i], d_log_std)
        error = value[i, 0] - batch.returns[i]
        squares += error * error
        d_value[i, 0] = np.float32(settings.vf_coef * 2 / size) * error
    for j in range(log_std.size):
        entropy += 0.5 + HALF_LOG_2PI + log_std[j]
        d_log_std[j] -= np.float32(settings.ent_coef)
    policy_loss = -gain / size
    value_loss = squares / size
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


# Actor and critic of ReLU layers in compiled code: outputs, gradients, and steps of Adam (Kingma and Ba 2015,
# algorithm 1).


class Adam(NamedTuple):
    """Constants of Adam.

    Attributes:
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        eps: The denominator's constant.
        weight_decay: L2 penalty, added to the gradient.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0


class MlpWeights(NamedTuple):
    """The weights of actor and critic in one vector, with Adam's state.

    Attributes:
        weights: (W,) log standard deviations (A,) of the actions, then the layers of the
            actor, then those of the critic; each layer is a matrix (out, in) and a bias.
        first: (W,) Adam's first moment.
        second: (W,) Adam's second moment.
        updates: (1,) number of Adam's updates so far.
        actor: Layer widths of the actor, from the features to the output.
        critic: Layer widths of the critic.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    updates: NDArray[np.float32]
    actor: NDArray[np.int64]
    critic: NDArray[np.int64]


@compiled
def count_weights(widths):
    """Number of weights of a network."""
    return ((widths[:-1] + 1) * widths[1:]).sum()


@compiled
def scratch_for(widths, rows):
    """Buffer for the outputs of all layers."""
    return np.empty(rows * widths[1:].sum(), np.float32)


@compiled
def _layer(weights, at, widths, i):
    """Matrix (out, in) and bias of layer i, and the offset of the next layer."""
    inside = widths[i]
    outside = widths[i + 1]
    middle = at + inside * outside
    return weights[at:middle].reshape(outside, inside), weights[middle : middle + outside], middle + outside


@compiled
def forward(rows, weights, at, widths, work):
    """The network's outputs (B, out); the outputs of all layers stay in `work`."""
    given = rows
    place = 0
    last = widths.size - 2
    for i in range(last + 1):
        matrix, bias, at = _layer(weights, at, widths, i)
        count = rows.shape[0] * widths[i + 1]
        out = work[place : place + count].reshape(rows.shape[0], widths[i + 1])
        np.dot(given, matrix.T, out)
        for r in range(out.shape[0]):
            for c in range(out.shape[1]):
                x = out[r, c] + bias[c]
                out[r, c] = x if i == last else max(x, np.float32(0))
        given = out
        place = place + count
    return given


@compiled
def backward(rows, weights, gradient, at, widths, work, slope):
    """Write the gradient of a network, given the loss gradient `slope` (B, out) in its outputs."""
    size = rows.shape[0]
    places = np.zeros(widths.size, np.int64)
    ats = np.zeros(widths.size, np.int64)
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
def clip_norm(gradient, most):
    """Scale the gradient down to the norm `most` if it is longer."""
    squares = np.float32(0)
    for g in gradient:
        squares += g * g
    scale = np.float32(min(1.0, most / (np.sqrt(squares) + 1e-6)))
    gradient *= scale


@compiled
def adam_step(network, gradient, rate, adam):
    """One step of Adam."""
    network.updates[0] += 1
    t = network.updates[0]
    beta1 = np.float32(adam.beta1)
    beta2 = np.float32(adam.beta2)
    step = np.float32(rate / (1 - adam.beta1**t))
    scale = np.float32(1 / np.sqrt(1 - adam.beta2**t))
    eps = np.float32(adam.eps)
    decay = np.float32(adam.weight_decay)
    one = np.float32(1)
    weights = network.weights
    first = network.first
    second = network.second
    for i in range(weights.size):
        g = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (one - beta1) * g
        second[i] = beta2 * second[i] + (one - beta2) * g * g
        weights[i] -= step * first[i] / (np.sqrt(second[i]) * scale + eps)
