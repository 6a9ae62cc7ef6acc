"""Promotions, waiting customers, single customers and the lowest-price family, against a hand calculation."""

import numpy as np
import pytest
from repricer.envs import Market, expected_units
from repricer.scenarios import ScenarioError

from .two_products import QUALITY, RIVAL, SENSITIVITY, at, bought, build, logit


def test_a_promotion_adds_its_lift_and_costs_its_cost():
    promotion = {"lift": [[0.7, 0.3]], "cost": [3.0, 1.5]}
    market, free = (Market(build(promotion=promotion | change)) for change in ({}, {"cost": 0.0}))
    action = at([4.0, 5.0], promotion=[1.0, -1.0])
    outcome, same = market.step(action), free.step(action)
    np.testing.assert_allclose(bought(outcome)[0], 40 * logit([4.0, 5.0], np.array([0.7, 0.0])), rtol=1e-5)
    assert outcome.promoted.tolist() == [[True, False]]
    np.testing.assert_array_equal(outcome.revenue, same.revenue)
    np.testing.assert_allclose(same.profit - outcome.profit, [[3.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(same.expected_profit - outcome.expected_profit, [[3.0, 0.0]], atol=1e-4)


def test_customers_who_wait_come_back_and_all_who_come_are_accounted_for():
    rival = {"names": ["r"], "regular_price": 4.5, "quality": 1.2, "price_sensitivity": 0.45}
    market = Market(build(strategic={"share": 0.4, "patience": 0.7}, competitors=rival))
    their, pool = np.exp(1.2 - 0.45 * 4.5), 0.0
    later = 0.7 * np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0])).sum()
    for price in ([4.0, 5.0], [6.0, 7.0], [3.0, 3.0], [4.0, 5.0]):
        outcome = market.step(at(price))
        weight = np.exp(QUALITY - SENSITIVITY * np.array(price))
        now = 1 + weight.sum() + their
        patient = 0.4 * 40 + pool
        each = 0.6 * 40 / now + patient / (now + later)
        waiting = market.state.waiting[0, 0]
        np.testing.assert_allclose(waiting, patient * later / (now + later), rtol=1e-5)
        np.testing.assert_allclose(bought(outcome)[0], weight * each, rtol=1e-5)
        np.testing.assert_allclose(outcome.rival_units[0, 0], their * each, rtol=1e-5)
        went = bought(outcome)[0].sum() + outcome.rival_units[0, 0] + each + waiting
        np.testing.assert_allclose(went, 40 + pool, rtol=1e-5)
        pool = waiting


def test_those_who_wait_expect_the_reference_price():
    reference = {"memory": 0.5, "gain": 0.0, "loss": 0.0}
    market = Market(build(strategic={"share": 1.0, "patience": 1.0}, reference_price=reference))
    market.step(at([2.0, 2.0]))
    pool = market.state.waiting[0, 0]
    market.step(at([4.0, 5.0]))
    later = np.exp(QUALITY - SENSITIVITY * np.array([3.0, 3.5])).sum()
    now = 1 + np.exp(QUALITY - SENSITIVITY * np.array([4.0, 5.0])).sum()
    np.testing.assert_allclose(market.state.waiting[0, 0], (40 + pool) * later / (now + later), rtol=1e-5)


STOCKS_UP = {"memory": 0.5, "gain": 0.0, "loss": 0.0, "units_gain": [1.5, 0.0], "units_loss": [0.7, 0.0]}


@pytest.mark.parametrize("scale", ["log", "linear", "saturating"])
@pytest.mark.parametrize("within", [False, True])
def test_a_price_below_the_remembered_one_sells_more_units_of_the_product_alone(scale, within):
    """Nobody chooses otherwise: the other product, rivals and those who leave stay, and so do those who wait."""
    parts = {
        "competitors": RIVAL | {"answers_within_period": within, "rule": "fixed"},
        "strategic": {"share": 0.3, "patience": 0.5},
    }
    spec = build(reference_price=STOCKS_UP | {"scale": scale}, **parts)
    market, plain = Market(spec), Market(spec.with_changes(reference_price={"units_gain": 0.0, "units_loss": 0.0}))
    remembered = 4.0
    for price in (3.0, 3.5, 4.6, 5.0):
        outcome, same = market.step(at([price, 5.0])), plain.step(at([price, 5.0]))
        # Above the regular price, nobody has more to use up.
        met = min(price, max(remembered, 4.0))
        gaps = {
            "log": np.log(remembered / met),
            "linear": remembered - met,
            "saturating": (1 - (met / remembered) ** 2) / 2,
        }
        gap = gaps[scale]
        more = np.exp((1.5 if gap > 0 else 0.7) * gap)
        np.testing.assert_allclose(bought(outcome)[0], bought(same)[0] * [more, 1.0], rtol=1e-5)
        np.testing.assert_array_equal(outcome.rival_units, same.rival_units)
        np.testing.assert_array_equal(market.state.waiting, plain.state.waiting)
        remembered = 0.5 * remembered + 0.5 * price


def test_who_comes_alone_buys_one_unit():
    words = r"units_gain and units_loss must be 0 where arrivals.process = 'single', .*; got others; use process = 'poi"
    with pytest.raises(ScenarioError, match=words) as refused:
        build(arrivals={"rate": 0.9, "process": "single"}, reference_price=STOCKS_UP)
    assert "\n" not in str(refused.value)


def test_a_reduction_sells_units_of_later_in_a_market_of_one_product():
    """With a constant price no effect is left; a deal of one period, and what is sold less after it, in closed form."""
    one = {"products": {"names": ["a"], "regular_price": 4.0, "unit_cost": 2.0}, "arrivals": {"rate": 40.0}}
    demand = {"family": "exponential", "quality": 0.0, "price_sensitivity": 0.2}
    effect = {"memory": 0.8, "gain": 0.0, "loss": 0.0, "units_gain": 1.2, "units_loss": 0.9}
    market, remembered = Market(build(**one, demand=demand, reference_price=effect)), 4.0
    for price in (4.0, 3.0, 4.0, 4.0):
        factor = (remembered / price) ** (1.2 if price < remembered else 0.9)
        np.testing.assert_allclose(bought(market.step(at([price])))[0], 40 * np.exp(-0.2 * price) * factor, rtol=1e-5)
        remembered = 0.8 * remembered + 0.2 * price


@pytest.mark.parametrize("overdispersion", [0.0, 0.4])
def test_the_units_that_are_put_by_are_drawn_and_run_the_shelves_empty(overdispersion):
    spec = build(reference_price=STOCKS_UP, arrivals={"overdispersion": overdispersion}, stock={"initial_units": 30})
    outcome = Market(spec, num_markets=20_000, seed=1).step(at([2.0, 5.0], 20_000))
    wanted = 40 * logit([2.0, 5.0]) * [2**1.5, 1.0]
    assert wanted[0] > 30
    drawn = {"units": outcome.units + outcome.lost, "revenue": outcome.revenue}
    for numbers, mean in zip(drawn.values(), (wanted, outcome.expected_revenue[0]), strict=True):
        assert (np.abs(numbers.mean(axis=0) - mean) < 4 * numbers.std(axis=0) / np.sqrt(20_000)).all()


@pytest.mark.parametrize(("within", "most"), [(False, 1), (True, 2)])
def test_at_most_one_customer_comes_in_a_period_or_in_each_half_of_it(within, most):
    three = {"names": list("abc"), "category": ["x", "x", "y"], "regular_price": [4.0, 5.0, 3.0]}
    spec = build(
        products=three | {"unit_cost": 1.0},
        demand={"quality": [3.0, 3.0, 3.0], "price_sensitivity": 0.4},
        arrivals={"rate": [0.9, 0.8], "process": "single"},
        competitors=RIVAL | {"answers_within_period": within},
    )
    market = Market(spec, num_markets=5000)
    outcome = market.step(at([4.0, 5.0, 3.0], 5000))
    first = outcome.units[:, :2].sum(axis=1) + outcome.rival_units[:, 0]
    assert first.max() == outcome.units[:, 2].max() == most
    mean = most * expected_units(spec, 0, [4.0, 5.0, 3.0])[0].sum(axis=0)
    error = np.sqrt(mean / 5000)
    assert (np.abs(outcome.units.mean(axis=0) - mean) < 4 * error).all()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("units", [0, 1, 2])
def test_the_expected_sales_of_at_most_one_customer_are_exact(within, units):
    spec = build(
        arrivals={"rate": 0.9, "process": "single"},
        competitors=RIVAL | {"answers_within_period": within},
        stock={"initial_units": units},
    )
    outcome = Market(spec).step(at([4.0, 5.0]))
    chance = 0.9 * logit([4.0, 5.0], rivals=np.exp(1.2 - 0.45 * 4.5))
    twice = 2 * chance if units > 1 else 1 - (1 - chance) ** 2
    exact = twice if within else chance
    np.testing.assert_allclose(outcome.expected_revenue[0], exact * (units > 0) * [4.0, 5.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("sections", "utility"),
    [
        ({"demand": {"quality": 100.0}}, 99.6),
        ({"demand": {"quality": 12.0, "family": "nested-logit", "nesting": 0.9}}, 116),
        ({"competitors": RIVAL | {"quality": 90.0, "floor": 4.0}}, 88.2),
    ],
    ids=["own", "nested", "rival"],
)
def test_utilities_whose_exponentials_overflow_are_refused(sections, utility):
    """All of them bought nothing, or the nest's products alike."""
    words = rf"utility at the lowest price .* must be at most 80 .*; got {utility}; lower quality"
    with pytest.raises(ScenarioError, match=words) as refused:
        Market(build(**sections))
    assert "\n" not in str(refused.value)


def test_solvers_refuse_utilities_that_they_cannot_add_up():
    with pytest.raises(ScenarioError, match="must be at most 700"):
        expected_units(build(demand={"quality": 600.0, "family": "nested-logit", "nesting": 0.5}), 0, [4.0, 5.0])


def test_cheapest_feels_shocks_loyalty_and_season_as_the_other_families_do():
    family = {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1}
    market = Market(build(demand=family, shocks={"volatility": 0.6}), num_markets=400)
    shock = market.state.context[market.state.layout.shock][0]
    units = bought(market.step(at([4.0, 5.0], 400)))
    np.testing.assert_allclose(units[:, 0], 40 * 0.6 * np.exp(shock - 0.18), rtol=1e-5)
    loyal = Market(build(demand=family, loyalty={"memory": 0.0, "price_effect": 1.0, "stockout_effect": 0.0}))
    loyal.step(at([3.2, 5.0]))
    assert loyal.state.loyalty[0, 0] == pytest.approx(1.25)
    assert bought(loyal.step(at([4.0, 5.0])))[0, 0] == pytest.approx(1.25 * 40 * 0.6, rel=1e-5)


def test_cheapest_feels_the_season_in_a_rivals_offer_too():
    demand = {"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1, "season": -0.2}
    rival = {"names": ["r"], "regular_price": 3.0, "quality": 1.0, "price_sensitivity": 0.1}
    outcome = Market(build(demand=demand, competitors=rival)).step(at([4.0, 5.0]))
    assert outcome.rival_units[0, 0] == pytest.approx(40 * 0.5, rel=1e-5)


def test_cheapest_buys_at_the_price_paid():
    spec = build(demand={"family": "cheapest", "quality": 1.0, "price_sensitivity": 0.1}, prices={"max_discount": 0.5})
    outcome = Market(spec).step(at([4.0, 5.0], discount=[[0.25], [0.0]]))
    assert outcome.expected_revenue[0, 0] == pytest.approx(40 * 0.7 * 3.0, rel=1e-5)
