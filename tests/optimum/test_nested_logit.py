"""Prices for nested-logit customers, against a generic maximisation over all prices and offers."""

from itertools import product

import numpy as np
import pytest
from repricer.optimum.nested_logit import NestedCustomer
from scipy.optimize import minimize


def customer(seed: int) -> tuple[NestedCustomer, np.ndarray]:
    """Up to three nests, two of them with two products; low ceilings for every second seed."""
    rng = np.random.default_rng(seed)
    nest = np.array([0, 1, 0, 2, 1])[: 3 + seed % 3]
    high = np.full(nest.size, 80.0) if seed % 2 else rng.uniform(6, 15, nest.size)
    made = NestedCustomer(
        quality=rng.uniform(0, 5, nest.size),
        sensitivity=rng.uniform(0.1, 0.8, nest.size),
        nesting=rng.uniform(0, 0.9, nest.max() + 1),
        nest=nest,
        low=np.full(nest.size, 0.5),
        high=high,
    )
    return made, rng.uniform(0, 6, nest.size)


def money(by: NestedCustomer, price: np.ndarray, cost: np.ndarray, offered: np.ndarray) -> float:
    weight, worth = 1.0, 0.0
    for j, nesting in enumerate(by.nesting):
        own = (by.nest == j) & offered
        if own.any():
            pull = np.exp((by.quality[own] - by.sensitivity[own] * price[own]) / (1 - nesting))
            weight += pull.sum() ** (1 - nesting)
            worth += pull.sum() ** -nesting * (pull @ (price - cost)[own])
    return worth / weight


def generic(by: NestedCustomer, cost: np.ndarray, offered: np.ndarray) -> float:
    rng, bounds = np.random.default_rng(0), list(zip(by.low, by.high, strict=True))
    starts = [np.clip(cost + rng.uniform(0.5, 20, cost.size), by.low, by.high) for _ in range(8)]
    loss = lambda price: -money(by, price, cost, offered)  # noqa: E731
    return max(-minimize(loss, x, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15}).fun for x in starts)


@pytest.mark.parametrize("seed", range(6))
def test_no_other_prices_bring_more(seed):
    by, cost = customer(seed)
    everything = np.ones(cost.size, bool)
    price, value, share = by.best(cost, everything)
    assert value == pytest.approx(generic(by, cost, everything), rel=1e-7)
    assert value == pytest.approx(money(by, price, cost, everything), rel=1e-12)
    assert value == pytest.approx((price - cost) @ share, rel=1e-12)


@pytest.mark.parametrize("seed", [0, 3])
def test_no_other_offer_brings_more(seed):
    by, cost = customer(seed)
    offers = [np.array(offer, bool) for offer in product([0, 1], repeat=cost.size) if any(offer)]
    assert by.best(cost)[1] == pytest.approx(max(generic(by, cost, offer) for offer in offers), rel=1e-7)


def test_the_markup_of_a_nest_is_that_of_gallego_and_wang():
    by, cost = customer(5)
    price, value, share = by.best(cost, np.ones(5, bool))
    markup = price - cost - (1 - by.nesting[by.nest]) / by.sensitivity
    for j, nesting in enumerate(by.nesting):
        own = by.nest == j
        within = share[own] / share[own].sum()
        np.testing.assert_allclose(markup[own], value + nesting * within @ (1 / by.sensitivity[own]), rtol=1e-5)
