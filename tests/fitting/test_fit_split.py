from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from repricer.fitting.fit_split import _forecasts, _mean, _past_price, _with_prices
from repricer.fitting.split import Split
from repricer.tests.fitting.demand.markets import known_demand, prices

REGULAR, WEEKS, AHEAD = np.full(4, 2.0), 100, 8
PRODUCTS = pd.DataFrame({"product": list("abcd"), "category": "x"})


@pytest.fixture
def remembering():
    """Prices of 108 weeks, and the units of customers who remember them; 20 a week where none ever moved."""
    demand = known_demand(PRODUCTS, np.full(4, 20.0), REGULAR, np.full(4, -2.0), [0.6], deals=(1.5, 0.5, 2.5))
    price = prices(np.random.default_rng(0), WEEKS + AHEAD, 4) * REGULAR
    return demand, price, 20.0 * demand.lift(price, reference=demand.remembered.price(price))


def split_of(price: np.ndarray, regular: np.ndarray = REGULAR) -> Split:
    week = pd.date_range("2023-01-02", periods=len(price), freq="7D")
    rows = pd.DataFrame(
        {"product": np.tile(PRODUCTS["product"], len(price)), "week": np.repeat(week, 4), "price": price.ravel()}
    ).assign(regular_price=np.broadcast_to(regular, price.shape).ravel())
    past = rows["week"] < week[WEEKS]
    return Split(PRODUCTS, rows[past], rows[~past], rows[past])


def test_what_sells_at_regular_prices_is_what_the_demand_model_makes_of_the_plan(remembering):
    demand, price, _ = remembering
    lift = demand.lift(price, reference=demand.remembered.price(price))[WEEKS:]
    # A forecaster of single products holds that without its deals, each would sell far less.
    forecast = np.linspace(9.0, 11.0, AHEAD)[:, None] * np.ones(4)
    planned, usual = _with_prices(split_of(price), demand, 20.0 * lift, forecast, forecast * 1.2)
    np.testing.assert_array_equal(planned, 20.0 * lift)
    np.testing.assert_allclose((usual * lift).sum(axis=0), planned.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(usual / usual[0], forecast / forecast[0], rtol=1e-9)


def test_a_regular_price_that_moved_is_no_memory_of_a_reduction(remembering):
    demand, price, _ = remembering
    forecast = np.full((AHEAD, 4), 20.0)
    found = []
    for before in (1.0, 1.1, 0.9):
        level = np.where(np.arange(len(price)) < 70, before, 1.0)[:, None]
        split = split_of(price * level, REGULAR * level)
        found.append(_with_prices(split, demand, forecast * 1.1, forecast, forecast * 1.2)[1])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=0.02)


def test_a_forecast_that_ignores_prices_is_led_by_the_demand_model(remembering):
    demand, price, units = remembering
    blind = np.tile(units[WEEKS - 26 : WEEKS].mean(axis=0), (AHEAD, 1))
    planned, usual = _with_prices(split_of(price), demand, blind, blind, blind)
    np.testing.assert_allclose(usual, 20.0, rtol=1e-9)
    np.testing.assert_allclose(planned, units[WEEKS:], rtol=1e-9)


def test_a_plan_of_regular_prices_does_not_make_a_forecast_one_that_ignores_prices(remembering):
    demand, price, _ = remembering
    price[WEEKS:] = REGULAR
    rows = split_of(price)
    week = rows.future["week"].unique()

    class Listens:
        """Sells 20 a week at regular prices, and more at lower ones."""

        def predict(self, future):
            return future.assign(mean=20.0 * (future["price"] / 2.0) ** -2.0)[["product", "week", "mean"]]

    paths = SimpleNamespace(weeks=week, traffic=np.ones((1, AHEAD)))
    rows = replace(rows, future=rows.future.assign(regular_price=2.0))
    found = _forecasts(rows, Listens(), paths, pd.Series(2.0, index=PRODUCTS["product"]))
    planned, _ = _with_prices(rows, demand, *(_mean(each, rows) for each in found))
    np.testing.assert_allclose(planned, 20.0)


def test_past_prices_are_those_charged_and_else_the_regular_ones(remembering):
    demand, price, _ = remembering
    price[WEEKS - 3 : WEEKS] = [[1.5, np.nan, 2.5, 2.01], [1.6, np.nan, 2.493, 2.0], [1.6, 1.8, 2.5, 2.02]]
    past = _past_price(split_of(price), demand)
    assert past.shape == (13, 4)
    # 2.493 is the mean of several prices, no other price.
    assert past[-3:].tolist() == [[1.5, 2.0, 2.5, 2.01], [1.6, 2.0, 2.5, 2.0], [1.6, 1.8, 2.5, 2.02]]
