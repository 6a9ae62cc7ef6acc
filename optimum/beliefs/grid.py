"""A regular grid of beliefs, and the corners of the simplex of the grid that holds a belief.

The triangulation is Freudenthal's: Lovejoy (1991), Computationally Feasible Bounds for Partially
Observed Markov Decision Processes, Operations Research 39(1).
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from ..problem import Array, Units


class BeliefGrid:
    """All beliefs over M draws whose probabilities are multiples of 1 / steps.

    Args:
        draws: M.
        steps: Steps from probability zero to one.

    Attributes:
        nodes: (G, M) the beliefs.
    """

    def __init__(self, draws: int, steps: int) -> None:
        self.draws, self.steps = draws, steps
        # A belief stands for its sums from each draw but the first on, which fall: a corner of cubes.
        falling = list(combinations_with_replacement(range(steps, -1, -1), draws - 1))
        tails = np.array(falling, dtype=np.intp).reshape(len(falling), draws - 1)
        ends = np.zeros((len(tails), 1), dtype=np.intp)
        self.nodes = -np.diff(np.hstack([ends + steps, tails, ends]), axis=1) / steps
        self._place = (steps + 1) ** np.arange(draws - 1)
        self._number = np.zeros((steps + 1) ** (draws - 1), dtype=np.intp)
        self._number[tails @ self._place] = np.arange(len(tails))

    def corners(self, belief: Array) -> tuple[Units, Array]:
        """Numbers of the nodes around beliefs (…, M), and their weights, both (…, M)."""
        tails = np.cumsum(belief[..., :0:-1], axis=-1)[..., ::-1] * self.steps
        tails = np.clip(tails, 0, self.steps)
        floor = np.minimum(tails.astype(np.intp), self.steps - 1)
        rest = tails - floor
        order = np.argsort(-rest, axis=-1, kind="stable")
        first = (floor @ self._place)[..., None]
        number = np.concatenate([first, first + np.cumsum(self._place[order], axis=-1)], axis=-1)
        ends = np.ones((*rest.shape[:-1], 1))
        weight = -np.diff(np.concatenate([ends, np.take_along_axis(rest, order, axis=-1), 0 * ends], axis=-1))
        return self._number[number], weight

    def nearest(self, belief: Array) -> Units:
        """(…) number of the corner with the largest weight."""
        number, weight = self.corners(belief)
        return np.take_along_axis(number, weight.argmax(axis=-1)[..., None], axis=-1)[..., 0]
