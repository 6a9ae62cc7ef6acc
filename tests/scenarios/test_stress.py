"""Stress tests: what changes, what stays, and which markets a stress does not apply to."""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import expected_units
from repricer.scenarios import STRESSES, ScenarioError, load_scenario, registered, sample_catalogue, save_scenario
from repricer.scenarios.checks import BUILT_IN
from repricer.scenarios.sections import Posterior
from repricer.scenarios.stress import stressed

from .test_loading import assert_same
from .test_shops import at_regular_prices


def test_by_name_by_path_and_one_upon_another(shop, tmp_path):
    spec = load_scenario("grocery@demand-halved")
    assert spec.name == "grocery@demand-halved"
    assert spec.summary.endswith("Under stress: half as many customers arrive.")
    np.testing.assert_array_equal(spec.arrivals.rate, load_scenario("grocery").arrivals.rate / 2)
    save_scenario(shop, tmp_path / "at@home")
    both = load_scenario(f"{tmp_path / 'at@home'}@supplier-delay@demand-halved")
    assert both.name == "small-shop@supplier-delay@demand-halved"
    assert (both.stock.lead_time_periods == 4).all()
    assert load_scenario("catalogue:4:1@price-war").name == "catalogue:4:1@price-war"
    save_scenario(spec, tmp_path / "saved")
    assert_same(load_scenario(tmp_path / "saved"), spec)


@pytest.mark.parametrize("stress", list(STRESSES))
def test_a_stress_applies_or_says_in_one_line_why_not(stress):
    markets = [load_scenario(name) for name in registered()]
    markets += [sample_catalogue(5, 1, parts="all", family=family) for family in BUILT_IN]
    markets += [replace(spec, posterior=Posterior(draws=2)) for spec in markets[:8] if stress == "posterior"]
    said = [outcome(spec, stress) for spec in markets]
    assert all("\n" not in line for line in said)
    applied = [line == f"{spec.name}@{stress}" for spec, line in zip(markets, said, strict=True)]
    refused = [
        line.startswith(f"stress {stress} does not apply to {spec.name}: ")
        for spec, line in zip(markets, said, strict=True)
    ]
    assert np.logical_xor(applied, refused).all()
    assert sum(applied) >= 8


def outcome(spec, stress: str) -> str:
    """The stressed market's name, or why there is none."""
    try:
        return stressed(spec, stress).name
    except ScenarioError as error:
        return str(error)


@pytest.mark.parametrize("name", ["grocery", "bench-10-full"])
def test_elasticity_moves_by_a_third_and_sales_at_regular_prices_stay(name):
    units, elasticity = at_regular_prices(load_scenario(name), 0)
    for stress, factor in (("elasticity-up", 1.3), ("elasticity-down", 0.7)):
        after, moved = at_regular_prices(load_scenario(f"{name}@{stress}"), 0)
        np.testing.assert_allclose(after, units, rtol=1e-9)
        np.testing.assert_allclose(moved / elasticity, factor, rtol=0.1)


def test_elasticity_of_the_constant_elasticity_family_turns_around_the_logarithm():
    spec = sample_catalogue(3, 2, family="constant-elasticity", parts=())
    after = stressed(spec, "elasticity-up")
    price = np.log(spec.products.regular_price)
    for market in (spec, after):
        utility = market.demand.quality - market.demand.price_sensitivity * price
        np.testing.assert_allclose(utility, (spec.demand.quality - spec.demand.price_sensitivity * price))


def test_a_new_competitor_opens_in_each_category_against_the_favourite():
    spec, before = load_scenario("grocery@new-competitor"), load_scenario("grocery")
    assert spec.sizes["R"] == 2 + 4
    assert spec.competitors.rule == ("undercut:3%",) * 2 + ("undercut:5%",) * 4
    assert spec.competitors.seller == ("discounter",) * 2 + spec.competitors.names[2:]
    assert spec.competitors.product[:2] == before.competitors.product
    assert spec.category_index[spec.competitor_product[2:]].tolist() == [0, 1, 2, 3]
    assert at_regular_prices(spec, 0)[0].sum() < at_regular_prices(before, 0)[0].sum()
    alone = load_scenario("segment-prices@new-competitor")
    assert alone.competitors.names == ("newcomer in all",)
    assert load_scenario("segment-prices@new-competitor@new-competitor").sizes["R"] == 2


def test_a_price_war_lets_every_rival_fall_to_its_cost():
    spec, before = load_scenario("marketplace@price-war"), load_scenario("marketplace").competitors
    assert set(spec.competitors.rule) == {"undercut:5%"}
    assert (spec.competitors.floor < before.floor).all()
    assert (spec.competitors.floor >= before.unit_cost).all()


def test_taste_drifts_from_one_category_to_the_next():
    drift = load_scenario("grocery@drifting-taste").demand.season - load_scenario("grocery").demand.season
    np.testing.assert_allclose(drift[0], 0, atol=1e-12)
    np.testing.assert_allclose(drift[-1], [-0.5, 0.5, -0.5, 0.5])
    linear = load_scenario("reference-price@drifting-taste").demand.season
    assert linear[-1, 0] == pytest.approx(-0.5 * (1 - 0.04 * 15))


def test_a_cold_start_is_one_draw_within_half():
    spec, before = load_scenario("grocery@cold-start"), load_scenario("grocery")
    assert_same(spec, load_scenario("grocery@cold-start"))
    for ratio in (spec.arrivals.rate / before.arrivals.rate, np.exp(spec.demand.quality - before.demand.quality)):
        assert 0.5 <= ratio.min() < ratio.max() <= 1.5
    assert load_scenario("undercutter@cold-start").arrivals.rate.max() <= 1


@pytest.mark.parametrize("name", ["nested-logit", "three-nests"])
def test_a_cold_start_of_a_nested_logit_is_within_half_too(name):
    """What products of a nest sell beside one another changes by at most 1.5 / 0.5."""
    before = load_scenario(name)
    regular = before.products.regular_price
    units = [
        expected_units(spec, 0, regular).sum(axis=(0, 1)) for spec in (before, load_scenario(f"{name}@cold-start"))
    ]
    ratio = units[1] / units[0]
    for nest in np.unique(before.nest_index):
        inside = ratio[before.nest_index == nest]
        assert inside.max() / inside.min() <= 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grocery@demand-halfed", "stress must be a known one; got 'demand-halfed'; did you mean 'demand-halved'?"),
        ("grocery@", "stress must be a known one; got ''; known are elasticity-up, "),
        ("grocrey@demand-halved", "got 'grocrey'; did you mean 'grocery'?"),
        (
            "regimes@new-competitor",
            "new-competitor does not apply to regimes: its demand family allows no competitors; got demand.family",
        ),
        ("scarce@price-war", "price-war does not apply to scarce: it has no competitors; got no section [competitors]"),
        (
            "fashion@supplier-delay",
            "supplier-delay does not apply to fashion: it has no orders; got stock.replenishment 'none'",
        ),
    ],
)
def test_a_wrong_name_gets_one_line(name, words):
    with pytest.raises(ScenarioError) as caught:
        load_scenario(name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_delay_beyond_the_horizon_is_refused(make_shop):
    with pytest.raises(ScenarioError, match=r"does not apply to small-shop: stock.lead_time_periods must be at most"):
        stressed(make_shop(stock={"lead_time_periods": 7}), "supplier-delay")


@pytest.mark.parametrize("stress", ["elasticity-up", "elasticity-down"])
def test_a_stress_says_where_sales_at_regular_prices_do_not_stay(stress):
    """Its factor is a fifth first and a twenty-fifth later: one quality of a product cannot keep its sales in both."""
    before = at_regular_prices(load_scenario("low-before-high"), 25)[0]
    after = at_regular_prices(load_scenario(f"low-before-high@{stress}"), 25)[0]
    assert not np.allclose(after, before, rtol=0.2)
    assert "where no sensitivity_path or regime changes sensitivity" in STRESSES[stress].meaning


def test_a_stress_says_why_it_may_earn_more():
    assert "prices below those sell more, and can earn more" in STRESSES["elasticity-up"].meaning
