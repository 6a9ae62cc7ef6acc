import numpy as np
import pytest
from repricer.optimum import exact_value, solve
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario
from repricer.tests.optimum.closed_forms import gallego_van_ryzin


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gallego-van-ryzin", "15.4464"),
        ("stationary-logit", "435.668"),
        ("low-before-high", "358.395"),
        ("regimes", "619.856"),
        ("scarce", "30.4538"),
    ],
)
def test_reference_values_and_the_policy_that_earns_them(make, name, value):
    spec = load_scenario(name) if name in ("gallego-van-ryzin", "stationary-logit") else make(name)
    optimum = solve(spec)
    assert optimum.method == "backward induction"
    assert f"{optimum.value:.{len(value.partition('.')[2])}f}" == value
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def prices(optimum):
    """(T, Z, S + 1) prices by period, regime and units on hand."""
    return optimum.policy.products[0].price[:, :, 0, :, 0]


def test_the_optimum_scales_with_the_unit_of_money(make):
    """A screw at cents is priced as finely as a machine at hundreds."""
    dear, cheap = (
        make("scarce", demand={"price_sensitivity": 1 / unit}, prices={"floor": 0.3 * unit, "ceiling": 6 * unit},
             products={"regular_price": 1.5 * unit})
        for unit in (1.0, 0.002)
    )  # fmt: skip
    assert solve(cheap).value / 0.002 == pytest.approx(solve(dear).value, rel=2e-5)


@pytest.mark.parametrize(("name", "price", "share"), [("low-before-high", 17, 0.811), ("regimes", 16, 0.834)])
def test_the_best_fixed_price(make, name, price, share):
    spec = make(name)
    values = {p: exact_value(spec, FixedPrice(p)) for p in range(price - 3, price + 4)}
    assert max(values, key=values.get) == price
    assert values[price] / solve(spec).value == pytest.approx(share, abs=5e-4)


def test_the_best_fixed_price_of_the_scarce_market(make):
    spec = make("scarce")
    values = {p: exact_value(spec, FixedPrice(p)) for p in np.arange(1.5, 1.8, 0.02)}
    assert max(values, key=values.get) == pytest.approx(1.66)
    assert max(values.values()) / solve(spec).value == pytest.approx(0.96567, abs=5e-6)


def test_the_best_pair_of_prices_by_regime(make, rule):
    spec = make("regimes")
    pair = rule(lambda view: np.array([11.0, 25.0])[view.regime][:, None])
    assert exact_value(spec, pair) / solve(spec).value == pytest.approx(0.969, abs=5e-4)


def test_the_myopic_price_path(make, rule):
    """5 while most are thrifty, then 25: the prices at which price times demand is highest."""
    spec = make("low-before-high")
    path = rule(lambda view: np.where(view.period < 20, 5.0, 25.0)[:, None])
    assert exact_value(spec, path) / solve(spec).value == pytest.approx(0.279, abs=5e-4)


def test_seen_regimes_are_worth_having(make, rule):
    """Whoever does not see the regime cannot earn the optimum of whoever does, and has no solver here."""
    hidden = make("regimes", regimes={"observed": False})
    assert solve(hidden) is None
    assert exact_value(hidden, FixedPrice(16.0)) == pytest.approx(exact_value(make("regimes"), FixedPrice(16.0)))
    seen = rule(lambda view: np.full((view.num_markets, 1), 16.0 if view.regime is None else 20.0))
    assert exact_value(hidden, seen) == pytest.approx(exact_value(hidden, FixedPrice(16.0)))


def test_one_regime_is_no_regime(make):
    plain = make("scarce")
    same = {"names": ["a", "b"], "transition": [[0.5, 0.5], [0.3, 0.7]], "initial": [0.4, 0.6]}
    assert solve(make("scarce", regimes=same)).value == pytest.approx(solve(plain).value, rel=1e-12)


@pytest.mark.parametrize(
    "stock",
    [{"salvage_value": 0.7}, {"salvage_value": -0.4}, {"holding_cost": 0.03}, {"lost_sale_cost": 0.5}],
)
def test_costs_and_salvage_reach_the_policy_as_they_reach_the_till(make, stock):
    spec = make("scarce", market={"objective": "profit"}, products={"unit_cost": 0.3}, stock=stock)
    optimum, plain = solve(spec), solve(make("scarce"))
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    assert optimum.value > exact_value(spec, plain.policy)


def test_unsold_units_bring_their_salvage_value(make):
    """Nobody comes, or nobody may buy for less than salvage brings: every unit is left."""
    spec = make("scarce", arrivals={"rate": 0.0}, stock={"salvage_value": 0.25}, market={"discount_factor": 0.9})
    assert solve(spec).value == pytest.approx(20 * 0.25 * 0.9**49)
    dear = make("scarce", stock={"salvage_value": 100.0})
    assert prices(solve(dear))[:, 0, 1:].min() == pytest.approx(5.0)


def test_a_season_as_long_as_the_episode_is_the_episode(make):
    spec = make("scarce", stock={"season_periods": 50})
    assert solve(spec).value == solve(make("scarce")).value
    assert exact_value(spec, FixedPrice(1.5)) == exact_value(make("scarce"), FixedPrice(1.5))


def test_a_market_that_goes_on_is_the_limit_of_long_seasons(make):
    endless = make("scarce", market={"ending": "truncated", "discount_factor": 0.8})
    optimum = solve(endless)
    assert optimum.method == "value iteration"
    assert len(prices(optimum)) == 1
    assert exact_value(endless, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    season = make("scarce", market={"horizon_periods": 100, "discount_factor": 0.8})
    assert solve(season).value == pytest.approx(optimum.value, rel=1e-8)


def test_at_most_one_customer_a_period_sells_at_most_one_unit(make):
    """By hand, two periods and one unit: the price 1 in the last, 1 + e^-1 before."""
    single = make(
        None,
        market={"horizon_periods": 2},
        arrivals={"process": "single"},
        stock={"initial_units": 1},
        prices={"floor": 0.25, "ceiling": 4},
    )
    optimum, last = solve(single), np.exp(-1)
    assert optimum.value == pytest.approx(last + np.exp(-1 - last), rel=1e-5)
    assert prices(optimum)[:, 0, 1] == pytest.approx([1 + last, 1], abs=0.0013)
    assert exact_value(single, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


def test_ticks_are_the_prices(make):
    spec = make("scarce", prices={"tick": 0.5, "floor": 0.3})
    table = prices(solve(spec))
    assert set(np.unique(table)) <= set(np.arange(0.5, 5.1, 0.5))
    assert exact_value(spec, solve(spec).policy) == pytest.approx(solve(spec).value, rel=1e-7)


GALLEGO_VAN_RYZIN = [
    (5, 5, 4.5154, 1.3353, 5.0, 1.317, 0.9776),
    (10, 10, 9.4605, 1.2415, 10.0, 1.264, 0.9805),
    (20, 1, 3.0445, 4.0445, 3.9957, 3.282, 0.9381),
    (20, 10, 15.4729, 1.7721, 16.9315, 1.738, 0.9588),
    (50, 40, 47.5474, 1.2874, 48.9257, 1.331, 0.9797),
]


@pytest.mark.parametrize(("x", "n", "value", "price", "bound", "fixed", "share"), GALLEGO_VAN_RYZIN)
def test_the_closed_form(make, x, n, value, price, bound, fixed, share):
    form = gallego_van_ryzin(n, x)
    assert form == pytest.approx((value, price, bound), abs=6e-5)
    assert gallego_van_ryzin(n, x, scale=3.0) == pytest.approx(3 * np.array(form))
    # With one price all the time there is nothing to decide in between: one long period is continuous time.
    spec = make(
        None,
        market={"horizon_periods": 1},
        arrivals={"rate": x * np.e},
        stock={"initial_units": n},
        prices={"floor": 0.5, "ceiling": 5, "tick": 0.001},
    )
    best = solve(spec)
    assert prices(best)[0, 0, n] == pytest.approx(fixed, abs=1.1e-3)
    assert best.value / form.value == pytest.approx(share, abs=6e-5)


def test_many_short_periods_come_near_the_closed_form(make):
    gaps = []
    for periods in (50, 200):
        spec = make(
            None,
            market={"horizon_periods": periods},
            arrivals={"rate": 20 * np.e / periods},
            stock={"initial_units": 10},
            prices={"floor": 0.5, "ceiling": 6},
        )
        gaps.append(gallego_van_ryzin(10, 20).value - solve(spec).value)
    assert gaps[0] > 3 * gaps[1] > 0
