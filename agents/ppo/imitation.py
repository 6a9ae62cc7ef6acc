"""Imitation of a teacher by actor and critic, in one compiled function."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...envs.jit.compiling import compiled
from .mlp import adam_step, backward, categorical, count_weights, forward, scratch_for


class Lesson(NamedTuple):
    """What a teacher did in R rows of F features.

    Attributes:
        observations: (R, F) features.
        advice: (R, A) the teacher's actions.
        decided: (A,) the columns that it decides.
        returns: (R,) targets of the critic.
    """

    observations: NDArray[np.float32]
    advice: NDArray[np.float32]
    decided: NDArray[np.bool_]
    returns: NDArray[np.float32]


@compiled
def imitate(network, lesson, order, batch_size, rates, adam):
    """Fit actor and critic to a teacher; changes `network` in place.

    The loss is the mean squared error of the decided columns, or for choices the sum of their cross-entropies,
    plus the mean squared error of the critic.

    Args:
        network: `MlpWeights`.
        lesson: `Lesson`.
        order: (epochs, R) row numbers in the order in which batches take them.
        batch_size: Rows of a batch.
        rates: (batches of all epochs,) learning rates.
        adam: Adam's constants.
    """
    rows, columns = lesson.advice.shape[0], 0 if network.choices.size else lesson.advice.shape[1]
    size, batches = min(batch_size, rows), 0
    actor_work, critic_work = scratch_for(network.actor, size), scratch_for(network.critic, size)
    gradient, actor_at, critic_at = np.zeros_like(network.weights), columns, columns + count_weights(network.actor)
    for epoch in range(order.shape[0]):
        for start in range(0, rows, size):
            chosen = order[epoch, start : start + size]
            seen = lesson.observations[chosen]
            out = forward(seen, network.weights, actor_at, network.actor, actor_work)
            value = forward(seen, network.weights, critic_at, network.critic, critic_work)
            d_out, d_value = _imitation(lesson, chosen, out, value, network.choices)
            backward(seen, network.weights, gradient, actor_at, network.actor, actor_work, d_out)
            backward(seen, network.weights, gradient, critic_at, network.critic, critic_work, d_value)
            adam_step(network, gradient, rates[batches], adam)
            batches += 1


@compiled
def _imitation(lesson, chosen, out, value, choices):
    """The gradients of `imitate`'s loss in the outputs of actor and critic."""
    size, decided = chosen.size, lesson.decided
    d_out, d_value = np.zeros_like(out), np.empty_like(value)
    half = np.float32(size * decided.sum() / 2)
    for i in range(size):
        advice, start = lesson.advice[chosen[i]], 0
        if choices.size:
            categorical(out[i], advice, choices, d_out[i])
            for j in range(choices.size):
                end = start + choices[j]
                d_out[i, start + np.int64(advice[j])] -= 1
                for k in range(start, end):
                    d_out[i, k] = d_out[i, k] / np.float32(size) if decided[j] else np.float32(0)
                start = end
        else:
            for j in range(advice.size):
                d_out[i, j] = (out[i, j] - advice[j]) / half if decided[j] else np.float32(0)
        d_value[i, 0] = (value[i, 0] - lesson.returns[chosen[i]]) / np.float32(size / 2)
    return d_out, d_value
