"""What a policy's scores and orders come to for one market, as in the simulated market: slots, promotions, units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def shown(score: Floats, candidates: NDArray[np.bool_], on_hand: Floats) -> list[int | None]:
    """For each segment's slot, the candidate in stock with the highest positive score, the first of equals, or None.

    score: (N, K). candidates: (K, N). on_hand: (N,) units.
    """
    wanted = np.where(candidates & (on_hand > 0) & (score.T > 0), score.T, 0)
    best = wanted.argmax(axis=1)
    return [int(n) if wanted[k, n] > 0 else None for k, n in enumerate(best)]


def promoted(score: Floats, most: int) -> NDArray[np.bool_]:
    """(N,) whether the product is on promotion: the highest positive scores, at most `most`, the first of equals."""
    wanted = score > 0
    best = np.argsort(np.where(wanted, -score, 0), kind="stable")[:most]
    return wanted & np.isin(np.arange(score.size), best)


def ordered(units: Floats, most: Floats) -> Floats:
    """(N,) whole units to order, between nothing and the most; a NaN is none."""
    return np.rint(np.minimum(np.where(units > 0, units, 0), most)).astype(np.float32)
