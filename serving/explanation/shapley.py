"""Which inputs moved a proposed price, and by how much: Shapley values over groups of inputs. numpy alone.

The value of a coalition is the price that the policy proposes where its inputs are as they are and the others as in an
ordinary market, Shapley (1953), eq. 1; with seven groups every coalition is asked, so the parts add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from ...pricing import MarketView, Policy
from .what_if import repeated

GROUPS = {
    "calendar": ("period",),
    "price in force": ("list_price", "reference_price"),
    "stock": ("on_hand", "on_order"),
    "recent sales": ("last_units",),
    "competitors": ("competitor_price",),
    "market": ("regime", "loyalty"),
    "past changes": ("changes",),
}
"""Groups of inputs, and the parts of a market view that each holds."""


def attribution(policy: Policy, view: MarketView, n: int) -> tuple[float, dict[str, float]]:
    """The price of product n in an ordinary market, and what each group adds to it, currency per unit.

    Ordinary: the first period, prices in force and remembered as regular, rivals at regular prices, sales and stock as
    forecast, no price changes in the window. The sum of all is the price that is proposed.
    """
    groups = [name for name, parts in GROUPS.items() if any(getattr(view, part) is not None for part in parts)]
    sets = [frozenset(s) for s in chain.from_iterable(combinations(groups, size) for size in range(len(groups) + 1))]
    price = policy.act(_coalitions(view, sets)).price[:, n].astype(np.float64)
    value, count = dict(zip(sets, price.tolist(), strict=True)), len(groups)
    effects = {}
    for group in groups:
        without = [s for s in sets if group not in s]
        weights = [math.factorial(len(s)) * math.factorial(count - len(s) - 1) / math.factorial(count) for s in without]
        effects[group] = sum(w * (value[s | {group}] - value[s]) for w, s in zip(weights, without, strict=True))
    return value[frozenset()], effects


def _coalitions(view: MarketView, sets: list[frozenset[str]]) -> MarketView:
    """One market a coalition: the parts of its groups as seen, the others ordinary."""
    catalogue, many = view.catalogue, repeated(view, len(sets))

    def has(group: str) -> NDArray[np.bool_]:
        return np.array([group in s for s in sets])

    period = np.where(has("calendar"), view.period[0], 0)
    forecast = catalogue.forecast_units
    ahead = np.cumsum(forecast[::-1], axis=0)[::-1][period]
    regular = np.broadcast_to(catalogue.regular_price, many.list_price.shape)
    ordinary = {
        "list_price": regular,
        "reference_price": regular,
        "on_hand": np.where(np.isfinite(many.on_hand), np.ceil(ahead), np.inf),
        "on_order": np.zeros_like(many.on_order),
        "last_units": forecast[np.maximum(period - 1, 0)],
        "competitor_price": regular,
        "regime": np.zeros(len(sets), dtype=np.intp),
        "changes": np.zeros_like(many.list_price),
        "loyalty": None if many.loyalty is None else np.ones_like(many.loyalty),
    }
    parts = {"period": period}
    for group, names in GROUPS.items():
        for name in names:
            seen = getattr(many, name)
            if name != "period" and seen is not None:
                own = has(group).reshape(-1, *[1] * (seen.ndim - 1))
                parts[name] = np.where(own, seen, ordinary[name]).astype(seen.dtype)
    return replace(many, **parts)
