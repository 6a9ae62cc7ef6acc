from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed, myopic
from repricer.envs import rollout
from repricer.optimum import certainty_equivalent, exact_value, solve, upper_bound
from repricer.optimum.fluid_policy import fluid_prices
from repricer.pricing import CostPlus, FixedPrice
from repricer.scenarios import load_scenario, registered
from repricer.scenarios.sections import Posterior
from repricer.tests.optimum.closed_forms import gallego_van_ryzin


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gallego-van-ryzin", "16.93"),
        ("stationary-logit", "445.58"),
        ("low-before-high", "385.64"),
        ("three-stocks", "306.57"),
        ("demand-learning", "10100.0"),
    ],
)
def test_reference_bounds(name, value):
    bound = upper_bound(load_scenario(name))
    assert f"{bound.value:.{len(value.partition('.')[2])}f}" == value
    assert bound.method == "fluid bound"


@pytest.mark.parametrize(("x", "n"), [(5, 5), (20, 10), (50, 40), (3, 10)])
def test_the_closed_form(make, x, n):
    spec = make(
        None,
        market={"horizon_periods": 20},
        arrivals={"rate": x * np.e / 20},
        stock={"initial_units": n},
        prices={"floor": 0.05, "ceiling": 8},
    )
    assert upper_bound(spec).value == pytest.approx(gallego_van_ryzin(n, x).bound, rel=1e-6)


@pytest.mark.parametrize("name", list(registered()))
def test_every_market_has_a_bound_and_no_optimum_exceeds_it(name):
    spec = load_scenario(name)
    bound, optimum = upper_bound(spec), solve(spec)
    assert bound is not None
    if optimum is not None:
        assert optimum.value <= bound.value * (1 + 1e-9)


def test_stock_left_where_the_market_goes_on_has_no_salvage_value(make):
    rest = {"initial_units": 20, "salvage_value": -3}
    bound = upper_bound(make(None, market={"ending": "truncated"}, stock=rest, prices={"floor": 0.5, "ceiling": 4}))
    free = upper_bound(make(None, stock=rest | {"salvage_value": 0}, prices={"floor": 0.5, "ceiling": 4}))
    assert bound.value == pytest.approx(free.value)


@pytest.mark.parametrize("name", ["equal-markup", "segment-prices", "calvano-duopoly", "nested-logit", "three-nests"])
def test_without_stock_limits_and_memory_the_bound_is_the_optimum(name):
    spec = load_scenario(name)
    assert upper_bound(spec).value == pytest.approx(solve(spec).value, rel=1e-6)


@pytest.mark.parametrize(
    "stock",
    [
        {"salvage_value": 0.7},
        {"salvage_value": -0.4},
        {"holding_cost": 0.03},
        {"lost_sale_cost": 0.5},
        {"season_periods": 25},
    ],
)
@pytest.mark.parametrize("discount", [1.0, 0.97])
def test_costs_salvage_and_discounting_keep_the_bound_above(make, stock, discount):
    spec = make(
        "scarce",
        market={"objective": "profit", "discount_factor": discount},
        products={"unit_cost": 0.3},
        stock=stock,
    )
    half = make(
        "scarce",
        market={"objective": "profit", "discount_factor": discount, "horizon_periods": 25},
        products={"unit_cost": 0.3},
        stock={**stock, "season_periods": None},
    )
    bound = upper_bound(spec).value
    if "season_periods" in stock:
        assert bound == pytest.approx(upper_bound(half).value * (1 + discount**25), rel=1e-6)
        return
    value = solve(spec).value
    assert value < bound < 1.3 * value


@pytest.mark.parametrize("step", [0.25, 2.0, 7.0])
def test_discounts_reach_the_prices_between_the_steps_of_a_grid(make, step):
    prices = {"floor": 1, "ceiling": 60, "tick": step, "max_discount": 0.9}
    spec = make("two-segments", prices=prices, demand={"family": "exponential", "quality": 0.0})
    assert solve(spec).value <= upper_bound(spec).value * (1 + 1e-6)


@pytest.mark.parametrize(
    ("family", "quality", "sensitivity"),
    [
        ("exponential", [2.5, 1.0, 0.2], [0.9, 0.05, 0.02]),
        ("linear", [2.0, 3.0, 0.9], [0.15, 0.5, 0.007]),
        ("constant-elasticity", [1.0, 4.0, -0.5], [3.0, 1.7, 1.2]),
    ],
)
def test_no_price_between_those_of_a_grid_earns_more(make, family, quality, sensitivity):
    """Most earn most at the highest price at which everybody buys."""
    three = {"names": list("abc"), "category": list("abc"), "regular_price": 20.0}
    spec = make(
        None,
        products=three,
        arrivals={"rate": [5.0, 3.0, 8.0]},
        demand={"family": family, "quality": quality, "price_sensitivity": sensitivity},
        stock={"initial_units": float("inf")},
        prices={"floor": 0.3, "ceiling": 150},
    )
    best, bound = solve(spec).value, upper_bound(spec).value
    assert best * (1 - 1e-12) <= bound <= best * (1 + 1e-6)


def test_the_bound_grants_a_price_just_below_a_rivals(make):
    rival = {"rule": ["fixed"], "regular_price": 33.333, "answers_within_period": False}
    spec = make("undercutter", competitors=rival)
    spec = spec.with_changes(prices={"price_ladder": None, "floor": 1.0, "ceiling": 100.0})
    assert exact_value(spec, FixedPrice(33.3329)) <= upper_bound(spec).value


def test_a_customer_comes_in_each_half_of_a_period_with_a_rival_who_answers(make):
    """Who charges 50 beside a rival at 100 sells to each with probability one half."""
    spec = make("undercutter", competitors={"rule": ["fixed"], "regular_price": 100.0})
    assert exact_value(spec, FixedPrice(50.0)) == pytest.approx(50 / 0.01)
    assert upper_bound(spec).value == pytest.approx(50 / 0.01)


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"demand": {"quality": 1000.0}}, 3 * 0.8 * 100),
        ({"market": {"horizon_periods": 3, "discount_factor": 0.0}, "demand": {"quality": 1000.0}}, 0.8 * 100),
        ({"returns": {"probability": 1.0}}, 0.0),
    ],
    ids=["everybody-buys", "only-the-first-period-counts", "everything-comes-back"],
)
def test_the_bound_at_the_ends_of_what_is_allowed(make, changes, most):
    table = {"market": {"horizon_periods": 3}, "stock": {"initial_units": float("inf")}} | changes
    assert upper_bound(make("three-stocks", **table)).value == pytest.approx(most, abs=1e-6)


def shops():
    """Small shops, each with a part of the market on that the bound has to grant."""
    yield "plain", {}
    yield "stocking up", {"reference_price": {"units_gain": 0.6, "units_loss": [0.5, 1.0, 0.2]}}
    yield "saturating", {"reference_price": {"units_gain": 0.6, "units_loss": [0.5, 1.0, 0.2], "scale": "saturating"}}
    yield "by currency", {"reference_price": {"units_gain": [0.15, 0.1, 0.2], "units_loss": 0.1, "scale": "linear"}}
    yield "loyal", {"loyalty": {"memory": 0.8, "price_effect": 1.0, "stockout_effect": 0.5}}
    yield "waiting", {"strategic": {"share": [0.3, 0.6], "patience": 0.9}}
    yield "promoted", {"promotion": {"lift": 0.5, "max_products": 1}}
    yield "returned", {"returns": {"probability": 0.2, "handling_cost": 0.3}}
    yield (
        "seasonal",
        {"stock": {"replenishment": "none", "initial_units": 40, "season_periods": 4, "salvage_value": 0.5}},
    )
    yield (
        "rival",
        {
            "competitors": {
                "names": ["r"],
                "regular_price": 3.0,
                "quality": 3.0,
                "price_sensitivity": 0.8,
                "rule": "undercut:0.1",
                "floor": 1.0,
                "ceiling": 6.0,
            }
        },
    )
    yield (
        "moody",
        {
            "regimes": {
                "names": ["low", "high"],
                "transition": [[0.7, 0.3], [0.4, 0.6]],
                "initial": [1, 0],
                "utility": [-0.5, 0.5],
                "arrivals": [0.8, 1.3],
            }
        },
    )


@pytest.mark.usefixtures("short_search")
@pytest.mark.parametrize(("part", "changes"), list(shops()), ids=[name for name, _ in shops()])
def test_nobody_earns_more_in_a_shop_with_everything_on(make_shop, rule, part, changes):
    spec = make_shop(**changes)
    deals = spec.products.regular_price * np.array([[1.1], [0.8]])
    bound = upper_bound(spec).value
    policies = [best_fixed(spec), myopic(spec), CostPlus(0.4), FixedPrice(spec.guardrails.low)]
    policies.append(rule(lambda view: deals[view.period % 2]))
    earned = [rollout(spec, policy, episodes=300, seed=5).objective for policy in policies]
    best = max(money.mean() for money in earned)
    # What is granted is much, but not without measure.
    assert 0.2 * bound < best < bound


def test_the_bound_of_waiting_customers_grants_the_second_try(make_shop):
    """A second try is worth something where the later period is the better one, and no more than if all came twice."""

    def bound(share, season):
        return upper_bound(make_shop(strategic={"share": share, "patience": 0.9}, demand={"season": season})).value

    rising = np.linspace(0, 2, 8)[:, None].tolist()
    plain, some, all_of_them = (bound(share, rising) for share in (0.0, 0.5, 1.0))
    assert plain == pytest.approx(upper_bound(make_shop(demand={"season": rising})).value)
    assert plain < some < all_of_them < 2 * plain
    assert bound(1.0, 0.0) == pytest.approx(bound(0.0, 0.0))


def test_a_choice_model_that_is_not_known_has_no_bound(make):
    two = {"products": {"names": ["a", "b"], "regular_price": 1.5}, "demand": {"family": "cheapest", "quality": 1.0}}
    assert upper_bound(make(None, **two)) is None


class TestCertaintyEquivalent:
    def test_reference_value(self):
        """I9: the fluid price solved again every period."""
        spec = load_scenario("scarce")
        value = exact_value(spec, certainty_equivalent(spec))
        assert value / solve(spec).value == pytest.approx(0.9927, abs=5e-5)

    def test_with_ample_stock_it_is_the_myopic_price(self):
        spec = load_scenario("scarce").with_changes(stock={"initial_units": np.array([400.0])})
        assert certainty_equivalent(spec).tables[0][:, :, 100:] == pytest.approx(1.0, abs=2e-3)

    def test_the_price_at_which_the_mean_demand_is_the_stock(self):
        """Exponential demand: log of (customers left / units left), or 1 where that is less."""
        spec = load_scenario("scarce")
        table = certainty_equivalent(spec).tables[0][:, 0, :, 0]
        left, units = np.arange(50, 0, -1)[:, None], np.arange(1, 21)
        np.testing.assert_allclose(table[:, 1:], np.clip(np.log(2 * left / units), 1, 5), atol=4e-3)

    def test_several_products(self, make):
        spec = make("three-stocks", market={"horizon_periods": 12}, stock={"initial_units": 3})
        policy = certainty_equivalent(spec)
        prices = fluid_prices(spec, np.array([[5.0, 5, 5], [5, 0, 2], [1, 1, 1]]), np.array([40.0, 10, 0.5]))
        customer = np.exp(spec.demand.quality[0] - 0.25 * prices)
        customer[1, 1] = 0
        wanted = np.array([40.0, 10, 0.5])[:, None] * customer / (1 + customer.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(wanted[0], 5, rtol=1e-6)
        assert prices[2] == pytest.approx(prices[2, 0])  # plenty for all: the equal mark-up
        money = rollout(spec, policy, episodes=1000, seed=3).objective.mean()
        assert money > 0.98 * solve(spec).value

    def test_several_products_on_a_ladder(self, make):
        """Prices are found between its steps, where the search comes to an end."""
        few = {"market": {"horizon_periods": 14}, "stock": {"initial_units": 3}}
        spec = make("three-stocks", **few, prices={"price_ladder": [10.0, 16.0, 22.0, 30.0]})
        assert exact_value(spec, certainty_equivalent(spec)) > 0.98 * solve(spec).value

    @pytest.mark.parametrize(
        ("changes", "least"),
        [
            # The mean demand of a step of the ladder meets no stock exactly.
            (
                {
                    "market": {"horizon_periods": 14},
                    "stock": {"initial_units": 3},
                    "prices": {"price_ladder": {"start": 10, "stop": 40, "step": 3}},
                },
                0.98,
            ),
        ],
    )
    @pytest.mark.usefixtures("short_search")
    def test_several_products_of_other_choice_models(self, make, changes, least):
        spec = make("three-stocks", **changes)
        money = rollout(spec, certainty_equivalent(spec), episodes=1000, seed=3, expected=True).objective.mean()
        assert money > least * solve(spec).value
        assert money > rollout(spec, best_fixed(spec), episodes=1000, seed=3, expected=True).objective.mean()

    def test_no_policy_without_stock_to_mind(self, shop):
        assert certainty_equivalent(shop) is None
        assert certainty_equivalent(load_scenario("equal-markup")) is None

    @pytest.mark.parametrize(
        "stock", [{"salvage_value": 0.7}, {"salvage_value": -0.4}, {"holding_cost": 0.03}, {"lost_sale_cost": 0.5}]
    )
    def test_costs_and_salvage_move_its_prices(self, make, stock):
        """It earns nearly the optimum, and more than one that does not know of what leaves a unit's worth to later."""
        changes = {"market": {"objective": "profit", "discount_factor": 0.98}, "products": {"unit_cost": 0.3}}
        spec = make("scarce", **changes, stock=stock)
        value = exact_value(spec, certainty_equivalent(spec))
        assert value > 0.93 * solve(spec).value
        if stock in ({"salvage_value": 0.7}, {"holding_cost": 0.03}):
            assert value > exact_value(spec, certainty_equivalent(make("scarce", **changes)))


def test_with_a_posterior_it_is_the_mean_over_the_draws():
    spec = load_scenario("gallego-van-ryzin")
    generator = np.random.default_rng(0)
    parts = {"arrivals": generator.uniform(0.5, 1.5, (6, 1, 1)), "sensitivity": generator.uniform(0.7, 1.3, (6, 1))}
    spec = replace(spec, posterior=Posterior(draws=6, **parts))
    bound = upper_bound(spec)
    assert bound.value == pytest.approx(np.mean([upper_bound(spec.draw(m)).value for m in range(6)]))
    assert bound.method == "fluid bound, mean over 6 of 6 posterior draws, each known"
    best = best_fixed(spec)
    earned = [exact_value(spec.draw(m), best, assumed=spec) for m in range(6)]
    assert 0.8 * bound.value < np.mean(earned) < bound.value
    # Neither the exact optimum of the mean market nor the value of a policy in it is the one under uncertainty.
    assert solve(spec) is None
    assert exact_value(spec, best) is None


def test_regimes_that_get_better_after_the_episode_are_in_the_bound_of_an_infinite_horizon(make):
    regimes = {"names": ["bad", "good"], "transition": [[0.5, 0.5], [0, 1]], "initial": [1, 0], "arrivals": [0.1, 1.0]}
    spec = make(
        None,
        market={"horizon_periods": 2, "ending": "truncated", "discount_factor": 0.9},
        regimes=regimes,
        prices={"floor": 0.5, "ceiling": 5},
    )
    value = exact_value(spec, FixedPrice(1.0))
    assert value <= upper_bound(spec).value <= value * (1 + 1e-4)


def test_a_backlog_without_orders_has_no_bound_where_units_left_have_a_value(make):
    stock = {"initial_units": 50, "shortage": "backlog", "salvage_value": 5.0}
    assert upper_bound(make(None, stock=stock)) is None
