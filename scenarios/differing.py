"""What two descriptions of a market differ in."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..pricing import PriceEndings, PriceLadder
from .spec import MarketSpec


def differing(one: MarketSpec, other: MarketSpec) -> list[str]:
    """The keys in which two markets differ; texts about them are left out.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> differing(spec, spec.with_changes(market={"objective": "profit"}))
        ['market.objective']
    """
    found = []
    for section in fields(one):
        pair = getattr(one, section.name), getattr(other, section.name)
        if all(map(is_dataclass, pair)):
            keys = [
                (f"{section.name}.{item.name}", *(getattr(part, item.name) for part in pair))
                for item in fields(pair[0])
            ]
            found += [key for key, a, b in keys if not _same(a, b)]
        elif (is_dataclass(pair[0]) or is_dataclass(pair[1])) and pair[0] is not pair[1]:
            found.append(section.name)
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, PriceLadder) and isinstance(b, PriceLadder):
        a, b = a.steps, b.steps
    if isinstance(a, PriceEndings) and isinstance(b, PriceEndings):
        a, b = a.fractions, b.fractions
    return (
        np.array_equal(np.asarray(a), np.asarray(b))
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray)
        else a == b
    )
