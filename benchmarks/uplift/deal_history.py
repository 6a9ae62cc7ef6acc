"""What a shop with deals did: regular prices that seldom move, a calendar of deals with features, costs and price zones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .families import autoregression
from .history import History
from .parameters import Array, Parameters

ZONES, STORES = 4, 2
"""Price zones of a chain, and stores of each."""
SIZE = 4.0
"""Customers of a chain relative to those of a single store."""
YEAR = 52
_SENSITIVITY, _LEVEL, _LARGEST = 0.3, -0.3, 0.15
"""How zones differ in logs, what the chain made of it, and the most by which their price levels differ."""
_MOVE, _CATEGORY_MOVE, _ZONE_MOVE = (0.02, 0.05), (0.02, 0.025), (0.0, 0.04)
_SHOCK, _PERSISTENCE = 0.1, 0.8
_DEPTHS, _FEATURED = ((0.1, 0.2), (0.2, 0.35)), 0.7
_FUNDED = (0.2, 0.6)


@dataclass(frozen=True)
class DealHistory(History):
    """S stores, N products, by week; the calendar repeats after 52 weeks, and no regular price moves after the tables.

    Attributes:
        base: (S, N) regular prices at which the parameters hold.
        sensitivity: (S,) factor on the response to regular prices.
        depth: (weeks, N) planned reduction, as a share of the regular price.
        funding: Share of a planned reduction that the suppliers pay.
        planned: Whether the tables hold the plan of the weeks to come; if not, it is that of a year ago.
    """

    base: Array
    sensitivity: Array
    depth: Array
    funding: float
    planned: bool


def is_chain(seed: int) -> bool:
    """Whether a shop has price zones: half of the shops do."""
    return seed % 2 == 1


def draw_deal_history(parameters: Parameters, seed: int, weeks: int, whole: int, random: Generator) -> DealHistory:
    """The shop's own prices until the week `whole`, of which the tables hold the first `weeks`."""
    products, zones = parameters.regular.size, ZONES if is_chain(seed) else 1
    zone = np.repeat(np.arange(zones), STORES if zones > 1 else 1)
    level = random.dirichlet(np.full(zone.size, 6.0))
    sensitivity = np.exp(random.normal(0, _SENSITIVITY if zones > 1 else 0.0, zones))[zone]
    sensitivity = sensitivity / (level @ sensitivity)
    # Where customers mind prices, the chain charges less: prices differ between zones with what they do to sales.
    chosen = np.clip(_LEVEL * np.log(sensitivity) + random.normal(0, 0.015, zones)[zone], -_LARGEST, _LARGEST)
    base = parameters.regular * np.exp(chosen * (zones > 1))[:, None]
    supply = _moves((weeks, 1, parameters.outside.size), _CATEGORY_MOVE, random)[..., parameters.category]
    moved = _moves((weeks, 1, products), _MOVE, random)
    own = _moves((weeks, zones, products), _ZONE_MOVE, random)[:, zone] if zones > 1 else 0.0
    steps = np.concatenate([supply + moved + own, np.zeros((whole - weeks, zone.size, products))])
    listed = np.round(base * np.exp(np.cumsum(steps, axis=0)), 2)
    cost = np.concatenate([(supply + 0.5 * moved)[:, 0], np.zeros((whole - weeks, products))])
    calendar, shown = _calendar(products, random)
    years = (whole // YEAR + 1, 1)
    return DealHistory(
        level=level,
        store_price=np.ones(zone.size),
        listed=listed,
        prices=np.round(listed * (1 - np.tile(calendar, years)[:whole, None]), 2),
        unit_cost=np.round(parameters.unit_cost * np.exp(np.cumsum(cost, axis=0)), 2),
        display=np.tile(shown, years)[:whole],
        shock=autoregression(_PERSISTENCE, _SHOCK, (whole, products), random),
        following=np.zeros((whole, products)),
        base=base,
        sensitivity=sensitivity,
        depth=np.tile(calendar, years)[:whole],
        funding=float(random.uniform(*_FUNDED)) if seed % 3 == 0 else 0.0,
        planned=seed // 2 % 2 == 0,
    )


def _moves(shape: tuple[int, int, int], size: tuple[float, float], random: Generator) -> Array:
    """(weeks, …) changes of a log price: one a year, in a week of its own."""
    moves = np.zeros(shape)
    for start in range(0, shape[0], YEAR):
        when = random.integers(start, min(start + YEAR, shape[0]), (1, *shape[1:]))
        np.put_along_axis(moves, when, random.normal(*size, when.shape), axis=0)
    return moves


def _calendar(products: int, random: Generator) -> tuple[Array, NDArray[np.bool_]]:
    """(52, N) depth of each product's deals in the weeks of a year, and whether a feature comes with them."""
    depth, shown = np.zeros((YEAR, products)), np.zeros((YEAR, products), dtype=bool)
    for product in range(products):
        usual = [random.uniform(*between) for between in _DEPTHS]
        pause, week = random.uniform(1, 8), int(random.integers(1, 8))
        while week < YEAR - 3:
            length = int(random.integers(1, 3))
            depth[week : week + length, product] = usual[int(random.random() < 0.5)]
            shown[week : week + length, product] = random.random() < _FEATURED
            week += length + 3 + int(random.poisson(pause))
    return np.round(depth, 2), shown
