"""What a synthetic shop did: prices, costs and displays by week, and the demand shocks it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .families import CATEGORY, ENDOGENOUS, STORES, autoregression
from .parameters import Array, Parameters

REDUCED, DEPTH = 0.2, (0.08, 0.35)
"""Probability of a price reduction in a week, and its depth as a share of the regular price."""
SHOCK, _PERSISTENCE = 0.3, 0.6
"""Standard deviation and autocorrelation of the demand shocks, in utility."""
REACTION = 0.1
"""Change of the log price per unit of the demand shock of the same week."""
_CATEGORY_REACTION, _PRODUCT_MOVE = (0.2, 0.5), 0.03
"""The same per log customer of a category, and moves of each product's regular price without a reason."""
_CHAIN_WIDE = 0.12


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
    shock, cost = np.zeros((weeks, products)), np.ones((weeks, products))
    following, moved = np.zeros((2, weeks, products))
    if family in ENDOGENOUS:
        shock = autoregression(_PERSISTENCE, SHOCK, (weeks, products), random)
        cost = autoregression(0.95, 0.12, (weeks, products), random)
        moved, following = random.uniform(0.5, 0.9, products) * cost, REACTION * shock
        cost = np.exp(cost)
    good_week = shock / SHOCK
    if family == CATEGORY:
        seen = np.log(customers)[:, parameters.category]
        moved = random.normal(0, _PRODUCT_MOVE, (weeks, products))
        following, good_week = random.uniform(*_CATEGORY_REACTION) * seen, seen / seen.std()
    listed = np.round(parameters.regular * np.exp(moved + following)[:, None] * store_price[:, None], 2)
    reduction = _reductions(family, (weeks, stores, products), good_week, random)
    display = np.zeros((weeks, products), dtype=bool)
    if family == "promoted":
        display = random.random((weeks, products)) < np.where(reduction[:, 0] > 0, 0.7, 0.08)
    return History(
        level=level,
        store_price=store_price,
        listed=listed,
        prices=np.round(listed * (1 - reduction), 2),
        unit_cost=np.round(parameters.unit_cost * cost, 2),
        display=display,
        shock=shock,
        following=following,
    )


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
