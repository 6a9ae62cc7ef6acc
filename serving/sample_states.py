"""Valid states of a catalogue: one example, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..pricing import Catalogue, Guardrails
from ..pricing.observed import Columns, Draw
from .market_state import TOLD


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
    columns: Columns = {"product": list(catalogue.products)}
    for name, quantity in TOLD.items():
        if quantity.ordinary is not None and quantity.observed(catalogue) and name != "last_units":
            shape = {"N": catalogue.num_products, "D": catalogue.due_periods}
            ordinary = np.broadcast_to(quantity.ordinary(catalogue, 0), [shape[axis] for axis in quantity.axes])
            columns[name] = ordinary.astype(np.float64).round(4).tolist()
    stock = np.minimum(np.ceil(catalogue.forecast_units.sum(axis=0)), np.floor(most)).astype(float).tolist()
    columns["on_hand"] = [None] * catalogue.num_products if unlimited else stock
    when = {"period": 0} if catalogue.calendar is None else {"date": catalogue.calendar.label(0)}
    return when | _state(catalogue, columns, 0)


def _state(catalogue: Catalogue, columns: Columns, regime: int) -> dict[str, Any]:
    """A state without its period, of what this policy observes."""
    products = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    facts: dict[str, Any] = {"products": products}
    if catalogue.regimes:
        facts["regime"] = catalogue.regimes[regime]
    return facts | ({"loyalty": dict.fromkeys(catalogue.segments, 1.0)} if catalogue.loyal else {})


def random_states(catalogue: Catalogue, rules: Guardrails, count: int, seed: int) -> list[dict[str, Any]]:
    """Valid states all over the range that the price rules allow, to compare two ways of answering."""
    rng = np.random.default_rng(seed)
    states = []
    for _ in range(count):
        period = int(rng.integers(catalogue.horizon))
        price = np.exp(rng.uniform(np.log(rules.low), np.log(np.maximum(rules.high, rules.low * (1 + 1e-6)))))
        draw = Draw(rng, catalogue, period, price)
        columns = Columns(product=list(catalogue.products))
        for name, quantity in TOLD.items():
            if quantity.drawn is not None and quantity.observed(catalogue):
                columns[name] = quantity.drawn(draw, columns)
        regime = int(rng.integers(max(len(catalogue.regimes), 1)))
        states.append({"period": period} | _state(catalogue, columns, regime))
    return states
