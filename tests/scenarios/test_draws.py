"""Posterior draws: what a draw changes, and what it leaves alone."""

import time
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repricer.scenarios import MarketSpec, ScenarioError, choice_model, load_scenario, sample_catalogue, save_scenario
from repricer.scenarios.checks import BUILT_IN
from repricer.scenarios.sections import Posterior
from repricer.scenarios.spec import price_term

from .test_loading import assert_same
from .test_shops import at_regular_prices


def with_posterior(spec: MarketSpec, draws: int = 3, seed: int = 0, spread: float = 0.2, **parts) -> MarketSpec:
    """The market with random draws of all its parts that have any."""
    generator, sizes = np.random.default_rng(seed), spec.sizes

    def factor(*shape):
        return np.exp(generator.normal(0, spread, shape))

    changes = {
        "arrivals": factor(draws, sizes["T"], sizes["C"]),
        "utility": generator.normal(0, spread, (draws, sizes["N"])),
        "sensitivity": factor(draws, sizes["N"]),
        "unit_cost": factor(draws, sizes["N"]),
    }
    for key, section, letter in (
        ("recommendation", "recommendation", "K"),
        ("promotion", "promotion", "N"),
        ("reference", "reference_price", "N"),
        ("reference_units", "reference_price", "N"),
    ):
        if getattr(spec, section) is not None:
            changes[key] = factor(draws, sizes[letter])
    return replace(spec, posterior=Posterior(draws=draws, **changes | parts))


def expected(spec: MarketSpec):
    return at_regular_prices(spec, 0)


@pytest.mark.parametrize("family", BUILT_IN)
def test_a_draw_of_factors_one_is_the_mean_market(family):
    spec = sample_catalogue(5, 1, parts="all", family=family)
    drawn = replace(spec, posterior=Posterior(draws=2)).draw(1)
    assert (drawn.name, drawn.posterior, drawn.num_draws) == (f"{spec.name}@draw-1", None, 0)
    for one, two in zip(expected(drawn), expected(spec), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(drawn.guardrails.low, spec.guardrails.low)


@pytest.mark.parametrize("family", BUILT_IN)
def test_sensitivity_keeps_the_utilities_at_regular_prices(family):
    spec = sample_catalogue(6, 2, family=family)
    spec = replace(spec, posterior=Posterior(draws=4, sensitivity=np.random.default_rng(0).uniform(0.5, 2, (4, 6))))
    term = price_term(spec, spec.products.regular_price)
    before = spec.demand.quality - spec.demand.price_sensitivity * term
    for m in range(4):
        drawn = spec.draw(m)
        np.testing.assert_allclose(drawn.demand.quality - drawn.demand.price_sensitivity * term, before, rtol=1e-9)
        assert (drawn.demand.price_sensitivity != spec.demand.price_sensitivity).all()


@given(seed=st.integers(0, 2**32 - 1), m=st.integers(0, 2))
def test_a_draw_changes_what_the_posterior_says(shop, seed, m):
    added = np.random.default_rng(seed).normal(0, 0.3, (3, shop.sizes["N"]))
    shop = shop.with_changes(reference_price={"units_gain": 0.8, "units_loss": 0.3})
    spec = with_posterior(shop, seed=seed, reference_gain=added)
    posterior, drawn = spec.posterior, spec.draw(m)
    np.testing.assert_allclose(drawn.arrivals.rate / spec.arrivals.rate, posterior.arrivals[m], rtol=1e-6)
    np.testing.assert_allclose(drawn.products.unit_cost / spec.products.unit_cost, posterior.unit_cost[m], rtol=1e-6)
    np.testing.assert_allclose(
        drawn.recommendation.lift / spec.recommendation.lift, posterior.recommendation[m], rtol=1e-6
    )
    for key, added in (("gain", posterior.reference_gain[m]), ("loss", 0.0)):
        ratio = (getattr(drawn.reference_price, key) - added) / getattr(spec.reference_price, key)
        np.testing.assert_allclose(ratio, posterior.reference[m], rtol=1e-6)
        ratio = getattr(drawn.reference_price, f"units_{key}") / getattr(spec.reference_price, f"units_{key}")
        np.testing.assert_allclose(ratio, posterior.reference_units[m], rtol=1e-6)
    sensitivity = drawn.demand.price_sensitivity / spec.demand.price_sensitivity
    np.testing.assert_allclose(sensitivity, np.tile(posterior.sensitivity[m], (2, 1)), rtol=1e-6)
    regular = spec.products.regular_price
    moved = (drawn.demand.quality - drawn.demand.price_sensitivity * regular) - (
        spec.demand.quality - spec.demand.price_sensitivity * regular
    )
    np.testing.assert_allclose(moved, np.tile(posterior.utility[m], (2, 1)), atol=1e-6)
    changed = {"name", "arrivals", "products", "recommendation", "reference_price", "demand", "posterior"}
    assert {item.name for item in fields(spec) if getattr(drawn, item.name) is not getattr(spec, item.name)} == changed


def test_a_draw_is_what_checking_it_would_give(shop):
    drawn = with_posterior(shop).draw(2)
    assert_same(MarketSpec(**{item.name: getattr(drawn, item.name) for item in fields(drawn)}), drawn)
    for section in (getattr(drawn, item.name) for item in fields(drawn)):
        for key in fields(section) if is_dataclass(section) else ():
            numbers = getattr(section, key.name)
            assert not (isinstance(numbers, np.ndarray) and numbers.flags.writeable), key.name


def test_promotion_and_single_arrivals():
    spec = with_posterior(load_scenario("bench-10-full"))
    lift = spec.draw(1).promotion.lift / spec.promotion.lift
    np.testing.assert_allclose(lift, np.tile(spec.posterior.promotion[1], (spec.sizes["K"], 1)), rtol=1e-6)
    single = with_posterior(load_scenario("gallego-van-ryzin"), arrivals=1e3)
    assert single.arrivals.process != "single" or single.draw(0).arrivals.rate.max() <= 1


def test_a_minimum_margin_refers_to_believed_costs(shop):
    spec = with_posterior(shop.with_changes(prices={"minimum_margin": 0.4}), unit_cost=[[0.5] * 3, [2] * 3, [4] * 3])
    for m in range(3):
        drawn = spec.draw(m)
        for bound in ("low", "high", "paid_low"):
            np.testing.assert_array_equal(getattr(drawn.guardrails, bound), getattr(spec.guardrails, bound))
    assert (spec.guardrails.low > spec.prices.floor).any()


def test_a_posterior_round_trips_through_its_files(shop, tmp_path):
    spec = with_posterior(shop, promotion=1.0, draws=5)
    save_scenario(spec, tmp_path)
    assert_same(load_scenario(tmp_path), spec)
    assert_same(load_scenario(f"{tmp_path}@draw-3"), spec.draw(3))
    with np.load(tmp_path / "scenario.npz") as stored:
        kept = {key: stored[key] for key in stored.files if key.startswith("posterior.")}
    assert {numbers.dtype for numbers in kept.values()} == {np.dtype(np.float32)}
    assert "posterior.promotion" not in kept
    assert_same(load_scenario(save_scenario(spec.draw(3), tmp_path / "drawn")), spec.draw(3))


def test_a_draw_that_does_not_exist_gets_one_line(shop):
    with pytest.raises(ScenarioError) as caught:
        with_posterior(shop).draw(3)
    assert str(caught.value) == "draw of small-shop must be a whole number from 0 to 2; got 3; choose one of them"
    for m in (-1, 0.5):
        with pytest.raises(ScenarioError, match=f"must be a whole number from 0 to 2; got {m};"):
            with_posterior(shop).draw(m)
    with pytest.raises(ScenarioError, match=r"draw of small-shop needs a market with a posterior; got 0; add it"):
        shop.draw(0)


def test_the_card_says_how_uncertain_the_market_is(shop):
    assert "posterior" not in str(shop)
    assert "posterior draws 3; arrivals 0." in " ".join(str(with_posterior(shop)).split())


def test_a_draw_is_cheap():
    spec = with_posterior(sample_catalogue(30, 0), draws=200)
    start = time.process_time()
    for m in range(100):
        spec.draw(m)
    assert (time.process_time() - start) / 100 < 0.005


def test_the_choice_model_of_a_draw_differs(shop):
    spec = with_posterior(shop)
    assert not np.array_equal(choice_model(spec.draw(0)).quality, choice_model(spec.draw(1)).quality)
