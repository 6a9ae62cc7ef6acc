import numpy as np
import pytest
from repricer.agents import best_fixed, myopic
from repricer.envs import Market, rollout, seed_for
from repricer.evaluation import exact_value, solve
from repricer.pricing import Action, FixedPrice
from repricer.scenarios import load_scenario, spec_from_table
from scipy.special import lambertw


@pytest.mark.parametrize(
    ("name", "price", "share"), [("gallego-van-ryzin", 1.7, 0.959), ("stationary-logit", 11.0, 0.972)]
)
def test_best_fixed_price_of_the_references(name, price, share):
    spec = load_scenario(name)
    fixed = best_fixed(spec)
    assert fixed.price[0] == pytest.approx(price)
    assert exact_value(spec, fixed) / solve(spec).value == pytest.approx(share, abs=5e-4)


def test_myopic_price_of_the_references():
    spec = load_scenario("stationary-logit")
    assert exact_value(spec, myopic(spec)) / solve(spec).value == pytest.approx(0.735, abs=5e-4)


def mnl_shop(b: list[float]) -> dict:
    return {
        "name": "mnl",
        "version": 1,
        "market": {"horizon_periods": 2, "objective": "profit"},
        "products": {"names": ["a", "b", "c"], "regular_price": [15.0, 15.0, 15.0], "unit_cost": [3.0, 2.0, 1.0]},
        "arrivals": {"rate": 1.0},
        "demand": {"quality": [[4.0, 3.5, 3.0]], "price_sensitivity": [b]},
        "prices": {"floor": 5.0, "ceiling": 30.0},
    }


def test_myopic_finds_the_equal_markup_of_the_logit():
    """One period's optimum without stock limits: markup (1 + W) / b, W Lambert's function of sum e^(a - b c - 1)."""
    spec = spec_from_table(mnl_shop([0.25, 0.25, 0.25]))
    cost = np.array([3.0, 2.0, 1.0])
    w = lambertw(np.exp(np.array([4, 3.5, 3]) - 0.25 * cost - 1).sum()).real
    assert (1 + w) / 0.25 == pytest.approx(13.1622, abs=1e-4)
    # The search's grid is 4.6% wide.
    np.testing.assert_allclose(myopic(spec).path[0] - cost, (1 + w) / 0.25, rtol=0.05)


def test_cross_entropy_finds_the_closed_form_too():
    spec = spec_from_table(mnl_shop([0.25, 0.35, 0.5]))
    profit = 7.428083
    exact = np.array([3.0, 2.0, 1.0]) + 1 / np.array([0.25, 0.35, 0.5]) + profit
    found = best_fixed(spec)
    np.testing.assert_allclose(found.price, exact, rtol=0.05)
    earned = rollout(spec, found, episodes=64, seed=seed_for("tuning"), expected=True).objective.mean() / 2
    assert earned == pytest.approx(profit, rel=2e-3)


def test_best_fixed_beats_its_neighbours_on_the_small_shop(shop):
    found = best_fixed(shop)
    again = best_fixed(shop)
    np.testing.assert_array_equal(found.price, again.price)

    def value(price):
        return rollout(shop, FixedPrice(price), episodes=400, seed=seed_for("tuning"), expected=True).objective.mean()

    best = value(found.price)
    for factor in (0.85, 1.15):
        assert value(found.price * np.float32(factor)) < best


@pytest.mark.parametrize("replenishment", ["none", "action"])
@pytest.mark.parametrize(("sensitivity", "best"), [(1e-3, -1), (20.0, 0)])
@pytest.mark.parametrize(
    "ladder",
    [[0.99, 1.99, 2.99, 3.99, 4.99], load_scenario("calvano-duopoly").prices.price_ladder.steps.tolist()],
    ids=["endings", "calvano"],
)
def test_best_fixed_tries_both_ends_of_a_ladder(ladder, sensitivity, best, replenishment):
    """Bounds are single precision, and .99 or 1.970186 is then another number than the step of that price."""
    spec = spec_from_table(
        {
            "name": "ladder",
            "version": 1,
            "market": {"horizon_periods": 3},
            "products": {"names": ["a"], "regular_price": ladder[2], "unit_cost": 0.1},
            "arrivals": {"rate": 5.0},
            "stock": {"replenishment": replenishment, "max_order_units": 50, "initial_units": 50},
            "demand": {"quality": 2.0, "price_sensitivity": sensitivity},
            "prices": {"price_ladder": ladder},
        }
    )
    assert best_fixed(spec).price[0] == np.float32(ladder[best])


@pytest.mark.parametrize(
    "part",
    [
        {"returns": {"probability": 0.4, "handling_cost": 6.0}},
        {"recommendation": {"lift": 2.0, "candidates": [[1, 0, 0]]}},
    ],
)
def test_myopic_prices_know_returns_and_what_the_recommender_shows(part):
    """No prices of the ladder earns more in the first period of the simulated market."""
    table = mnl_shop([0.4, 0.4, 0.4]) | part
    table["prices"] = {"price_ladder": {"start": 4, "stop": 20, "step": 1}}
    spec = spec_from_table(table)
    steps = spec.guardrails.allowed_prices()
    every = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3).astype(np.float32)
    tried = np.vstack([myopic(spec).path[:1], every])
    money = Market(spec, num_markets=len(tried)).step(Action(tried)).expected_profit.sum(axis=1)
    assert money[0] == pytest.approx(money.max(), rel=1e-6)
