"""A plan of one regular price a product and the shop's deals: what it may do, and that it keeps a floor on profit."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.agents.posterior.best_plan import best_plan, plan_multiplier
from repricer.agents.posterior.deals import Plan, PlanValue, own_plan, plan_policies
from repricer.agents.posterior.money import PosteriorMoney, draws_of
from repricer.agents.posterior.prices import current_prices
from repricer.envs import rollout
from repricer.scenarios import MarketSpec, floor_market, spec_from_table
from repricer.scenarios.sections import Posterior, RecommendationSection
from repricer.scenarios.shop_sections import PastSection, PlanSection

PERIODS, REGULAR = 8, np.array([2.0, 3.0, 4.0])


def shop(elasticity: float, *, spread: float = 0.1, objective: str = "profit", **changes) -> MarketSpec:
    """Three substitutes over eight weeks, the second on deal in two of them."""
    table = {
        "name": "shop",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "period": "week", "objective": objective},
        "products": {"names": list("abc"), "regular_price": REGULAR, "unit_cost": 0.5 * REGULAR},
        "arrivals": {"rate": 2000.0},
        "demand": {"quality": [[1.5, 1.5, 1.5]], "price_sensitivity": [elasticity / REGULAR]},
        "prices": {"floor": 0.6 * REGULAR, "ceiling": 1.3 * REGULAR, "tick": 0.01},
        "reference_price": {"memory": 0.6, "gain": 3.0, "loss": 0.0, "units_gain": 0.5, "units_loss": 0.5},
    }
    price = np.tile(REGULAR, (PERIODS, 1))
    price[2:4, 1] = 2.4
    past = PastSection(charged_low=[1.8, 2.2, 3.6], charged_high=[2.1, 3.1, 4.2])
    rng = np.random.default_rng(5)
    draws = 16
    posterior = Posterior(draws=draws, reference_gain=rng.normal(0, spread, (draws, 3)))
    spec = replace(spec_from_table(table), plan=PlanSection(price=price), past=past, posterior=posterior)
    return spec.with_changes(**changes)


def regular_prices(spec: MarketSpec, plan) -> np.ndarray:
    """(N,) the one price of each product in its weeks without a deal."""
    found = [np.unique(plan.path[~plan.deal[:, n], n]) for n in range(3)]
    assert all(each.size == 1 for each in found)
    return np.concatenate(found)


@pytest.mark.parametrize("elasticity", [1.2, 6.0])
def test_a_product_has_one_regular_price_within_the_rules_and_deals_within_what_was_charged(elasticity):
    spec = shop(elasticity)
    plan = best_plan(spec)
    regular = regular_prices(spec, plan)
    assert ((regular >= 0.6 * REGULAR - 1e-6) & (regular <= 1.3 * REGULAR + 1e-6)).all()
    on_deal = plan.path[plan.deal[:, 1], 1]
    assert (on_deal >= 2.2 - 1e-6).all()
    assert not plan.deal[:, [0, 2]].any(), "the shop plans no deals of these"


@pytest.mark.parametrize("elasticity", [1.2, 9.0])
def test_near_the_shops_prices_the_plan_is_what_the_price_rules_allow(elasticity):
    """5% more than 1.79 is 1.8795, which is no 1.88: what was searched was not what was charged."""
    odd = np.array([1.79, 2.99, 3.99])
    price = np.tile(odd, (PERIODS, 1))
    price[2:4, 1] = 2.39
    spec = shop(elasticity).with_changes(
        products={"regular_price": odd}, plan={"price": price}, prices={"max_step": 0.05}
    )
    plan = best_plan(spec)
    assert (plan.path != price).any()
    charged = rollout(spec, plan, episodes=1, seed=0).price_path
    np.testing.assert_allclose(charged, plan.path, rtol=1e-6)


def test_dear_prices_where_customers_hardly_mind_and_cheap_ones_where_they_do():
    dear, cheap = (regular_prices(spec, best_plan(spec)) for spec in (shop(1.2), shop(9.0)))
    assert (dear > 1.1 * REGULAR).all()
    assert (cheap < REGULAR).all()


def test_what_follows_the_plan_stays_in_every_search_and_counts_at_the_prices_of_the_plan():
    spec = shop(6.0).with_changes(prices={"frozen": ("b",), "frozen_as_planned": True})
    own = spec.plan.price[:, 1]
    plan = best_plan(spec)
    np.testing.assert_allclose(plan.path[:, 1], own)
    assert (plan.path[0, [0, 2]] < REGULAR[[0, 2]]).all()
    fixed = best_fixed(spec)
    run = rollout(spec, fixed, episodes=1, seed=0, expected=True)
    np.testing.assert_allclose(run.price_path[:, 1], own, rtol=1e-6)
    # The closed form of the search is what the market earns: with the deal, at its price.
    money = PosteriorMoney(spec, draws_of(spec))
    drawn = [rollout(spec.draw(m), fixed, episodes=1, seed=0, expected=True, assumed=spec) for m in range(4)]
    earned = [float(one.objective.mean()) for one in drawn]
    np.testing.assert_allclose(money.by_draw(fixed.price.astype(float))[:4], earned, rtol=1e-4)
    for policy in plan_policies(spec).values():
        np.testing.assert_allclose(policy.path[:, 1], own, rtol=1e-6)


def test_a_deal_that_is_made_deeper_is_worth_its_uncertainty():
    """The mean response to deals is the same: where it is not known, a deal gets no deeper than the shop's, .6 below 3."""
    known, unknown = (best_plan(shop(4.0, spread=spread)) for spread in (0.0, 2.5))
    depth = [
        1 - plan.path[plan.deal[:, 1], 1].min() / plan.path[~plan.deal[:, 1], 1].max() for plan in (known, unknown)
    ]
    assert depth[0] >= depth[1]
    assert depth[1] <= 0.2 + 1e-6


def test_the_plan_keeps_the_profit_of_the_current_prices_where_revenue_is_the_goal():
    floor = {"shadow_cost": 0.1 * REGULAR, "floor_cost": 0.6 * REGULAR}
    spec = shop(6.0, objective="revenue", products=floor)
    plan, market = best_plan(spec), floor_market(spec)
    assert market is not None
    value = PlanValue(market, draws=range(16))
    cost = 0.6 * REGULAR

    def profit(price: np.ndarray, deal: np.ndarray) -> float:
        units = value.units(Plan(price, np.zeros(price.shape), deal))
        return float(((price - cost) * units).sum())

    own = own_plan(spec)
    assert profit(plan.path.astype(float), plan.deal) >= profit(own.price, own.deal) * (1 - 1e-6)
    assert plan_multiplier(spec) >= 1


def test_a_risk_measure_takes_the_plan_that_is_better_in_bad_draws():
    spec = shop(4.0, spread=2.5)
    mean, cautious = best_plan(spec), best_plan(spec, "cvar:0.2")
    value, own = PlanValue(spec, draws=range(16)), own_plan(spec)

    def worst(plan) -> float:
        gains = value.money_by_draw(Plan(plan.path.astype(float), own.feature, plan.deal)) - value.money_by_draw(own)
        return float(np.sort(gains.sum(axis=1))[:3].mean())

    assert worst(cautious) >= worst(mean) - 1e-6


def test_each_slot_shows_what_adds_most_to_the_plan():
    """Two segments with tastes of their own: what is shown is what earns most of all that could be, slot by slot."""
    spec = shop(4.0)
    quality = np.array([[1.5, 0.2, 0.5], [0.1, 0.8, 2.0]])
    candidates, affinity = np.array([[1.0, 1, 0], [1, 1, 1]]), np.array([[0.1, 0.9, 0.0], [0.9, 0.1, 0.5]])
    spec = replace(
        spec,
        arrivals=replace(spec.arrivals, segments=("near", "far"), segment_share=np.array([[0.6, 0.4]])),
        demand=replace(spec.demand, quality=quality, price_sensitivity=np.tile(4.0 / REGULAR, (2, 1))),
        recommendation=RecommendationSection(lift=np.full(2, 0.5), candidates=candidates, affinity=affinity),
    )
    plan = best_plan(spec)
    assert plan.recommendation.shape == (PERIODS, 3, 2)
    assert (plan.recommendation.max(axis=1) == 1).all()
    assert (plan.recommendation[:, 2, 0] == 0).all(), "no candidate of the first segment"

    def earned(shown: np.ndarray) -> np.ndarray:
        scores = np.zeros((PERIODS, 3, 2), np.float32)
        for k, rows in enumerate(shown.T):
            scores[np.arange(PERIODS)[rows >= 0], rows[rows >= 0], k] = 1
        policy = replace(plan, recommendation=scores)
        runs = [rollout(spec.draw(m), policy, episodes=2, seed=0, expected=True, assumed=spec) for m in range(16)]
        return np.mean([run.objective.mean() for run in runs])

    best = plan.recommendation.argmax(axis=1)
    own = earned(best)
    for k, n in [(0, 0), (0, 1), (0, -1), (1, 0), (1, 1), (1, 2), (1, -1)]:
        other = best.copy()
        other[:, k] = n
        assert earned(other) <= own * (1 + 1e-6)
    assert own > earned(np.tile(spec.shown_by_recommender, (PERIODS, 1))) * 1.001


def test_what_the_plan_shows_counts_for_the_profit_floor_too():
    """The slot would bring the most revenue with a product that is sold at a loss at the costs of the floor."""
    spec = shop(4.0, objective="revenue")
    dearest = np.array([0.4, 0.5, 1.3]) * REGULAR
    spec = replace(
        spec,
        products=replace(spec.products, shadow_cost=0.02 * dearest, floor_cost=dearest),
        demand=replace(spec.demand, quality=np.array([[0.5, 0.5, 1.5]])),
        recommendation=RecommendationSection(
            lift=np.array([1.0]), candidates=np.array([[0.0, 1, 1]]), affinity=np.array([[0.0, 0.9, 0.1]])
        ),
    )
    floor = floor_market(spec)
    plan = best_plan(spec)

    def profit(policy) -> float:
        runs = [rollout(floor.draw(m), policy, episodes=2, seed=3, expected=True, assumed=spec) for m in range(16)]
        return float(np.mean([run.profit.mean() for run in runs]))

    assert profit(plan) >= profit(current_prices(spec)) - 1e-6
    assert plan_multiplier(spec) > 1
