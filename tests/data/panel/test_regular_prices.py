import numpy as np
import pandas as pd
import pytest
from repricer.data import product_weeks
from repricer.data.panel.regular_prices import regular_prices


def guessed(price, days=7):
    return regular_prices(price, price, days)


@pytest.fixture
def listed():
    """Regular prices of two products, one of which rises for good and falls again."""
    prices = np.full((60, 2), 4.0)
    prices[20:40, 1] = 4.5
    return prices


def test_reductions_are_found_and_lasting_changes_are_not_taken_for_them(listed):
    reduced = np.random.default_rng(0).random(listed.shape) < 0.2
    paid = np.round(np.where(reduced, 0.8, 1.0) * listed, 2)
    # Near a lasting change reductions of the dearer price may hide it for a week.
    assert (np.abs(guessed(paid) - listed) > 1e-9).mean() < 0.02
    np.testing.assert_array_equal(guessed(listed), listed)


def test_weeks_without_a_sale_do_not_count():
    paid = np.array([[2.0], [1.0], [np.nan], [np.nan], [np.nan], [2.0], [2.0]])
    np.testing.assert_array_equal(guessed(paid).ravel(), [2, 2, np.nan, np.nan, np.nan, 2, 2])


def test_prices_that_move_every_week_are_their_own_regular_prices():
    paid = np.random.default_rng(1).uniform(1, 3, (50, 4))
    np.testing.assert_array_equal(guessed(paid), paid)


def test_means_of_a_weeks_sales_are_the_same_price_up_to_rounding():
    paid = 2.0 + np.array([0.0, 3e-4, -5e-4, 2e-4, -0.5])[:, None]
    assert guessed(paid)[-1, 0] == pytest.approx(2, rel=1e-3)


def test_prices_of_the_tables_stand_where_any_was_reduced(listed):
    given = 1.1 * listed
    assert regular_prices(listed, given) is given


def test_a_reduction_of_every_weekend_is_one_by_day():
    price = np.where(np.arange(70) % 7 >= 5, 3.0, 4.0)[:, None]
    assert (guessed(price, days=1) == 4).all()


def test_the_panel_has_them():
    weeks = pd.date_range("2024-01-01", periods=12, freq="7D")
    paid = np.array([2.0] * 5 + [1.5] * 2 + [2.0] * 5)
    sales = pd.DataFrame({"date": weeks, "product": "a", "units": 3.0, "price_paid": paid, "regular_price": paid})
    panel = product_weeks(sales)
    assert (panel["regular_price"] == 2).all()
    assert panel["discount_share"].tolist() == [0.0] * 5 + [0.25] * 2 + [0.0] * 5
