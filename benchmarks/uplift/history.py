"""The families of synthetic shops, and what such a shop did: prices, costs, displays and demand shocks by week."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .choice import Cheapest, Choice, ConstantElasticity, Logit, Nested, Rival, Segments
from .parameters import Array, Parameters

CHAIN_DEALS = "chain-deals"
"""Stores of a chain with frequent deals sit these out at random."""
DEALS = ("regular-and-deal", "nested-deals", CHAIN_DEALS)
"""Customers answer to regular prices and to deals apart; gains are over the shop's current prices, deals and all."""
ENDOGENOUS = ("endogenous", "endogenous-blind")
"""A shop follows the demand for each product."""
CATEGORY = "endogenous-category"
"""It follows the number of customers of each category, and no costs are known."""
STOCKPILING = "stockpiling"
"""Customers stock up on reductions, and buy less afterwards."""
PLAIN = ("clean", "seasonal", "promoted", "segments", "stores", "scarce", "drifting", "short")
FAMILIES = (*PLAIN, *ENDOGENOUS, CATEGORY, STOCKPILING, "misspecified", *DEALS)
MISSPECIFIED = ("nested", "cheapest-first", "constant-elasticity", "rival")
WEEKS = 104
SHORT = 40
STORES = 4
_SEGMENTS = 5
_YEAR = 365.25 / 7
REDUCED = 0.2
"""Probability of a price reduction in a week."""
DEPTH = (0.08, 0.35)
"""Its depth, as a share of the regular price."""
SHOCK = 0.3
"""Standard deviation of the demand shocks, in utility."""
_PERSISTENCE = 0.6
"""Their autocorrelation."""
REACTION = 0.1
"""Change of the log price per unit of the demand shock of the same week."""
_CATEGORY_REACTION = (0.2, 0.5)
"""The same per log customer of a category."""
_PRODUCT_MOVE = 0.03
"""Moves of each product's regular price without a reason."""
_LASTING = (8, 14)
"""Weeks after which a regular price moves, where that is rare."""
_LARGEST_MOVE = 0.1
"""The most by which it then lies above or below the usual one, in logs."""
_CHAIN_WIDE = 0.12


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
    "logit": lambda *shop: Logit.calibrated(*shop[:3]),
    "segments": _segmented,
    "drifting": _drifting,
    "nested": lambda *shop: Nested.calibrated(*shop[:3], dissimilarity=shop[3].uniform(0.5, 0.8)),
    "cheapest-first": lambda *shop: Cheapest.calibrated(*shop[:3]),
    "constant-elasticity": lambda *shop: ConstantElasticity.calibrated(*shop[:3]),
    "rival": _rival,
}
"""How a category's customers are made of regular prices, shares, elasticities and random numbers."""


def draw_traffic(family: str, categories: int, weeks: int, random: Generator) -> Array:
    """(weeks, C) expected number of customers relative to the parameters'."""
    if family not in ("seasonal", *DEALS):
        return np.ones((weeks, categories))
    week = np.arange(weeks)[:, None]
    amplitude = random.uniform(0.15, 0.35, categories)
    phase = random.uniform(0, 2 * np.pi, categories)
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


# What a synthetic shop did: prices, costs and displays by week, and the demand shocks it saw.


@dataclass(frozen=True)
class History:
    """S stores, N products, by week; it goes on after the last week that the tables hold.

    Attributes:
        level: (S,) share of each store in the customers.
        store_price: (S,) prices of each store relative to the shop's.
        listed: (weeks, S, N) regular prices, currency per unit.
        prices: (weeks, S, N) prices, currency per unit.
        unit_cost: (weeks, N) currency per unit.
        display: (weeks, N) whether the product is on display.
        shock: (weeks, N) utility that demand shocks add.
        following: (weeks, N) log price that follows demand.
    """

    level: Array
    store_price: Array
    listed: Array
    prices: Array
    unit_cost: Array
    display: NDArray[np.bool_]
    shock: Array
    following: Array


def draw_history(family: str, parameters: Parameters, customers: Array, random: Generator) -> History:
    """The shop's own prices under the rule of its family; customers (weeks, C) relative to the expected ones."""
    weeks = len(customers)
    products = parameters.regular.size
    stores = STORES if family == "stores" else 1
    level = random.dirichlet(np.full(stores, 6.0))
    store_price = random.lognormal(0, 0.05, stores) if stores > 1 else np.ones(1)
    store_price = store_price / (level @ store_price)
    shock = np.zeros((weeks, products))
    cost = np.ones((weeks, products))
    following, moved = np.zeros((2, weeks, products))
    if family in ENDOGENOUS:
        shock = autoregression(_PERSISTENCE, SHOCK, (weeks, products), random)
        cost = autoregression(0.95, 0.12, (weeks, products), random)
        moved = random.uniform(0.5, 0.9, products) * cost
        following = REACTION * shock
        cost = np.exp(cost)
    good_week = shock / SHOCK
    if family == CATEGORY:
        seen = np.log(customers)[:, parameters.category]
        moved = random.normal(0, _PRODUCT_MOVE, (weeks, products))
        following = random.uniform(*_CATEGORY_REACTION) * seen
        good_week = seen / seen.std()
    if family == STOCKPILING:
        moved = _rare_moves(weeks, products, random)
    listed = np.round(parameters.regular * np.exp(moved + following)[:, None] * store_price[:, None], 2)
    reduction = _reductions(family, (weeks, stores, products), good_week, random)
    display = np.zeros((weeks, products), dtype=bool)
    if family == "promoted":
        display = random.random((weeks, products)) < np.where(reduction[:, 0] > 0, 0.7, 0.08)
    prices = np.round(listed * (1 - reduction), 2)
    unit_cost = np.round(parameters.unit_cost * cost, 2)
    return History(level, store_price, listed, prices, unit_cost, display, shock, following)


def _rare_moves(weeks: int, products: int, random: Generator) -> Array:
    """(weeks, N) logs of regular prices over the usual ones; each lasts for some months."""
    moved = np.zeros((weeks, products))
    for product in range(products):
        week = int(random.integers(1, _LASTING[1]))
        while week < weeks:
            moved[week:, product] = random.uniform(-_LARGEST_MOVE, _LARGEST_MOVE)
            week += int(random.integers(*_LASTING))
    return moved


def _reductions(family: str, shape: tuple[int, int, int], good_week: Array, random: Generator) -> Array:
    """(weeks, S, N) reductions as a share of the regular price; 0 for none."""
    weeks, stores, products = shape
    probability = np.full((weeks, products), REDUCED if stores == 1 else _CHAIN_WIDE)
    if family in (*ENDOGENOUS, CATEGORY):
        # The shop reduces what sells badly in the same week.
        odds = REDUCED / (1 - REDUCED) * np.exp(-1.5 * good_week)
        probability = odds / (1 + odds)
    chain = (random.random((weeks, products)) < probability) * random.uniform(*DEPTH, (weeks, products))
    if stores == 1:
        return chain[:, None]
    own = (random.random(shape) < REDUCED - _CHAIN_WIDE) * random.uniform(*DEPTH, shape)
    return np.where(chain[:, None] > 0, chain[:, None], own)
