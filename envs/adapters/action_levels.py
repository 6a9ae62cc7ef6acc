"""Discrete actions: the raw levels from which each column of an action is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...pricing import ActionLayout
from ...pricing.action_layout import BESIDE_RULE, raw_price
from ...scenarios import MarketSpec

_OTHER_LEVELS = 5
_MOST_ORDERS = 100
Levels = tuple[NDArray[np.float32], ...]


def action_levels(
    spec: MarketSpec, layout: ActionLayout, base_price: NDArray[np.float32] | None, price_levels: int
) -> Levels:
    """The levels of each column of a product's action.

    A price has the steps of its ladder if there is one product with a ladder and a fixed base
    price, else `price_levels` steps of the log price. Orders of a single product take every whole
    number; discounts, scores and other orders five steps.

    Args:
        layout: Columns of an action.
        base_price: (N,) the price that a raw price of zero means, currency per unit; None if it
            varies.
        price_levels: Number of levels of a price without a ladder, or beside a rule's, which is one more.

    Returns:
        One rising array of raw numbers in [-1, 1] per column.
    """
    levels = [_prices(spec, layout, base_price, price_levels)]
    shares, scores = np.linspace(0, 1, _OTHER_LEVELS), np.linspace(-1, 1, _OTHER_LEVELS)
    if layout.discounts:
        levels += [shares] * layout.num_segments
    if layout.recommend:
        levels += [scores] * layout.num_segments
    if layout.promote:
        levels.append(scores)
    orders = [spec.stock] * layout.order + ([] if spec.express is None else [spec.express])
    for supplier in orders:
        most = int(supplier.max_order_units.max())
        few = spec.sizes["N"] == 1 and most <= _MOST_ORDERS
        levels.append(np.arange(most + 1) / max(most, 1) if few else shares)
    return tuple(level.astype(np.float32) for level in levels)


def _prices(
    spec: MarketSpec, layout: ActionLayout, base_price: NDArray[np.float32] | None, price_levels: int
) -> NDArray[np.floating]:
    levels = np.linspace(-1, 1, price_levels)
    if layout.rule_at_zero:
        return np.union1d(np.where(levels == 0, BESIDE_RULE, levels), 0.0)
    if spec.prices.price_ladder is None or base_price is None or len(base_price) > 1:
        return levels
    allowed = spec.guardrails.allowed_prices()
    assert allowed is not None, "the market has a ladder"
    return np.unique(raw_price(allowed / float(base_price[0]), *layout.slopes))
