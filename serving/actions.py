"""What a policy's scores and orders come to in each market, as in the simulated one: slots, promotions, units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def shown(score: Floats, candidates: NDArray[np.bool_], on_hand: Floats) -> NDArray[np.intp]:
    """(…, K) the product in each segment's slot, -1 for none: the candidate in stock with the highest positive score, the
    first of equals.

    score: (…, N, K). candidates: (K, N). on_hand: (…, N) units.
    """
    by_slot = score.swapaxes(-1, -2)
    wanted = np.where(candidates & (on_hand[..., None, :] > 0) & (by_slot > 0), by_slot, 0)
    return np.where(wanted.max(axis=-1) > 0, wanted.argmax(axis=-1), -1)


def promoted(score: Floats, most: int) -> NDArray[np.bool_]:
    """(…, N) whether the product is on promotion: the highest positive scores, at most `most`, the first of equals."""
    wanted = score > 0
    order = np.argsort(np.where(wanted, -score, 0), axis=-1, kind="stable")
    return wanted & (np.argsort(order, axis=-1) < most)


def ordered(units: Floats, most: Floats) -> Floats:
    """(…, N) whole units to order, between nothing and the most; a NaN is none."""
    return np.rint(np.minimum(np.where(units > 0, units, 0), most)).astype(np.float32)
