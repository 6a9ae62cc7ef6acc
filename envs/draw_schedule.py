"""Which posterior draw a batch of markets follows in which episode."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class DrawSchedule(NamedTuple):
    """The turns of several batches at the draws of a posterior.

    Over the episodes all batches together go through the draws in a random order, and through all
    of them before any comes again.

    Attributes:
        batch: Number of this batch.
        batches: How many batches take turns.
        pool: Numbers of the draws to go through, some of them repeated to come more often; empty
            for every draw once.

    Example:
        >>> turns = [DrawSchedule(batch, 2).draw_of(episode, 6, seed=0) for episode in range(3) for batch in range(2)]
        >>> sorted(turns)
        [0, 1, 2, 3, 4, 5]
    """

    batch: int = 0
    batches: int = 1
    pool: tuple[int, ...] = ()

    def draw_of(self, episode: int, draws: int, *, seed: int) -> int:
        """The draw that this batch follows in an episode.

        Args:
            episode: Number of the episode, from 0.
            draws: M, the number of draws.
        """
        size = len(self.pool) or draws
        cycle, place = divmod(self.batch + self.batches * int(episode), size)
        turn = int(_order(size, cycle, seed)[place])
        return self.pool[turn] if self.pool else turn


@functools.lru_cache(maxsize=64)
def _order(size: int, cycle: int, seed: int) -> NDArray[np.intp]:
    """The draws in the order of one pass."""
    return np.random.default_rng([size, cycle, seed]).permutation(size)
