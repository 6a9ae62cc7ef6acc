"""From a policy's scores to slots, promotions and orders, by the rules of the simulated market."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pricing import Action, Catalogue

Floats = NDArray[np.float32]


def shown_products(score: Floats, candidates: NDArray[np.bool_], on_hand: Floats) -> NDArray[np.intp]:
    """The product in each segment's slot: the candidate in stock with the highest positive score.

    Args:
        score: (…, N, K) scores of the policy.
        candidates: (K, N) whether a product may fill the segment's slot.
        on_hand: (…, N) units in stock.

    Returns:
        (…, K) number of the product, the first of equals; -1 for none.
    """
    by_slot = score.swapaxes(-1, -2)
    wanted = np.where(candidates & (on_hand[..., None, :] > 0) & (by_slot > 0), by_slot, 0)
    return np.where(wanted.max(axis=-1) > 0, wanted.argmax(axis=-1), -1)


def promoted(score: Floats, most: int) -> NDArray[np.bool_]:
    """Whether each product is on promotion, (…, N): the `most` highest positive scores, the first of equals."""
    wanted = score > 0
    order = np.argsort(np.where(wanted, -score, 0), axis=-1, kind="stable")
    return wanted & (np.argsort(order, axis=-1) < most)


def ordered(action: Action, catalogue: Catalogue) -> tuple[Floats | None, Floats | None]:
    """Whole units to order from the supplier, and from the one that delivers sooner, (E, N) from 0 to the
    largest order; 0 for NaN, and None where the policy does not order.
    """
    return _whole(action.order, catalogue.max_order_units), _whole(action.express, catalogue.max_express_units)


def _whole(units: Floats | None, most: Floats | None) -> Floats | None:
    if units is None or most is None:
        return None
    return np.rint(np.minimum(np.where(units > 0, units, 0), most)).astype(np.float32)
