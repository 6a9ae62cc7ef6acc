"""Actor and critic of ReLU layers in compiled code: outputs, gradients, and steps of Adam (Kingma and Ba 2015,
algorithm 1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.jit.compiling import compiled
from ...envs.jit.math import exponential, logarithm


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
        weights: (W,) log standard deviations (A,) of Gaussian actions, then the layers of the
            actor, then those of the critic; each layer is a matrix (out, in) and a bias.
        first: (W,) Adam's first moment.
        second: (W,) Adam's second moment.
        updates: (1,) number of Adam's updates so far.
        actor: Layer widths of the actor, from the features to the output.
        critic: Layer widths of the critic.
        choices: (A,) number of choices of each action; empty for Gaussian actions.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    updates: NDArray[np.float32]
    actor: NDArray[np.int64]
    critic: NDArray[np.int64]
    choices: NDArray[np.int64]


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
    inside, outside = widths[i], widths[i + 1]
    middle = at + inside * outside
    return weights[at:middle].reshape(outside, inside), weights[middle : middle + outside], middle + outside


@compiled
def forward(rows, weights, at, widths, work):
    """The network's outputs (B, out); the outputs of all layers stay in `work`."""
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
def backward(rows, weights, gradient, at, widths, work, slope):
    """Write the gradient of a network, given the loss gradient `slope` (B, out) in its outputs."""
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
def clip_norm(gradient, most):
    """Scale the gradient down to the norm `most` if it is longer."""
    squares = np.float32(0)
    for g in gradient:
        squares += g * g
    scale = np.float32(min(1.0, most / (np.sqrt(squares) + 1e-6)))
    for i in range(gradient.size):
        gradient[i] *= scale


@compiled
def adam_step(network, gradient, rate, adam):
    """One step of Adam."""
    network.updates[0] += 1
    t = network.updates[0]
    beta1, beta2 = np.float32(adam.beta1), np.float32(adam.beta2)
    step = np.float32(rate / (1 - adam.beta1**t))
    scale, eps = np.float32(1 / np.sqrt(1 - adam.beta2**t)), np.float32(adam.eps)
    decay, one = np.float32(adam.weight_decay), np.float32(1)
    weights, first, second = network.weights, network.first, network.second
    for i in range(weights.size):
        g = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (one - beta1) * g
        second[i] = beta2 * second[i] + (one - beta2) * g * g
        weights[i] -= step * first[i] / (np.sqrt(second[i]) * scale + eps)


@compiled
def categorical(logits, actions, choices, shares):
    """Log probability of the actions, and the entropy; writes all probabilities to `shares`."""
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
