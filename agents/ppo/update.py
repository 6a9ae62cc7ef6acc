"""PPO's update in one compiled function: objective, gradient, the cut of its norm, Adam.

The objective is the clipped one of Schulman et al. 2017 (Proximal Policy Optimization Algorithms, equations 7 and 9) for
actor and critic of ReLU layers, whose actions are Gaussian or categorical; the step is Adam's (Kingma and Ba 2015,
algorithm 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.jit.math import compiled, exponential, logarithm

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
FACTS = ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "loss")
_TINY = np.float32(np.finfo(np.float32).tiny)


class Rollout(NamedTuple):
    """What was played: observations (R, F), actions (R, A), their log probabilities, advantages and returns (R,)."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    returns: NDArray[np.float32]


class UpdateSettings(NamedTuple):
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


class MlpWeights(NamedTuple):
    """All weights one after another, (W,): log deviations (A,) of Gaussian actions, the actor's layers, the critic's; each
    a matrix (out, in) and a bias. first, second: Adam's moments. updates: (1,) Adam's so far. actor, critic: widths of
    the layers, from the features to what comes out. choices: (A,) how many each action has, none where they are Gaussian.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    updates: NDArray[np.float32]
    actor: NDArray[np.int64]
    critic: NDArray[np.int64]
    choices: NDArray[np.int64]


@compiled
def update(network, rollout, order, batch_size, settings):
    """Passes over the rollout in the rows' `order`, (epochs, R); changes `network`.

    Returns the means of `FACTS` and the number of passes begun.
    """
    rows, columns = rollout.actions.shape[0], 0 if network.choices.size else rollout.actions.shape[1]
    size = min(batch_size, rows)
    actor_work, critic_work = _scratch(network.actor, size), _scratch(network.critic, size)
    gradient, totals, batches = np.empty_like(network.weights), np.zeros(len(FACTS)), 0
    actor_at, critic_at = columns, columns + _count(network.actor)
    for epoch in range(order.shape[0]):
        for start in range(0, rows, size):
            chosen = order[epoch, start : start + size]
            b = _batch(rollout, chosen, settings.normalize)
            out = _forward(b.observations, network.weights, actor_at, network.actor, actor_work)
            value = _forward(b.observations, network.weights, critic_at, network.critic, critic_work)
            gradient[:columns] = 0
            log_std, d_log_std = network.weights[:columns], gradient[:columns]
            facts, d_out, d_value = _objective(b, out, value, network.choices, log_std, d_log_std, settings)
            totals += facts
            batches += 1
            if facts[3] > settings.kl_limit:
                return totals / batches, epoch + 1
            _backward(b.observations, network.weights, gradient, actor_at, network.actor, actor_work, d_out)
            _backward(b.observations, network.weights, gradient, critic_at, network.critic, critic_work, d_value)
            _cut_norm(gradient, settings.max_grad_norm)
            _adam(network, gradient, settings)
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
def _objective(batch, out, value, choices, log_std, d_log_std, settings):
    """`FACTS` of the batch, and the loss's derivatives by the actor's (B, O) and the critic's (B, 1) output; adds that by
    log_std.
    """
    size = out.shape[0]
    d_out, d_value = np.empty_like(out), np.empty_like(value)
    gain = squares = divergence = clipped = entropy = 0.0
    for i in range(size):
        if choices.size:
            log_prob, disorder = _categorical(out[i], batch.actions[i], choices, d_out[i])
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
    """The actions' log probability on top of `start`."""
    for j in range(mean.size):
        z = (actions[j] - mean[j]) * np.exp(-log_std[j])
        start -= np.float32(0.5) * z * z + log_std[j] + np.float32(HALF_LOG_2PI)
    return start


@compiled
def _gaussian_slope(slope, mean, actions, log_std, d_mean, d_log_std):
    """Write the loss's derivatives by the means and add those by log_std; slope: that by the log probability."""
    for j in range(mean.size):
        precision = np.exp(-log_std[j])
        z = (actions[j] - mean[j]) * precision
        d_mean[j] = slope * z * precision
        d_log_std[j] += slope * (z * z - 1)


@compiled
def _categorical(logits, actions, choices, shares):
    """Log probability of the actions, and the entropy; writes the probability of every choice to `shares`."""
    log_prob = entropy = np.float32(0)
    start = 0
    for j in range(choices.size):
        end, total = start + choices[j], np.float32(0)
        highest = logits[start:end].max()
        for k in range(start, end):
            shares[k] = exponential(logits[k] - highest)
            total += shares[k]
        shift = highest + logarithm(total)
        for k in range(start, end):
            shares[k] /= total
            entropy -= shares[k] * (logits[k] - shift)
        log_prob += logits[start + np.int64(actions[j])] - shift
        start = end
    return log_prob, entropy


@compiled
def _categorical_slope(slope, ent_coef, actions, choices, shares):
    """Put the loss's derivatives by the logits in the place of the probabilities; slope: that by the log probability."""
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
def _adam(network, gradient, settings):
    """One step of Adam."""
    network.updates[0] += 1
    t = network.updates[0]
    beta1, beta2 = np.float32(settings.beta1), np.float32(settings.beta2)
    step = np.float32(settings.rate / (1 - settings.beta1**t))
    scale, eps = np.float32(1 / np.sqrt(1 - settings.beta2**t)), np.float32(settings.eps)
    decay, one = np.float32(settings.weight_decay), np.float32(1)
    weights, first, second = network.weights, network.first, network.second
    for i in range(weights.size):
        g = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (one - beta1) * g
        second[i] = beta2 * second[i] + (one - beta2) * g * g
        weights[i] -= step * first[i] / (np.sqrt(second[i]) * scale + eps)
