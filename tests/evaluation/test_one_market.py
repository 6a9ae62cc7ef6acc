"""What a policy is paid where it learns is what it is paid where it is judged: the same customers, draws and deals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from repricer.agents import train
from repricer.agents.posterior.best_plan import best_plan
from repricer.envs import LearnerView, Market, make_sb3_env, seed_for
from repricer.evaluation.uncertainty import compare_draws
from repricer.pricing import PricePath
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.sections import Posterior, RecommendationSection
from repricer.scenarios.shop_sections import PlanSection

PERIODS, POLICIES = 6, 17


def fitted(seed: int, objective: str) -> MarketSpec:
    """A market like a fitted one: a plan with deals, displays and funding, customers who remember, draws of all of it."""
    rng = np.random.default_rng(seed)
    regular = rng.uniform(1.5, 6.0, 4).round(2)
    table = {
        "name": "shop",
        "version": 1,
        "market": {"horizon_periods": PERIODS, "period": "week", "objective": objective, "ending": "truncated"},
        "products": {"names": list("abcd"), "regular_price": regular, "unit_cost": 0.5 * regular},
        "arrivals": {"rate": 400.0},
        "demand": {"quality": [rng.normal(1.5, 0.5, 4)], "price_sensitivity": [rng.uniform(1.5, 4.0, 4) / regular]},
        "prices": {"floor": 0.5 * regular, "ceiling": 1.4 * regular, "max_change": 0.5},
        "reference_price": {"memory": 0.6, "gain": 1.5, "loss": 0.0, "units_gain": 0.6, "units_loss": 0.4},
        "stock": {"initial_units": 300.0, "replenishment": "order-up-to", "order_up_to_units": 300.0},
    }
    deal = rng.random((PERIODS, 4)) < 0.3
    price = np.where(deal, 0.75, 1.0) * regular
    plan = PlanSection(
        price=price, promotion=0.6 * deal, feature_lift=rng.uniform(0, 0.8, 4), funding=0.1 * regular * deal
    )
    draws = 3
    posterior = Posterior(
        draws=draws,
        sensitivity=np.exp(rng.normal(0, 0.2, (draws, 4))),
        reference_gain=rng.normal(0, 0.3, (draws, 4)),
        reference_units=np.exp(rng.normal(0, 0.2, (draws, 4))),
    )
    return replace(spec_from_table(table), plan=plan, posterior=posterior)


@pytest.mark.parametrize(("seed", "objective"), [(1, "profit"), (2, "revenue"), (3, "profit")])
def test_the_training_environment_pays_what_evaluation_pays(seed, objective):
    spec = fitted(seed, objective)
    rng = np.random.default_rng(seed)
    for number in range(POLICIES):
        deal = rng.random((PERIODS, 4)) < 0.4 if number % 2 else None
        base = PricePath((spec.plan.price * rng.uniform(0.8, 1.2, (PERIODS, 4))).astype(np.float32), deal=deal)
        own = {"base": base, "assumed": spec, "product_wise": True, "reward": "expected", "seed": seed_for("test")}
        env = make_sb3_env(spec.draw(0), num_envs=2, **own)
        env.reset()
        # The same actions in both markets: then prices follow the calendar alone.
        actions = rng.uniform(-1, 1, (PERIODS, 4, env.action_space.shape[0]))
        paid, prices = np.zeros((2, 2)), []
        for raw in actions:
            outcome = env.learner_view.step(np.tile(raw, (2, 1)))
            paid += [outcome.expected_revenue.sum(axis=1), outcome.expected_profit.sum(axis=1)]
            prices.append(outcome.list_price[0])
        policy = PricePath(np.array(prices, np.float32), name="same", deal=deal, as_charged=True)
        judged = compare_draws(spec, [policy], draws=1, episodes=2).expected["same"][:2, 0]
        np.testing.assert_allclose(judged, paid, rtol=1e-6)


def test_a_run_that_kept_the_plan_earns_what_the_plan_earns():
    spec = fitted(1, "profit")
    settings = {"evaluations": 1, "learning_rate": 1e-9, "validation_episodes": 64}
    run = train(spec, steps=2_000, settings=settings)
    assert run.facts["settings"]["base_price"] == "plan"
    compared = compare_draws(spec, [best_plan(spec), run.policy], episodes=4)
    assert compared.gain(run.policy.name, "plan").share == pytest.approx(0, abs=0.003)
    assert set(run.facts["beside_plan"]) == {"plan_earns", "learning_adds", "standard_error", "ahead"}


def recommending(seed: int) -> MarketSpec:
    """The same with two segments whose slots are decided; the third product keeps its planned prices and may be shown."""
    spec, rng = fitted(seed, "revenue"), np.random.default_rng(seed)
    quality, sensitivity = (np.tile(part, (2, 1)) for part in (spec.demand.quality, spec.demand.price_sensitivity))
    quality[1, 2] += 0.7
    segments = {"segments": ("near", "far"), "segment_share": np.full((1, 2), 0.5)}
    return replace(
        spec,
        arrivals=replace(spec.arrivals, **segments),
        demand=replace(spec.demand, quality=quality, price_sensitivity=sensitivity),
        posterior=Posterior(draws=3, utility=rng.normal(0, 0.2, (3, 4))),
        prices=replace(spec.prices, frozen=("c",), frozen_as_planned=True),
        recommendation=RecommendationSection(
            lift=np.full(2, 0.6),
            candidates=np.array([[1.0, 1, 0, 1], [0, 1, 1, 1]]),
            affinity=rng.random((2, 4)),
        ),
    )


@pytest.mark.parametrize("product_wise", [True, False])
def test_a_raw_action_of_zero_shows_what_the_plan_shows(product_wise):
    spec = recommending(4)
    plan = best_plan(spec)
    shown = plan.recommendation.argmax(axis=1)
    view = LearnerView(Market(spec, num_markets=2), product_wise=product_wise, base=plan, reward="expected")
    assert view.rows_per_market == (4 if product_wise else 1), "a product that keeps its price may be recommended"
    assert (shown == 2).any(), "else the test says nothing of it"
    for row in shown:
        outcome = view.step(np.zeros((view.num_rows, *view.action_space.shape), np.float32))
        np.testing.assert_array_equal(outcome.shown, np.tile(row, (2, 1)))


def test_what_is_learned_beside_a_plan_that_recommends_is_judged_as_it_learned():
    spec = recommending(4)
    settings = {"evaluations": 1, "validation_episodes": 64, "product_wise": True}
    still = train(spec, steps=2_000, settings=settings | {"learning_rate": 1e-9})
    compared = compare_draws(spec, [best_plan(spec), still.policy], episodes=4)
    assert compared.gain(still.policy.name, "plan").share == pytest.approx(0, abs=1e-6)
    run = train(spec, steps=4_000, settings=settings)
    view = LearnerView(Market(spec, num_markets=2), product_wise=True, base=run.base, layout=run.layout)
    other = Market(spec, num_markets=2)
    for _ in range(PERIODS):
        raw = run.actor(torch.from_numpy(view.observe())).detach().numpy()
        learned, judged = view.step(raw), other.step(run.policy.act(other.view))
        np.testing.assert_array_equal(learned.shown, judged.shown)
        np.testing.assert_allclose(learned.expected_revenue, judged.expected_revenue, rtol=1e-5)


def test_the_plan_is_at_least_as_good_as_what_anybody_would_try():
    for seed in (1, 3):
        spec = fitted(seed, "profit")
        compared = compare_draws(spec, [best_plan(spec), "historical", "best-fixed", "regular"], episodes=64)
        for other in ("historical", "best-fixed", "regular"):
            assert compared.gain("plan", other).share > -0.01
        assert compared.gain("plan", "historical").share > 0.02
