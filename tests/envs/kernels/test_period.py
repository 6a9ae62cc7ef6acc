"""Parts of no strength change nothing; all parts together, drawn against expected.

Statistical tests here allow four standard errors (6e-5) each, with fixed seeds.
"""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.pricing import Action
from repricer.scenarios import checks
from repricer.scenarios.sampler import sample_catalogue

from .two_products import RIVAL, at, build

# Off costs nothing

NEUTRAL = {
    "promotion": {"lift": 0.0},
    "reference_price": {"memory": 0.5, "gain": 0.0, "loss": 0.0},
    "linear": {"memory": 0.5, "gain": 0.0, "loss": 0.0, "scale": "linear"},
    "recommendation": {"lift": 0.0, "candidates": 1},
    "loyalty": {"memory": 0.5, "price_effect": 0.0, "stockout_effect": 0.0},
    "strategic": {"share": 0.0, "patience": 0.9},
    "regimes": {"names": ["y", "z"], "transition": [[0.5, 0.5], [0.5, 0.5]], "initial": [0.5, 0.5]},
    "shocks": {"volatility": 0.0, "persistence": 0.5},
    "returns": {"probability": 0.0, "handling_cost": 9.0},
    "competitors": RIVAL | {"quality": -1000.0},
}


@pytest.mark.parametrize("part", NEUTRAL)
def test_a_part_of_no_strength_sells_what_a_market_without_it_sells(part):
    section = "reference_price" if part == "linear" else part
    plain, neutral = build(stock={"initial_units": 60}), build(stock={"initial_units": 60}, **{section: NEUTRAL[part]})
    runs = [Market(spec, num_markets=130, seed=7) for spec in (plain, neutral)]
    for price in ([4.0, 5.0], [3.0, 6.5], [5.5, 2.5]):
        off, on = (market.step(at(price, 130, promotion=[1.0, -1.0])) for market in runs)
        for name in ("units", "lost", "revenue", "profit"):
            np.testing.assert_array_equal(getattr(on, name), getattr(off, name), err_msg=name)
        np.testing.assert_allclose(on.expected_profit, off.expected_profit, rtol=1e-5, atol=1e-4)


# All parts together


def any_action(spec, markets: int, seed: int) -> Action:
    generator = np.random.default_rng(seed)
    products, segments = spec.sizes["N"], spec.sizes["K"]
    return Action(
        price=(spec.products.regular_price * generator.uniform(0.8, 1.2, (markets, products))).astype(np.float32),
        discount=generator.uniform(-0.1, 0.3, (markets, products, segments)),
        recommendation=generator.uniform(-1, 1, (markets, products, segments)),
        promotion=generator.uniform(-1, 1, (markets, products)),
        order=generator.uniform(0, 40, (markets, products)),
    )


def assert_unbiased(spec, seed: int, markets: int = 4000) -> None:
    """Drawn less expected money of an episode has mean zero, revenue and profit, within four standard errors."""
    market = Market(spec, num_markets=markets, seed=seed)
    difference = np.zeros((2, markets))
    for t in range(spec.market.horizon_periods):
        outcome = market.step(any_action(spec, markets, 100 * seed + t))
        for row, name in zip(difference, ("revenue", "profit"), strict=True):
            row += (getattr(outcome, name) - getattr(outcome, f"expected_{name}")).sum(axis=1, dtype=np.float64)
    deviation = difference.std(axis=1)
    assert (deviation > 0).all()
    z = difference.mean(axis=1) / (deviation / np.sqrt(markets))
    assert (np.abs(z) < 4).all(), f"revenue and profit are off by {z} standard errors"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("process", ["poisson", "single"])
def test_drawn_money_agrees_with_its_expectation_with_all_parts_on(process, seed):
    assert_unbiased(sample_catalogue(5, seed, parts="all", process=process, periods=6), seed)


@pytest.mark.parametrize("seed", range(3))
def test_drawn_money_agrees_with_its_expectation_where_customers_stock_up(seed):
    spec = sample_catalogue(5, seed, parts="all", periods=6)
    unit = 1.0 if spec.reference_price.scale == "log" else spec.products.regular_price
    assert_unbiased(spec.with_changes(reference_price={"units_gain": 1.2 / unit, "units_loss": 0.7 / unit}), seed)


@pytest.mark.parametrize("change", [{"shortage": "lost"}, {"shortage": "backlog", "season_periods": None}])
@pytest.mark.parametrize("process", ["poisson", "single"])
def test_drawn_money_agrees_with_its_expectation_where_stock_is_scarce(process, change):
    spec = sample_catalogue(5, 3, parts="all", process=process, periods=6)
    scarce = change | {"initial_units": np.ones(5), "max_order_units": np.full(5, 3.0), "replenishment": "action"}
    assert_unbiased(spec.with_changes(stock=scarce), 11)


@pytest.mark.parametrize("family", ["cheapest", "exponential", "linear", "constant-elasticity"])
def test_drawn_money_agrees_with_its_expectation_in_the_other_families(family):
    assert_unbiased(sample_catalogue(5, 1, parts="all", family=family, periods=6), 12)


# Demand families of other packages


@pytest.fixture
def register(monkeypatch):
    """Registers a demand family for a test, as another package would."""
    return lambda name, function: monkeypatch.setattr(checks, "_extensions", lambda: {name: function})


@pytest.mark.parametrize("process", ["poisson", "single"])
def test_the_family_of_another_package_is_that_of_our_own_with_the_same_probabilities(process, register):
    register("as-linear", lambda utility: utility)
    spec = sample_catalogue(5, 1, parts="all", family="linear", process=process, periods=6)
    runs = [Market(each, num_markets=70, seed=3) for each in (spec, spec.with_changes(demand={"family": "as-linear"}))]
    for t in range(3):
        own, other = (market.step(any_action(spec, 70, t)) for market in runs)
        for name, part in own.results._asdict().items():
            np.testing.assert_array_equal(part, getattr(other.results, name), err_msg=name)
    for name, array in runs[0].state.arrays().items():
        np.testing.assert_array_equal(array, runs[1].state.arrays()[name])
    units = [expected_units(market.spec, 0, spec.products.regular_price) for market in runs]
    np.testing.assert_array_equal(*units)


def test_an_error_of_the_family_of_another_package_is_raised(register):
    register("broken", lambda utility: 1 / 0)
    spec = sample_catalogue(2, 1, family="linear", periods=6).with_changes(demand={"family": "broken"})
    with pytest.raises(ZeroDivisionError):
        Market(spec, num_markets=3)
    register("short", lambda utility: utility[:1])
    with pytest.raises(ValueError, match="shape"):
        expected_units(spec.with_changes(demand={"family": "short"}), 0, spec.products.regular_price)
