"""From a policy's scores to slots, promotions and orders, by the rules of the simulated market."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..pricing import Action, Catalogue, MarketView

Floats = NDArray[np.float32]


def on_sale(view: MarketView, orders: Sequence[NDArray[np.floating] | None]) -> Floats:
    """(E, N) units that can be sold in the period: those on hand, and those ordered that arrive at once; without limit
    where customers wait.

    Args:
        orders: Units ordered from each supplier, as `ordered` gives them.
    """
    if view.catalogue.backlog:
        return np.full_like(view.on_hand, np.inf)
    at_once = () if view.catalogue.at_once is None else zip(view.catalogue.at_once, orders, strict=True)
    return view.on_hand + sum(share * units for share, units in at_once if units is not None)


def shown_products(score: Floats, candidates: NDArray[np.bool_], stock: Floats) -> NDArray[np.intp]:
    """The product in each segment's slot: the candidate in stock with the highest positive score.

    Args:
        score: (…, N, K) scores of the policy.
        candidates: (K, N) whether a product may fill the segment's slot.
        stock: (…, N) units that can be sold.

    Returns:
        (…, K) number of the product, the first of equals; -1 for none.
    """
    by_slot = score.swapaxes(-1, -2)
    wanted = np.where(candidates & (stock[..., None, :] > 0) & (by_slot > 0), by_slot, 0)
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
