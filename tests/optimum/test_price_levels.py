"""Prices that may only fall or rise, or change by little: against an independent program, and the market's own events."""

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.optimum import exact_value, solve
from repricer.scenarios import load_scenario
from scipy.stats import poisson

FALLING, RISING = {"direction": "falling"}, {"direction": "rising"}
LADDER = {"price_ladder": {"start": 0.5, "stop": 3.0, "step": 0.25}}


def test_the_policy_earns_its_value_and_keeps_the_rule():
    spec = load_scenario("falling-prices")
    optimum = solve(spec)
    assert optimum.method == "backward induction"
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    path = rollout(spec, optimum.policy, episodes=50, seed=0).price_path
    assert (np.diff(path, axis=0) <= 0).all()
    anything = solve(spec.with_changes(prices={"direction": "any"}))
    assert anything.value > optimum.value > exact_value(spec, anything.policy)


@pytest.mark.parametrize("stock", [{}, {"initial_units": 6}])
@pytest.mark.parametrize("prices", [FALLING, RISING, {"max_change": 0.3}, {"max_change": 0.3, **FALLING}])
def test_every_rule_of_the_current_price(make, prices, stock):
    """The sensitivity rises, so that prices should fall: a rule against that costs money."""
    falling = {"sensitivity_path": [1.0] * 5 + [2.0] * 5}
    free = make(None, demand=falling, stock=stock, prices=LADDER)
    spec = free.with_changes(prices=prices)
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    assert optimum.value <= solve(free).value * (1 + 1e-12)
    if prices is RISING:
        assert optimum.value < 0.99 * solve(free).value


def test_regimes_and_an_endless_market(make):
    """With one regime that stays and prices that may only fall, the price settles at once."""
    regimes = {"names": ["a", "b"], "transition": [[0.6, 0.4], [0.4, 0.6]], "initial": [1, 0], "sensitivity": [1, 2]}
    spec = make(None, prices={**LADDER, **FALLING}, stock={"initial_units": 5}, regimes=regimes)
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-9)
    endless = make(None, prices={**LADDER, **FALLING}, market={"ending": "truncated", "discount_factor": 0.9})
    best = max(price * np.exp(-price) for price in np.arange(0.5, 1.51, 0.25))
    assert solve(endless).value == pytest.approx(10 * best, rel=1e-9)


def test_an_initial_price_between_the_steps(make):
    """The regular price 1.5 is no step: the first price is the best one below it."""
    spec = make(None, prices={"price_ladder": [0.4, 0.9, 1.6], **FALLING}, market={"horizon_periods": 1})
    assert solve(spec).value == pytest.approx(max(p * np.exp(-p) for p in (0.4, 0.9)), rel=1e-9)


@pytest.mark.parametrize(
    "prices",
    [
        {**LADDER, **FALLING, "max_changes": 1, "change_window_periods": 3},
        {**LADDER, **FALLING, "frozen": ["unit"]},
        {"floor": 0.5, "ceiling": 3, **FALLING},
    ],
)
def test_what_is_not_covered(make, prices):
    assert solve(make(None, prices=prices)) is None


def test_one_period_by_hand(make):
    spec = make(None, market={"horizon_periods": 1}, stock={"initial_units": 2}, prices={**LADDER, **FALLING})
    price = np.arange(0.5, 1.51, 0.25)
    mass = poisson.pmf([0, 1], np.exp(-price)[:, None])
    assert solve(spec).value == pytest.approx((price * (mass[:, 1] + 2 * (1 - mass.sum(axis=1)))).max(), rel=1e-9)
