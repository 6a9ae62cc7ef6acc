"""How the price of one product moves the units of the others."""

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.demand import cross_elasticities
from repricer.tests.fitting.demand.markets import known_demand

PRODUCTS = pd.DataFrame({"product": list("abcde"), "category": ["x"] * 4 + ["y"]})
SEGMENTS = (np.array([[5.0, 1.0, 2.0, 1.0, 1.0], [1.0, 4.0, 2.0, 3.0, 1.0]]), np.array([0.7, 1.5]))


@pytest.fixture
def demand():
    regular = np.array([2.0, 3.0, 4.0, 2.5, 1.0])
    elasticity = [-2.0, -1.5, -3.0, -2.5, -2.0]
    return known_demand(PRODUCTS, [20, 30, 15, 10, 5], regular, elasticity, [0.3, 0.5], segments=SEGMENTS)


def test_they_are_the_slopes_of_the_lift(demand):
    rows = cross_elasticities(demand)
    assert {row["product"] for row in rows} == set("abcd")  # a product alone in its category has none
    assert len(rows) == 12
    for row in rows:
        n, other = "abcde".index(row["product"]), "abcde".index(row["other"])
        assert n != other
        price = np.stack([demand.regular_price, demand.regular_price])
        price[0, other] *= np.exp(-1e-4)
        price[1, other] *= np.exp(1e-4)
        low, high = np.log(demand.lift(price)[:, n])
        assert row["elasticity"] == pytest.approx((high - low) / 2e-4, rel=1e-4)
        assert row["interval90"] == pytest.approx([row["elasticity"]] * 2)


def test_the_largest_come_first_and_the_others_are_left_out(demand):
    some, every = cross_elasticities(demand, most=2), cross_elasticities(demand)
    assert len(some) == 8
    for product in "abcd":
        kept = [row for row in some if row["product"] == product]
        best = sorted((row["elasticity"] for row in every if row["product"] == product), reverse=True)[:2]
        assert [row["elasticity"] for row in kept] == best
