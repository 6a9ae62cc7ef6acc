"""How competitors' offers are priced within a period, for solvers and for exact values."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..envs import rival_catalogue
from ..pricing import Catalogue, LearningPolicy, MarketView, competitor
from ..scenarios import MarketSpec
from .problem import Array

_STAY = "fixed"


def all_stay(spec: MarketSpec) -> bool:
    """Whether no competitor ever moves its price, and customers come once per period."""
    rivals = spec.competitors
    return rivals is not None and set(rivals.rule) == {_STAY} and not rivals.answers_within_period


def one_answers(spec: MarketSpec) -> bool:
    """Whether there is one product and one competitor, which responds by a rule without memory.

    It sees the price of this period in mid-period, or that of the last one before the customers come.
    """
    rivals = spec.competitors
    return (
        rivals is not None
        and len(spec.products.names) == len(rivals.names) == 1
        and not isinstance(competitor(rivals.rule[0]), LearningPolicy)
    )


def charged(price: NDArray[np.floating]) -> Array:
    """Prices rounded to single precision, as the market holds them, so that equal prices tie here as well."""
    return price.astype(np.float32).astype(np.float64)


def initial_prices(spec: MarketSpec) -> Array:
    """(R,) initial prices of the competitors' offers, currency per unit."""
    return charged(spec.initial_rival_price)


def prices_in_period(spec: MarketSpec, price: Array, last: Array, rival_price: Array) -> list[Array]:
    """Prices (S, R) of the competitors' offers in the period, or in each of its halves.

    Args:
        price: (S, N) what the shop charges.
        last: (S, N) what it charged in the period before.
        rival_price: (S, R) what the competitors charged before.

    Returns:
        One array, or one per half; the last holds the prices at the end of the period.
    """
    if spec.competitors is None or all_stay(spec):
        return [rival_price]
    if not spec.competitors.answers_within_period:
        return [answer(spec, last[:, 0], rival_price[:, 0])[:, None]]
    return [rival_price, answer(spec, price[:, 0], rival_price[:, 0])[:, None]]


def answer(spec: MarketSpec, price: Array, rival_price: Array) -> Array:
    """(S,) price of the one competitor once it sees the shop's price (S,); rival_price: (S,) its price before."""
    rivals = spec.competitors
    nothing = np.zeros((price.size, 1), np.float32)
    period = np.zeros(price.size, np.intp)
    assert rivals is not None
    own, seen = (rows[:, None].astype(np.float32) for rows in (rival_price, price))
    known = (own, own, nothing + np.inf, nothing, nothing)
    view = MarketView(_rival_catalogue(spec), period, *known, competitor_price=seen)
    proposed = competitor(rivals.rule[0]).act(view).price[:, 0]
    return charged(np.clip(proposed, rivals.floor[0], rivals.ceiling[0]))


def lowest_prices(spec: MarketSpec, rival_price: Array) -> Array:
    """(S, N) lowest competitor price for each product, infinite where there is none; rival_price: (S, R)."""
    lowest = np.full((len(rival_price), len(spec.products.names)), np.inf)
    for r, n in enumerate(spec.competitor_product):
        lowest[:, n] = np.minimum(lowest[:, n], rival_price[:, r])
    return lowest


@functools.lru_cache(maxsize=16)
def _rival_catalogue(spec: MarketSpec) -> Catalogue:
    return rival_catalogue(spec, np.arange(1))
