"""Fixed and myopic prices under a posterior: the true optimum of the mean over the draws, within the price rules."""

import itertools
import time

import numpy as np
import pytest
from repricer.agents import best_fixed, myopic
from repricer.agents.posterior.money import PosteriorMoney, draws_of
from repricer.agents.posterior.prices import has_closed_form
from repricer.envs import rollout
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario, sample_catalogue, spec_from_table
from repricer.scenarios.planned_deals import Remembered

from .test_money import uncertain

PAIR = {
    "name": "pair",
    "version": 1,
    "market": {"horizon_periods": 4, "objective": "profit"},
    "products": {"names": ["a", "b"], "regular_price": [4.0, 5.0], "unit_cost": [2.0, 2.5]},
    "arrivals": {"rate": [[30.0], [50.0], [20.0], [40.0]]},
    "demand": {"quality": [[3.0, 3.5]], "price_sensitivity": [[0.9, 0.7]]},
    "prices": {"floor": [2.0, 2.5], "ceiling": [8.0, 9.0]},
}


def pair(**changes):
    table = PAIR | {name: PAIR.get(name, {}) | values for name, values in changes.items()}
    return uncertain(spec_from_table(table), draws=7, seed=4, spread=0.4)


def brute(spec, grids, allowed=lambda price: True):
    """The best of all pairs of prices of one category."""
    money = PosteriorMoney(spec, draws_of(spec))
    rows = [money.along(1, np.asarray(grids[1]), np.array([first, grids[1][0]])) for first in grids[0]]
    kept = [[allowed((first, second)) for second in grids[1]] for first in grids[0]]
    values = np.where(kept, rows, -np.inf)
    i, j = np.unravel_index(values.argmax(), values.shape)
    best = np.array([grids[0][i], grids[1][j]])
    assert money.value(best).sum() == pytest.approx(values.max(), rel=1e-9)
    return best, values.max()


def money_of(spec, price):
    return PosteriorMoney(spec, draws_of(spec)).value(np.asarray(price, np.float64)).sum()


@pytest.mark.parametrize("segments", [1, 2])
def test_continuous_prices_are_the_optimum_of_a_fine_grid(segments):
    many = {
        "arrivals": {"segments": ["x", "y"], "segment_share": [[0.4, 0.6]]},
        "demand": {"quality": [[3.0, 3.5], [2.0, 5.0]], "price_sensitivity": [[1.6, 0.5], [0.4, 1.2]]},
    }
    spec = pair(**many if segments == 2 else {})
    found = best_fixed(spec).price
    grids = [np.linspace(low, high, 241) for low, high in zip(spec.guardrails.low, spec.guardrails.high, strict=True)]
    best, value = brute(spec, grids)
    assert money_of(spec, found) >= value - 1e-6 * value
    np.testing.assert_allclose(found, best, atol=0.03)


@pytest.mark.parametrize(
    "prices",
    [
        {"price_ladder": [2.5, 2.99, 3.99, 4.99, 5.99, 6.99, 7.99]},
        {"price_endings": [0.49, 0.99]},
        {"tick": 0.25},
    ],
)
@pytest.mark.parametrize("line", [False, True])
def test_prices_on_a_grid_are_the_optimum_of_all_pairs(prices, line):
    spec = pair(prices=prices | ({"line_order": [["b", "a"]]} if line else {}))
    rules = spec.guardrails
    grids = [np.clip(rules.allowed_prices(n), rules.low[n], rules.high[n]) for n in range(2)]
    _, value = brute(spec, grids, lambda p: not line or p[0] >= p[1])
    found = best_fixed(spec).price
    assert money_of(spec, found) == pytest.approx(value, rel=1e-6)
    if line:
        assert found[0] >= found[1]
    # The market charges exactly these prices.
    run = rollout(spec.draw(0), FixedPrice(found), episodes=1, seed=0, assumed=spec)
    np.testing.assert_allclose(run.price_path[-1], found, rtol=1e-6)


def test_the_line_order_without_a_grid_frozen_prices_and_the_largest_change():
    spec = pair(prices={"line_order": [["b", "a"]]})
    rows = np.linspace(2.5, 8.0, 221)
    _, value = brute(spec, (rows, rows), lambda p: p[0] >= p[1])
    assert money_of(spec, best_fixed(spec).price) >= value - 1e-6 * value
    assert best_fixed(pair(prices={"frozen": ["b"]})).price[1] == 5.0
    slow = pair(prices={"max_change": 0.05})
    _, value = brute(slow, [np.linspace(3.2, 5, 91), np.linspace(3.9, 6.2, 91)])
    assert money_of(slow, best_fixed(slow).price) >= value - 1e-6 * value


def test_the_mean_over_draws_is_not_the_mean_market():
    spec = pair()
    plain = uncertain(spec, draws=1, arrivals=1.0, utility=0.0, sensitivity=1.0, unit_cost=1.0)
    assert money_of(spec, best_fixed(spec).price) > 1.005 * money_of(spec, best_fixed(plain).price)


@pytest.mark.usefixtures("short_search")
def test_scarce_stock_is_searched_in_simulations_of_draws():
    spec = uncertain(load_scenario("three-stocks"), draws=5, spread=0.3)
    assert not has_closed_form(spec)
    found = best_fixed(spec)

    def value(price):
        runs = [rollout(spec.draw(m), FixedPrice(price), episodes=400, seed=5, assumed=spec) for m in range(5)]
        return np.mean([run.objective.mean() for run in runs])

    best = value(found.price)
    for factor in (0.8, 1.25):
        assert value(found.price * np.float32(factor)) < best


def test_stock_that_runs_out_under_the_closed_form_is_searched_too(make_shop):
    ample, short = (
        uncertain(make_shop(stock={"initial_units": units, "order_up_to_units": units})) for units in (400, 12)
    )
    free = uncertain(make_shop(stock={"initial_units": 4000, "order_up_to_units": 4000}))
    np.testing.assert_allclose(best_fixed(ample).price, best_fixed(free).price)
    assert (best_fixed(short).price > best_fixed(ample).price).all()


def test_myopic_prices_maximise_each_period_over_the_draws():
    spec = pair(reference_price={"memory": 0.6, "gain": 0.4, "loss": 0.9})
    path = myopic(spec).path
    before = Remembered(spec.products.regular_price, np.ones(2))
    for t, price in enumerate(path):
        money = PosteriorMoney(spec, draws_of(spec), period=t, before=before)
        best = money.value(price.astype(np.float64)).sum()
        for other in itertools.product(*(price[n] * np.array([0.97, 1, 1.03]) for n in range(2))):
            inside = np.clip(other, spec.guardrails.low, spec.guardrails.high)
            assert money.value(inside).sum() <= best * (1 + 1e-6)
        before = before._replace(reference=0.6 * before.reference + 0.4 * price)
    ladder = pair(prices={"price_ladder": [2.99, 3.99, 4.99, 5.99, 6.99]})
    assert np.isin(myopic(ladder).path, np.array([2.99, 3.99, 4.99, 5.99, 6.99], np.float32)).all()


@pytest.mark.usefixtures("short_search")
def test_other_families_are_searched_over_draws():
    spec = uncertain(sample_catalogue(2, 3, parts=(), family="linear", periods=12), draws=4, utility=0.0)
    found = best_fixed(spec).price

    def value(price):
        return np.mean(
            [
                rollout(spec.draw(m), FixedPrice(price), episodes=64, seed=3, expected=True).objective.mean()
                for m in range(4)
            ]
        )

    best = value(found)
    for factor in (0.8, 1.25):
        assert value(found * np.float32(factor)) < best
    assert np.isfinite(myopic(spec).path).all()


def test_thirty_products_and_two_hundred_draws_take_a_second_or_two():
    spec = sample_catalogue(30, 3, parts=(), periods=13)
    spec = uncertain(spec, draws=200)
    start = time.process_time()
    best_fixed(spec)
    assert time.process_time() - start < 12 * spec.sizes["T"] / 52
