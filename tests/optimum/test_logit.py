import numpy as np
from repricer.optimum.logit import best_price


def test_a_cost_above_the_lowest_price_beside_one_below_zero_says_nothing():
    """A warning would fail the test."""
    cost, ones = np.array([[-1.0, 3.0, 12.0]]), np.ones((1, 3))
    found = best_price(cost, 0.5 * ones, ones, 2 * ones, 9 * ones)
    grid = np.linspace(2, 9, 70_001)[:, None]
    money = (grid - cost) * np.exp(-0.5 * grid) / grid
    np.testing.assert_allclose(found[0, :2], grid[money.argmax(axis=0)[:2], 0], atol=1e-4)
    assert found[0, 2] == 9
