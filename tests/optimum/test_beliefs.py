"""The optimum over beliefs: against a program that goes through all histories, and the market's own events."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.optimum import exact_value, solve, upper_bound
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario
from repricer.scenarios.sections import Posterior
from scipy.stats import poisson

HORIZON = 3
COSTS = {
    "market": {"horizon_periods": HORIZON, "objective": "profit", "discount_factor": 0.9},
    "products": {"unit_cost": 0.2},
}


def drawn(**parts):
    return Posterior(draws=len(next(iter(parts.values()))), simulated=True, **parts)


# At price 1 or 2, the first draw earns .25 or .40 per customer, the last .45 or .22.
TWO, THREE = drawn(sensitivity=[[0.2], [1.4]]), drawn(sensitivity=[[0.2], [0.8], [1.4]])
SKEWED = drawn(sensitivity=[[1.4], [0.2], [1.4]], unit_cost=[[0.5], [2.0], [0.5]])


@pytest.fixture(scope="module")
def uncertain(make):
    """Three periods, two prices between which the draws differ, and the given draws."""

    def made(posterior, **changes):
        ladder = {"price_ladder": [1.0, 2.0]}
        return replace(
            make(None, **{"market": {"horizon_periods": HORIZON}, "prices": ladder} | changes), posterior=posterior
        )

    return made


def by_history(spec):
    """The value of a market of exponential demand, through every history of prices and sales."""
    draws = [spec.draw(m) for m in range(spec.num_draws)]
    prices, counts = spec.prices.price_ladder.steps, spec.market.objective == "profit"
    slope = np.array([d.demand.price_sensitivity[0, 0] for d in draws])
    quality = np.array([d.demand.quality[0, 0] for d in draws])
    cost = counts * np.array([d.products.unit_cost[0] for d in draws])
    rate = np.array([d.arrivals.rate[:, 0] for d in draws])
    demand = np.arange(24)

    def after(period, price, chance):
        """Money from a period on; chance: (M,) probability of the history so far with each draw."""
        mass = chance[:, None] * poisson.pmf(demand, (rate[:, period] * np.exp(quality - slope * price))[:, None])
        money = (mass.T @ (price - cost)) @ demand
        discount = spec.market.discount_factor if period < HORIZON - 1 else 1.0
        return money + discount * sum(value(period + 1, seen) for seen in mass.T)

    def value(period, chance):
        return 0.0 if period == HORIZON else max(after(period, price, chance) for price in prices)

    return value(0, np.full(len(draws), 1 / len(draws)))


@pytest.mark.parametrize(
    ("posterior", "changes"),
    [
        (TWO, {}),
        (TWO, COSTS),
        (THREE, {}),
        (SKEWED, COSTS),
    ],
)
def test_the_value_is_that_of_all_histories(uncertain, posterior, changes):
    spec = uncertain(posterior, **changes, arrivals={"rate": 1.5})
    exact, optimum = by_history(spec), solve(spec)
    assert optimum.value == pytest.approx(exact, rel=1e-9)
    run = rollout(spec, optimum.policy, episodes=60_000, seed=3)
    assert abs(run.objective.mean() - exact) < 3 * run.objective.std() / 60_000**0.5


def test_learning_is_worth_more_than_a_fixed_price():
    spec = load_scenario("incomplete-learning")
    optimum, bound = solve(spec), upper_bound(spec)
    money = rollout(spec, optimum.policy, episodes=40_000, seed=1).objective
    assert abs(money.mean() - optimum.value) < 3 * money.std() / 40_000**0.5
    fixed = max(
        np.mean([exact_value(spec.draw(m), FixedPrice(price)) for m in range(4)]) for price in (8.0, 10.0, 12.0)
    )
    assert (fixed, bound.value) == pytest.approx((252, 277))
    assert fixed / bound.value < 0.92 < 0.94 < optimum.value / bound.value < 0.95


def test_draws_that_are_alike_leave_nothing_to_learn(uncertain):
    known = uncertain(drawn(sensitivity=[[1.6]]))
    expected = solve(known.draw(0)).value
    assert solve(known).value == pytest.approx(expected, rel=1e-12)
    assert solve(uncertain(drawn(sensitivity=[[1.6], [1.6]]))).value == pytest.approx(expected, rel=1e-12)


def test_what_is_not_covered(uncertain):
    assert solve(uncertain(TWO)) is not None
    assert solve(uncertain(replace(TWO, simulated=False))) is None
    assert solve(uncertain(THREE, market={"horizon_periods": 30}, arrivals={"rate": 20.0})) is None  # too many beliefs
    for changes in (
        {"prices": {"floor": 0.5, "ceiling": 3.0}},
        {"market": {"horizon_periods": HORIZON, "ending": "truncated", "discount_factor": 0.9}},
        {"arrivals": {"overdispersion": 0.5}},
        {"stock": {"initial_units": 3}},
        {"stock": {"initial_units": 3, "replenishment": "order-up-to", "order_up_to_units": 3}},
        {"arrivals": {"rate": [0.5, 1.0, 2.0]}},
    ):
        assert solve(uncertain(TWO, **changes)) is None
