from functools import cache
from itertools import product

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.optimum import exact_value, solve, upper_bound
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario
from scipy.stats import nbinom, poisson


def test_reference_value_and_the_policy_that_earns_it(make):
    spec = make("three-stocks")
    optimum = solve(spec)
    assert optimum.value == pytest.approx(282.498, abs=5e-4)
    assert optimum.method == "backward induction"
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)


@pytest.mark.parametrize(("price", "share"), [((21.03, 19.17, 17.34), 0.956), ((14.7621,) * 3, 0.783)])
def test_fixed_prices_the_best_and_the_myopic(make, price, share):
    spec = make("three-stocks")
    fixed = FixedPrice(np.array(price, np.float32))
    assert exact_value(spec, fixed) / solve(spec).value == pytest.approx(share, abs=5e-4)


def test_a_scarcer_stock_is_dearer_and_time_makes_it_cheaper(make):
    policy = solve(make("three-stocks")).policy
    table = policy.table.reshape(50, *policy.shape, 3)
    assert (np.diff(table[0, 1:, 5, 5, 0]) < 0).all()
    assert (np.diff(table[:, 5, 5, 5, 0]) < 1e-5).all()
    # A sold-out product sends its customers to the others, whose units are then worth more.
    assert table[0, 5, 0, 5, 0] > table[0, 5, 5, 5, 0]


def test_no_other_prices_do_better_anywhere(make, rule):
    """The optimum's own prices, pushed about in one state, earn less: the states' prices are all at their best."""
    spec = make("three-stocks", market={"horizon_periods": 12}, stock={"initial_units": [2, 1, 2]})
    optimum = solve(spec)
    generator = np.random.default_rng(3)
    for _ in range(20):
        push = generator.normal(0, 1, 3)
        state, period = generator.integers(0, [3, 2, 3]), generator.integers(12)

        def price(view, push=push, state=state, period=period):
            here = (view.on_hand == state).all(axis=1) & (view.period == period)
            return optimum.policy.act(view).price + here[:, None] * push

        assert exact_value(spec, rule(price)) <= optimum.value * (1 + 1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"prices": {"floor": [10, 20, 1], "ceiling": [20, 30, 100]}},
        {"prices": {"price_ladder": {"start": 1, "stop": 60, "step": 1}}},
        {"demand": {"price_sensitivity": [0.2, 0.25, 0.4]}, "stock": {"initial_units": [3, 0, 7]}},
        {
            "market": {"objective": "profit"},
            "products": {"unit_cost": [3, 2, 1]},
            "stock": {"salvage_value": [2, 0, 9]},
        },
        {"market": {"ending": "truncated", "discount_factor": 0.95}},
        {"demand": {"season": [0.0] * 25 + [1.0] * 25}, "arrivals": {"rate": [0.4] * 10 + [0.9] * 40}},
    ],
)
def test_bounds_ladders_costs_and_calendars(make, changes):
    spec = make("three-stocks", **changes)
    optimum = solve(spec)
    assert exact_value(spec, optimum.policy) == pytest.approx(optimum.value, rel=1e-7)
    regular = exact_value(spec, FixedPrice(spec.products.regular_price.astype(np.float32)))
    assert regular < optimum.value


def test_a_ladder_costs_little_and_gains_nothing(make):
    free = solve(make("three-stocks")).value
    ladder = solve(make("three-stocks", prices={"price_ladder": {"start": 1, "stop": 100, "step": 0.5}})).value
    assert 0.999 * free < ladder < free


def test_too_many_states_have_no_solver(make):
    assert solve(make("three-stocks", stock={"initial_units": 60})) is None


def test_a_resource_for_each_product_is_a_stock(make):
    """The same market, once with five units of each product and once with five units of what each uses."""
    own = make("three-stocks")
    shared = {"names": ["x", "y", "z"], "units": 5, "use": np.eye(3).tolist()}
    resources = make("three-stocks", stock={"initial_units": np.inf}, capacity=shared)
    assert solve(resources).value == pytest.approx(solve(own).value, rel=1e-12)
    assert upper_bound(resources).value == pytest.approx(upper_bound(own).value, rel=1e-5)
    for added, sign in ((2, 1), (-2, -1)):
        plan = np.zeros((50, 3))
        plan[25] = added
        moved = make("three-stocks", stock={"initial_units": np.inf}, capacity={**shared, "added": plan.tolist()})
        assert sign * (solve(moved).value - solve(own).value) > 1


@pytest.mark.parametrize("name", ["network", "added-capacity"])
def test_the_market_pays_what_shared_capacity_is_worth(name):
    spec = load_scenario(name)
    optimum = solve(spec)
    money = rollout(spec, optimum.policy, episodes=4000, seed=2).objective
    assert abs(money.mean() - optimum.value) < 4 * money.std() / np.sqrt(money.size)
    assert money.std() / np.sqrt(money.size) < 0.005 * optimum.value


STEPS, QUALITY, STEEP = (2.0, 3.0, 5.0), np.array([[1.5, 1.0], [2.5, 2.0]]), np.array([[0.6, 0.5], [0.2, 0.25]])


def mean_demand(price, there, rate, nesting):
    """Of two products, by two segments of a logit with one nest."""
    pull = np.exp((QUALITY - STEEP * np.array(price)) / (1 - nesting)) * there
    inside = pull.sum(axis=1, keepdims=True)
    shares = pull * np.where(inside > 0, np.maximum(inside, 1e-300) ** -nesting, 0.0)
    return rate * np.array([0.4, 0.6]) @ (shares / (1 + shares.sum(axis=1, keepdims=True)))


def chances(rate, units, overdispersion):
    """Of each number of units sold."""
    mass = poisson.pmf(np.arange(units), rate)
    if overdispersion:
        mass = nbinom.pmf(np.arange(units), 1 / overdispersion, 1 / (1 + overdispersion * rate))
    return np.append(mass, 1 - mass.sum())


@pytest.mark.parametrize("family", ["mnl", "nested-logit"])
@pytest.mark.parametrize("overdispersion", [0.0, 0.4])
def test_many_customers_a_period_choose_among_stocks_on_a_ladder(make, family, overdispersion):
    """Against every pair of demands."""
    nesting = {"nesting": 0.4} if family == "nested-logit" else {}
    spec = make(
        None,
        market={"horizon_periods": 3, "discount_factor": 0.9, "objective": "profit"},
        products={"names": ["a", "b"], "category": ["x", "x"], "regular_price": 3.0, "unit_cost": [0.5, 0.2]},
        arrivals={
            "rate": [3.0, 5.0, 2.0],
            "overdispersion": overdispersion,
            "segments": ["s", "t"],
            "segment_share": [[0.4, 0.6]],
        },
        demand={"family": family, "quality": QUALITY.tolist(), "price_sensitivity": STEEP.tolist(), **nesting},
        stock={"initial_units": [3, 2], "salvage_value": [0.0, 0.3]},
        prices={"price_ladder": list(STEPS)},
    )

    @cache
    def value(t, left):
        if t == 3:
            return 0.3 * left[1]
        discount, best = (0.9 if t < 2 else 1.0), -np.inf
        for price in product(STEPS, repeat=2):
            means = mean_demand(price, np.array(left) > 0, [3.0, 5.0, 2.0][t], nesting.get("nesting", 0.0))
            first, second = (chances(rate, units, overdispersion) for rate, units in zip(means, left, strict=True))
            money = sum(
                p
                * q
                * (i * (price[0] - 0.5) + j * (price[1] - 0.2) + discount * value(t + 1, (left[0] - i, left[1] - j)))
                for i, p in enumerate(first)
                for j, q in enumerate(second)
            )
            best = max(best, money)
        return best

    optimum = solve(spec)
    assert optimum.value == pytest.approx(value(0, (3, 2)), rel=1e-9)
    money = rollout(spec, optimum.policy, episodes=20_000, seed=0, expected=True).objective
    assert abs(money.mean() - optimum.value) < 4 * money.std() / money.size**0.5
    assert optimum.value <= upper_bound(spec).value


def test_many_customers_of_a_market_that_goes_on(make):
    """Its value is the limit of long seasons."""
    ladder = {"prices": {"price_ladder": [2.0, 4.0, 8.0]}, "arrivals": {"process": "poisson", "rate": 1.5}}
    market = {"discount_factor": 0.8, "ending": "truncated"}
    goes_on = make("three-stocks", market=market, stock={"initial_units": 2}, **ladder)
    season = make(
        "three-stocks",
        market=market | {"ending": "terminated", "horizon_periods": 60},
        stock={"initial_units": 2},
        **ladder,
    )
    assert solve(goes_on).value == pytest.approx(solve(season).value, rel=1e-5)
