"""Which customers, and which posterior draws, a batch of markets has: seeds of four disjoint sets, numbers, schedules."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .jit.rng import child, mix

Purpose = Literal["training", "tuning", "validation", "test"]
DRAWN_SEEDS = 1 << 31
"""Where an environment is not given a seed, it draws one below this."""


_MOST_SEED = (1 << 63) - 1


def checked_seed(seed: Any) -> int:
    """The seed of an environment as a whole number.

    Args:
        seed: What a caller gave.

    Raises:
        ValueError: It is none, or out of range.

    Example:
        >>> checked_seed(np.int64(3))
        3
    """
    try:
        whole = operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole <= _MOST_SEED:
        raise ValueError(f"seed must be a whole number from 0 to {_MOST_SEED}; got {seed!r}; fix it")
    return whole


def seed_for(purpose: Purpose, seed: int = 0) -> int:
    """The market seed for a purpose. Two purposes never share a customer, whatever the user's seed.

    Args:
        purpose: What the simulated customers are used for.
        seed: The user's seed.

    Returns:
        A seed for `Market`, `rollout` or `make_sb3_env`.

    Raises:
        ValueError: For an unknown purpose.

    Example:
        >>> seed_for("training"), seed_for("test"), seed_for("test", seed=1)
        (0, 3, 7)
    """
    purposes = get_args(Purpose)
    if purpose not in purposes:
        raise ValueError(f"purpose must be one of {', '.join(purposes)}; got {purpose!r}; choose one of them")
    return len(purposes) * int(seed) + purposes.index(purpose)


def numbers_for(seeds: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of markets under seed 0 that have the customers of market 0 under each
    of these seeds.

    A market's key is the seed's plus a multiple of its number; this inverts it.

    Args:
        seeds: (E,) a seed for each market.

    Example:
        >>> numbers_for([0]).tolist()
        [0]
    """
    first = int(child(0))
    second = int(child(1))
    inverse = pow(second - first, -1, 1 << 64)
    words = 1 << 64
    root = int(mix(np.uint64(first)))
    numbers = [(int(mix(np.uint64((int(seed) + first) % words))) - root) * inverse % words for seed in seeds]
    return np.array(numbers, np.uint64).view(np.int64)


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
