"""Demand families: how utilities become choices; other packages add theirs by entry point.

An extension registers, under `repricer.demand_families`, a function probability(utility). It maps
an array of utilities (any shape; quality - price_sensitivity * price + effects) to purchase
probabilities of the same shape, which fall with the utility. Like `linear`, it is for categories
with one product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from ..pricing.choice_model import FAMILIES

Family = Callable[[NDArray[np.floating]], NDArray[np.floating]]
BUILT_IN = FAMILIES


@functools.cache
def _extensions() -> dict[str, Family]:
    return {point.name: point.load() for point in entry_points(group="repricer.demand_families")}


def demand_families() -> tuple[str, ...]:
    """The allowed values of `demand.family`."""
    return (*BUILT_IN, *_extensions())


def family_function(name: str) -> Family | None:
    """The function of another package's family; None if the family is built in."""
    return _extensions().get(name)
