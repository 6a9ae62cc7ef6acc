"""Valid states of a catalogue: one example, and random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..pricing import Catalogue, Guardrails


def example_state(catalogue: Catalogue, *, unlimited: bool = False, most: ArrayLike = np.inf) -> dict[str, Any]:
    """A valid state: the first period, at regular prices, with the forecast of all
    periods in stock, or as much as there may be; `Bundle.example` is that of a bundle.

    Sales of the period before are left out, as for a period that they are not known of: the
    forecast stands for them.

    Args:
        catalogue: The catalogue of a bundle.
        unlimited: Whether stock is unlimited.
        most: (N,) or one for all: most units on hand.

    Returns:
        Plain data that `Predictor.price` accepts.

    Example:
        >>> from repricer.serving import load_bundle
        >>> example_state(load_bundle("bundle").catalogue)["period"]
        0
    """
    stock = np.minimum(np.ceil(catalogue.forecast_units.sum(axis=0)), np.floor(most)).astype(float).tolist()
    regular, count = [round(float(price), 4) for price in catalogue.regular_price], catalogue.num_products
    columns: dict[str, Sequence[Any]] = {"product": catalogue.products, "list_price": regular}
    columns |= {"on_hand": [None] * count if unlimited else stock, "on_order": [0.0] * count}
    columns |= {"reference_price": regular, "competitor_price": regular}
    columns |= {"due": [[0.0] * catalogue.due_periods] * count, "changes": [0] * count}
    when = {"period": 0} if catalogue.calendar is None else {"date": catalogue.calendar.label(0)}
    return when | _state(catalogue, columns, 0)


def _state(catalogue: Catalogue, columns: dict[str, Sequence[Any]], regime: int) -> dict[str, Any]:
    """A state without its period, of what this policy observes."""
    unseen = {"competitor_price": catalogue.rivals, "due": catalogue.due_periods}
    unseen |= {"changes": catalogue.change_window_periods}
    kept = {name: column for name, column in columns.items() if unseen.get(name, True)}
    products = [dict(zip(kept, row, strict=True)) for row in zip(*kept.values(), strict=True)]
    facts: dict[str, Any] = {"products": products}
    if catalogue.regimes:
        facts["regime"] = catalogue.regimes[regime]
    return facts | ({"loyalty": dict.fromkeys(catalogue.segments, 1.0)} if catalogue.loyal else {})


def random_states(catalogue: Catalogue, rules: Guardrails, count: int, seed: int) -> list[dict[str, Any]]:
    """Valid states all over the range that the price rules allow, to compare two ways of answering."""
    rng, size = np.random.default_rng(seed), catalogue.num_products
    states = []
    for _ in range(count):
        period = int(rng.integers(catalogue.horizon))
        ahead = catalogue.forecast_units[period:].sum(axis=0)
        price = np.exp(rng.uniform(np.log(rules.low), np.log(np.maximum(rules.high, rules.low * (1 + 1e-6)))))
        columns = {
            "product": catalogue.products,
            "list_price": price.round(4).clip(1e-4).tolist(),
            "on_hand": [None if rng.random() < 0.2 else x for x in rng.poisson(ahead * rng.uniform(0, 2)).tolist()],
            "on_order": (rng.poisson(ahead / catalogue.horizon) * (rng.random(size) < 0.5)).tolist(),
            "reference_price": (price * rng.uniform(0.8, 1.25, size)).round(4).clip(1e-4).tolist(),
            "last_units": rng.poisson(catalogue.forecast_units[period]).tolist(),
        }
        if catalogue.rivals:
            columns["competitor_price"] = (price * rng.uniform(0.8, 1.25, size)).round(4).clip(1e-4).tolist()
        if catalogue.due_periods:
            shares = np.full(catalogue.due_periods + 1, 1 / (catalogue.due_periods + 1))
            columns["due"] = rng.multinomial(columns["on_order"], shares)[:, :-1].tolist()
        if catalogue.change_window_periods:
            columns["changes"] = rng.integers(catalogue.change_window_periods, size=size).tolist()
        regime = int(rng.integers(max(len(catalogue.regimes), 1)))
        states.append({"period": period} | _state(catalogue, columns, regime))
    return states
