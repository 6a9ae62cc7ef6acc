"""Demand families: how utilities become choices; other packages add theirs by entry point.

An extension registers, under `repricer.demand_families`, a function probability(utility). It maps
an array of utilities (any shape; quality - price_sensitivity * price + effects) to purchase
probabilities of the same shape, which fall with the utility. Like `linear`, it is for categories
with one product. Under `repricer.choice_models` it registers a function probabilities(utility, category) for categories
of several: from utilities (…, N), minus infinity for a sold-out product, and the category of each product (N,), to the
probability of choosing each, (…, N), which add up to at most one in a category.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from ..pricing.choice_model import FAMILIES

Family = Callable[[NDArray[np.floating]], NDArray[np.floating]]
ChoiceFunction = Callable[[NDArray[np.floating], NDArray[np.intp]], NDArray[np.floating]]
BUILT_IN = FAMILIES
GROUPED = ("mnl", "nested-logit", "cheapest")
"""The built-in families for categories of several products."""


@functools.cache
def _extensions() -> dict[str, Family]:
    return {point.name: point.load() for point in entry_points(group="repricer.demand_families")}


@functools.cache
def _choice_models() -> dict[str, ChoiceFunction]:
    return {point.name: point.load() for point in entry_points(group="repricer.choice_models")}


def demand_families() -> tuple[str, ...]:
    """The allowed values of `demand.family`."""
    return (*BUILT_IN, *_extensions(), *_choice_models())


def is_grouped(name: str) -> bool:
    """Whether a family is for categories of several products."""
    return name in GROUPED or name in _choice_models()


def choice_function(name: str) -> ChoiceFunction | None:
    """The function of another package's choice model; None for any other family."""
    return _choice_models().get(name)


def family_function(name: str) -> Family | None:
    """The function of another package's family; None if the family is built in."""
    return _extensions().get(name)
