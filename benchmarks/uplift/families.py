"""The families of synthetic shops: how customers choose, and what moves their number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .choice import Cheapest, Choice, ConstantElasticity, Logit, Nested, Rival, Segments
from .parameters import Array, Parameters

FAMILIES = (
    "clean",
    "seasonal",
    "promoted",
    "segments",
    "stores",
    "scarce",
    "drifting",
    "short",
    "endogenous",
    "endogenous-blind",
    "endogenous-category",
    "stockpiling",
    "misspecified",
    "regular-and-deal",
    "nested-deals",
)
DEALS = ("regular-and-deal", "nested-deals")
"""Customers answer to regular prices and to deals apart; gains are over the shop's current prices, deals and all."""
ENDOGENOUS = ("endogenous", "endogenous-blind")
"""A shop follows the demand for each product."""
CATEGORY = "endogenous-category"
"""It follows the number of customers of each category, and no costs are known."""
STOCKPILING = "stockpiling"
"""Customers stock up on reductions, and buy less afterwards."""
MISSPECIFIED = ("nested", "cheapest-first", "constant-elasticity", "rival")
WEEKS, SHORT = 104, 40
STORES = 4
_SEGMENTS = 5
_YEAR = 365.25 / 7


def weeks_of(family: str) -> int:
    """Weeks of history by default."""
    return SHORT if family == "short" else WEEKS


def draw_choices(family: str, parameters: Parameters, random: Generator) -> tuple[tuple[Choice, ...], str]:
    """The customers of each category, and what their model is called."""
    kind = "logit"
    if family == "misspecified":
        kind = MISSPECIFIED[int(random.integers(len(MISSPECIFIED)))]
    make = _MODELS.get(family, _MODELS[kind])
    choices = []
    for number in range(parameters.outside.size):
        own = parameters.category == number
        choices.append(make(parameters.regular[own], parameters.share[own], parameters.elasticity[own], random))
    return tuple(choices), kind


def _segmented(regular: Array, share: Array, elasticity: Array, random: Generator) -> Logit:
    parts = Segments(
        weight=random.dirichlet(np.full(_SEGMENTS, 4.0)),
        sensitivity=random.lognormal(0, 0.4, _SEGMENTS),
        taste=random.normal(0, 0.6, (_SEGMENTS, share.size)),
    )
    return Logit.calibrated(regular, share, elasticity, segments=parts)


def _drifting(regular: Array, share: Array, elasticity: Array, random: Generator) -> Logit:
    return Logit.calibrated(regular, share, elasticity, drift=random.uniform(-0.3, 0.3))


def _rival(regular: Array, share: Array, elasticity: Array, random: Generator) -> Rival:
    own = Logit.calibrated(regular, share, elasticity)
    sensitivity = float((own.sensitivity @ regular / share.size).mean())
    return Rival(own, random.uniform(0.3, 0.7), sensitivity, random.uniform(0.3, 0.8))


_MODELS: dict[str, Callable[[Array, Array, Array, Generator], Choice]] = {
    "logit": lambda regular, share, elasticity, random: Logit.calibrated(regular, share, elasticity),
    "segments": _segmented,
    "drifting": _drifting,
    "nested": lambda regular, share, elasticity, random: Nested.calibrated(
        regular, share, elasticity, random.uniform(0.5, 0.8)
    ),
    "cheapest-first": lambda regular, share, elasticity, random: Cheapest.calibrated(regular, share, elasticity),
    "constant-elasticity": lambda regular, share, elasticity, random: ConstantElasticity.calibrated(
        regular, share, elasticity
    ),
    "rival": _rival,
}


def draw_traffic(family: str, categories: int, weeks: int, random: Generator) -> Array:
    """(weeks, C) expected number of customers relative to the parameters'."""
    if family not in ("seasonal", *DEALS):
        return np.ones((weeks, categories))
    week = np.arange(weeks)[:, None]
    amplitude, phase = random.uniform(0.15, 0.35, categories), random.uniform(0, 2 * np.pi, categories)
    trend = random.uniform(-0.1, 0.1, categories)
    return np.exp(amplitude * np.sin(2 * np.pi * week / _YEAR + phase) + trend * (week / 104 - 0.5))


def draw_shocks(family: str, categories: int, weeks: int, random: Generator) -> Array:
    """(weeks, C) persistent factors on the number of customers, with mean 1."""
    if family not in ("seasonal", CATEGORY):
        return np.ones((weeks, categories))
    volatility = random.uniform(*(0.08, 0.2) if family == "seasonal" else (0.15, 0.3))
    return np.exp(autoregression(0.7, volatility, (weeks, categories), random) - volatility**2 / 2)


def autoregression(persistence: float, deviation: float, shape: tuple[int, int], random: Generator) -> Array:
    """(weeks, …) stationary paths with this standard deviation."""
    noise = random.normal(0, 1, shape)
    path = np.empty(shape)
    path[0] = noise[0]
    for week in range(1, shape[0]):
        path[week] = persistence * path[week - 1] + np.sqrt(1 - persistence**2) * noise[week]
    return deviation * path
