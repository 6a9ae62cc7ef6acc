"""Discrete actions: the raw levels from which each column of an action is chosen, and which of them the price rules allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...pricing import Action, ActionLayout, Guardrails, MarketView
from ...pricing.action_layout import BESIDE_RULE, raw_price
from ...pricing.price_rules.rule_formulas import BITS, PRICE_BITS
from ...scenarios import MarketSpec

_OTHER_LEVELS = 5
# Rounding to the grid is no refusal.
_REFUSING = PRICE_BITS & ~BITS["price_ladder"]
_MOST_ORDERS = 100
_LAST_BITS = 1e-5
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


def allowed_levels(guardrails: Guardrails, view: MarketView, price: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which levels of its price the rules allow each product while the others keep theirs, but for rounding to the grid.

    Where they allow none, as between two levels of a price that may not change, the nearest to what they make of it is.

    Args:
        guardrails: The rules.
        view: E markets.
        price: (E, L, N) price of each level, currency per unit.

    Returns:
        (E, N, L).
    """
    markets, levels, products = price.shape
    asked = np.repeat(view.list_price[:, None, None], products, axis=1).repeat(levels, axis=2)  # (E, N, L, N)
    own = np.arange(products)
    asked[:, own, :, own] = np.moveaxis(price, 2, 0)
    rows = view.take(np.repeat(np.arange(markets), products * levels))
    guarded = guardrails.apply(Action(asked.reshape(-1, products).astype(np.float32)), rows)
    shape = (markets, products, levels, products)
    away = np.abs(np.log(np.einsum("enln->enl", guarded.price.reshape(shape)) / np.moveaxis(price, 2, 1)))
    refused = (np.einsum("enln->enl", guarded.trail.reshape(shape) & _REFUSING) > 0) & (away > _LAST_BITS)
    nearest = away == away.min(axis=2, keepdims=True)
    return np.where(refused.all(axis=2, keepdims=True), nearest, ~refused)
