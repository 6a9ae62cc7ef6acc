"""What the shop's rules and the markdown allow: the levels of a price, and the paths along them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from ...scenarios.sections import Array
from .search import Paths
from .stock import Leftover

_LEVELS, _FINER = 16, 7
_CLOSE = 1e-6


def allowed_levels(spec: MarketSpec, item: Leftover, near: Array | None = None) -> Array:
    """(L,) falling prices that a product may have, from the price now to the lowest.

    Args:
        near: Some of the levels that were found without it: then the levels are those near
            these, more finely.

    Raises:
        ValueError: The price rules allow no price between the two.
    """
    rules, n = spec.guardrails, item.product
    if rules.frozen is not None and rules.frozen[n]:
        return np.array([item.price])
    low, top = item.lowest_price, min(item.price, float(rules.high[n]))
    levels, step = np.geomspace(top, low, _LEVELS), (top / low) ** (1 / (_LEVELS - 1))
    if near is not None:
        around = near[:, None] * step ** np.linspace(-1, 1, _FINER)
        levels = np.clip(np.concatenate([[top, low], near, around.ravel()]), low, top)
    allowed = rules.allowed_prices(n, low, top)
    if allowed is not None:
        allowed = allowed[(allowed >= low * (1 - _CLOSE)) & (allowed <= top * (1 + _CLOSE))]
        if not allowed.size:
            raise ValueError(
                f"stock: the price rules must allow a price of {spec.products.names[n]!r} from {low:g} to {top:g}; got "
                f"none{rules.grid.words}; lower its lowest_price"
            )
        levels = allowed[abs(allowed - levels[:, None]).argmin(axis=1)]
    # Seven digits: all that single precision holds.
    return np.array(sorted({float(f"{level:.7g}") for level in levels}, reverse=True))


def changes_of(price: Array, now: float) -> int:
    """How often a price changes along its periods, from the price now on."""
    return int(_changed(price[None], now).sum())


def keeps_rules(
    spec: MarketSpec, item: Leftover, levels: Array, starts: NDArray[np.intp], price: Array, paths: Paths
) -> NDArray[np.bool_]:
    """Which of (P, B) paths keep the budget of changes and the price rules.

    Args:
        levels: (L,) its prices.
        starts: (B,) the period in which each block starts.
        price: (T, N) the prices of the others.
        paths: (P, B) numbers of levels.
    """
    rules, asked = spec.guardrails, levels[paths]
    changed = _changed(asked, item.price)
    kept = changed.sum(axis=1) <= item.changes
    if np.isfinite(fall := rules.constants.fall[item.product]):
        before = np.column_stack([np.full(len(asked), item.price), asked[:, :-1]])
        least = np.minimum(before * (1 - fall), levels[0])  # from above its ceiling, a price falls to it at once
        kept &= (asked >= least * (1 - _CLOSE)).all(axis=1)
    if rules.max_changes is not None and rules.change_window_periods is not None:
        for start in starts:
            within = (starts > start - rules.change_window_periods + 1) & (starts <= start)
            kept &= changed[:, within].sum(axis=1) <= rules.max_changes
    if len(rules.links):
        kept &= _keeps_links(spec, item, np.repeat(asked, np.diff(starts, append=len(price)), axis=1), price)
    return kept


def _changed(price: Array, now: float) -> NDArray[np.bool_]:
    """(P, B) where prices differ from those before."""
    before = np.column_stack([np.full(len(price), now), price[:, :-1]])
    return abs(price - before) > _CLOSE * before


def _keeps_links(spec: MarketSpec, item: Leftover, asked: Array, price: Array) -> NDArray[np.bool_]:
    """Which (P, T) prices break no link to another product that the price now keeps."""
    kept = np.ones(len(asked), np.bool_)
    for small, large, share in spec.guardrails.links:
        if item.product == small:
            continue  # a smaller product may always get cheaper
        if item.product == large:
            least = np.minimum(price[:, small] / share, item.price)
            kept &= (asked >= least * (1 - _CLOSE)).all(axis=1)
    return kept
