"""Bundles of recommended prices: they charge what the recommended policy would, by the same service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from repricer.agents import Run, best_fixed, train
from repricer.agents.posterior import current_prices
from repricer.envs import rollout
from repricer.evaluation.uncertainty import candidates
from repricer.pricing import BlendedPrice, Policy
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.scenarios.shop_sections import PlanSection
from repricer.serving import BundleError, Predictor, example_state, export, load_bundle
from repricer.serving.exporter.holding import Holding

from ..conftest import make_run

WEEKS = 6


@pytest.fixture(scope="module")
def shop() -> MarketSpec:
    """Three products with planned prices and promotions, six weeks."""
    planned = np.tile([3.0, 4.0, 5.0], (WEEKS, 1))
    planned[2:4, 1] = 3.2
    promotion = (planned < [3.0, 4.0, 5.0]).astype(float)
    return spec_from_table(
        {
            "name": "promoting-shop",
            "version": 1,
            "market": {
                "horizon_periods": WEEKS, "objective": "profit", "period": "week", "first_day": "2018-01-01",
            },
            "products": {
                "names": ["a", "b", "c"],
                "category": ["x", "x", "y"],
                "regular_price": [3.0, 4.0, 5.0],
                "unit_cost": 1.0,
            },
            "arrivals": {"rate": 15.0},
            "demand": {"quality": 3.0, "price_sensitivity": 0.8},
            "promotion": {"lift": 0.3, "max_products": 2},
            "plan": {"price": planned, "promotion": promotion},
            "prices": {"floor": 1.0, "ceiling": 9.0, "tick": 0.01, "max_discount": 0.2},
        }
    )  # fmt: skip


def recommendable(run: Run) -> dict[tuple[str, int], Policy]:
    """The policies that a recommendation may name."""
    return {one.prices: one.policy for one in candidates(run.spec, [run.policy], fixed=best_fixed(run.spec))}


def wanted_policy(run: Run, policies: dict[tuple[str, int], Policy], holding: Holding) -> Policy:
    """The policy that a recommendation names."""
    current = current_prices(run.spec)
    policy = policies[holding.prices, 0]
    return BlendedPrice(policy, current, holding.toward_current) if holding.toward_current else policy


@pytest.fixture(scope="module")
def runs(shop: MarketSpec) -> dict[bool, tuple[Run, dict[tuple[str, int], Policy]]]:
    """A run that learned product-wise and one that did not, each with what may be recommended of it."""
    made = {product_wise: make_run(shop, product_wise=product_wise) for product_wise in (True, False)}
    return {product_wise: (run, recommendable(run)) for product_wise, run in made.items()}


@pytest.mark.parametrize(
    ("product_wise", "prices", "share"),
    [
        (True, "learned", 0.25),
        (True, "learned", 0.75),
        (False, "learned", 0.5),
        (True, "best-fixed", 0.0),
        (True, "best-fixed", 0.75),
        (False, "regular", 0.0),
        (True, "current", 0.0),
        (True, "deals", 0.0),
        (False, "regular-5%", 0.0),
    ],
)
def test_a_bundle_charges_what_was_recommended(
    shop: MarketSpec, runs: dict, tmp_path: Path, product_wise: bool, prices: str, share: float
) -> None:
    run, policies = runs[product_wise]
    holding = Holding(prices, share, recommended=True)
    wanted = wanted_policy(run, policies, holding)
    bundle = load_bundle(export(run, tmp_path / "bundle", holding=holding))
    one, two = (rollout(shop, policy, episodes=3, seed=4) for policy in (wanted, bundle.policy))
    np.testing.assert_allclose(two.price_path, one.price_path, atol=0.0101)
    np.testing.assert_allclose(two.revenue, one.revenue, rtol=5e-3)
    assert bundle.policy.name == wanted.name
    assert Holding.of(bundle.manifest) == holding
    assert bundle.manifest["run"] == run.facts


def test_planned_prices_and_promotions_are_answered_by_date(shop: MarketSpec, tmp_path: Path) -> None:
    run = make_run(shop, product_wise=True)
    predictor = Predictor(load_bundle(export(run, tmp_path / "bundle", holding=Holding("current"))))
    state = example_state(predictor.bundle.catalogue)
    for day, price, promoted in (("2018-01-10", 4.0, False), ("2018-01-17", 3.2, True)):
        answer = predictor.price(state | {"date": day}).prices[1]
        assert (answer.price, answer.promotion, answer.discounts) == (price, promoted, {})


def test_the_recommended_prices_are_held_where_a_comparison_is_at_hand(shop: MarketSpec, tmp_path: Path) -> None:
    holding = {"prices": "best-fixed", "toward_current": 0.25}
    run = replace(make_run(shop, product_wise=True), evaluation={"uncertainty": {"holding": holding}})
    bundle = load_bundle(export(run, tmp_path / "bundle"))
    assert bundle.policy.name == "best-fixed+25%:historical"
    words = "the best fixed prices, moved 25% of the way back to your current prices"
    assert bundle.manifest["holds"] == holding | {"recommended": True, "words": words}


def test_prices_that_were_not_learned_cannot_order(shop: MarketSpec, tmp_path: Path) -> None:
    ordering = shop.with_changes(stock={"replenishment": "action", "initial_units": 10.0, "max_order_units": 20.0})
    with pytest.raises(BundleError, match="cannot order units; got the best fixed prices for promoting-shop"):
        export(make_run(ordering, product_wise=True), tmp_path / "bundle", holding=Holding("best-fixed"))
    assert not (tmp_path / "bundle").exists()


@pytest.fixture(scope="module")
def planned(make_shop) -> tuple[Run, dict[tuple[str, int], Policy]]:
    """A run around a plan that says what to show, and what may be recommended of it."""
    spec = make_shop(market={"objective": "revenue"}, stock=None)
    spec = replace(spec, plan=PlanSection(price=np.tile([4.0, 5.0, 3.0], (8, 1))))
    settings = {"base_price": "plan", "product_wise": True, "evaluations": 1, "validation_episodes": 16}
    run = train(spec, steps=2_000, settings=settings)
    assert run.base.recommendation is not None
    return run, recommendable(run)


@pytest.mark.parametrize(("prices", "share"), [("learned", 0.0), ("learned", 0.25), ("plan", 0.0)])
def test_a_bundle_shows_what_its_plan_and_network_show(planned, tmp_path: Path, prices: str, share: float) -> None:
    run, policies = planned
    holding = Holding(prices, share)
    wanted = wanted_policy(run, policies, holding)
    bundle = load_bundle(export(run, tmp_path / "bundle", holding=holding))
    one, two = (rollout(run.spec, policy, episodes=8, seed=4) for policy in (wanted, bundle.policy))
    np.testing.assert_array_equal(two.shown, one.shown)
    np.testing.assert_array_equal(bundle.policy.base.recommendation, run.base.recommendation)
