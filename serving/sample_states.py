"""Valid states of a catalogue: one example, and random ones."""

from __future__ import annotations

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
    stock = np.minimum(np.ceil(catalogue.forecast_units.sum(axis=0)), np.floor(most))
    regular = [round(float(price), 4) for price in catalogue.regular_price]
    rows = [
        {
            "product": name,
            "list_price": regular[n],
            "on_hand": None if unlimited else float(stock[n]),
            "on_order": 0.0,
            "reference_price": regular[n],
        }
        | ({"competitor_price": regular[n]} if catalogue.rivals else {})
        | ({"due": [0.0] * catalogue.due_periods} if catalogue.due_periods else {})
        | ({"changes": 0} if catalogue.change_window_periods else {})
        for n, name in enumerate(catalogue.products)
    ]
    when = {"period": 0} if catalogue.calendar is None else {"date": catalogue.calendar.label(0)}
    return when | {"products": rows} | _market_facts(catalogue, 0)


def _market_facts(catalogue: Catalogue, regime: int) -> dict[str, Any]:
    """The fields of the market as a whole that this policy observes."""
    facts: dict[str, Any] = {}
    if catalogue.regimes:
        facts["regime"] = catalogue.regimes[regime]
    if catalogue.loyal:
        facts["loyalty"] = dict.fromkeys(catalogue.segments, 1.0)
    return facts


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
        rows = zip(*columns.values(), strict=True)
        products = [dict(zip(columns, row, strict=True)) for row in rows]
        regime = int(rng.integers(max(len(catalogue.regimes), 1)))
        states.append({"period": period, "products": products} | _market_facts(catalogue, regime))
    return states
