"""Prices with the digits that single precision holds."""

import numpy as np
import pytest
from repricer.pricing.price_rules.grids import seven_digits


@pytest.mark.parametrize(("low", "high"), [(1e-15, 1e-3), (1e-3, 1e3), (1e3, 1e15)])
def test_seven_digits_are_those_of_the_printed_number(low, high):
    drawn = np.exp(np.random.default_rng(0).uniform(np.log(low), np.log(high), 20_000))
    for prices in (drawn, drawn.astype(np.float32), np.float32(drawn.round(2))):
        assert seven_digits(prices).tolist() == [float(f"{price:.7g}") for price in prices.tolist()]


def test_what_is_no_price_stays():
    odd = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 1e30, 1e-30])
    np.testing.assert_array_equal(seven_digits(odd), odd.astype(np.float64))
    assert seven_digits(np.float32(-19.99)) == -19.99
    assert seven_digits(np.zeros((0, 3))).shape == (0, 3)
