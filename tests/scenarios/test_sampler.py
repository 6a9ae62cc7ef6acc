"""Sampled shops are right for any size, seed, parts, family and process, always the same, and plausible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repricer.scenarios import MarketSpec, ScenarioError, load_scenario, sample_catalogue, save_scenario
from repricer.scenarios.checks import BUILT_IN, excluded_parts
from repricer.scenarios.sampler import DEFAULT_PARTS, PARTS

from .test_loading import assert_same
from .test_shops import at_regular_prices


def parts_of(spec: MarketSpec) -> set[str]:
    """The parts that are on, read from the market itself."""
    on = {name for name in PARTS if name in MarketSpec.__dataclass_fields__ and name not in ("stock", "past")}
    on = {name for name in on if getattr(spec, name) is not None}
    inside = {
        "past": spec.past.price is not None,
        "stock": np.isfinite(spec.stock.initial_units).all(),
        "season": np.any(spec.demand.sensitivity_path != 1),
        "overdispersion": spec.arrivals.overdispersion.any(),
        "discounts": spec.prices.max_discount > 0,
    }
    return on | {name for name, is_on in inside.items() if is_on}


@settings(deadline=None, max_examples=60)
@given(
    products=st.integers(1, 500) | st.integers(1, 5),
    seed=st.integers(0, 2**40),
    segments=st.integers(1, 7),
    parts=st.sets(st.sampled_from(list(PARTS))),
    family=st.sampled_from(BUILT_IN),
    process=st.sampled_from(("poisson", "single")),
    periods=st.integers(1, 60),
)
def test_any_sample_is_a_market_with_the_parts_that_were_asked_for(
    products, seed, segments, parts, family, process, periods
):
    spec = sample_catalogue(
        products, seed, segments=segments, parts=parts, family=family, process=process, periods=periods
    )
    assert (len(spec.products.names), len(spec.arrivals.segments)) == (products, segments)
    assert (spec.market.horizon_periods, spec.demand.family, spec.arrivals.process) == (periods, family, process)
    assert parts_of(spec) == parts - set(excluded_parts(family, process))


def test_the_same_arguments_give_the_same_shop(tmp_path):
    assert_same(sample_catalogue(20, 7), sample_catalogue(20, 7))
    named = load_scenario("catalogue:20:7")
    assert named.name == "catalogue:20:7"
    assert parts_of(named) == DEFAULT_PARTS
    assert_same(named, sample_catalogue(20, 7))
    save_scenario(named, tmp_path)
    assert_same(load_scenario(tmp_path), named)
    other = sample_catalogue(20, 8)
    assert not np.array_equal(named.products.regular_price, other.products.regular_price)
    assert sample_catalogue(20, 7, parts="all").name == "catalogue:20:7:custom"


def test_another_assortment_is_other_products_in_the_same_shop():
    first, other = load_scenario("catalogue:20:7"), load_scenario("catalogue:20:7:3")
    assert other.name == "catalogue:20:7:3"
    assert_same(other, sample_catalogue(20, 7, assortment=3))
    assert not np.isin(first.products.regular_price, other.products.regular_price).all()
    assert not np.isclose(first.demand.quality, other.demand.quality).any()
    assert other.market == first.market
    np.testing.assert_array_equal(other.arrivals.segment_share, first.arrivals.segment_share)
    np.testing.assert_array_equal(other.promotion.lift, first.promotion.lift)
    np.testing.assert_array_equal(other.prices.max_change[0], first.prices.max_change[0])
    assert other.prices.tick == first.prices.tick
    assert_same(load_scenario("catalogue:20:7:0"), first)


def test_switching_a_part_on_leaves_the_others_as_they_are():
    few, all_on = sample_catalogue(12, 3), sample_catalogue(12, 3, parts="all")
    for section in ("products", "competitors", "promotion", "stock", "prices"):
        for key in getattr(few, section).__dataclass_fields__:
            if not key.startswith(("max_discount", "max_segment", "price_ladder")):
                np.testing.assert_array_equal(
                    getattr(getattr(few, section), key), getattr(getattr(all_on, section), key)
                )


def test_samples_are_plausible():
    for seed in range(20):
        spec = sample_catalogue(30, seed)
        units, elasticity = at_regular_prices(spec, 0)
        assert np.median(units) > 1
        assert units.max() < 3000
        assert -5.5 < elasticity.min() < elasticity.max() < -0.8
        assert (spec.products.unit_cost < spec.products.regular_price).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"products": 0}, r"products of a sampled shop must lie in \[1, 10000\]; got 0"),
        ({"seed": -1}, "seed of a sampled shop must be 0 or more; got -1"),
        ({"segments": 0}, "segments of a sampled shop must lie in"),
        ({"parts": {"stocks"}}, "parts must be 'all' or names of season, .* got 'stocks'"),
        ({"parts": "stocks"}, "got 'stocks'"),
        ({"family": "probit"}, "demand.family must be one of"),
        ({"process": "hourly"}, "arrivals.process must be one of"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, words):
    with pytest.raises(ScenarioError, match=words):
        sample_catalogue(**{"products": 3, "seed": 0, **arguments})


def test_names_that_are_nearly_samples_are_refused():
    for name in ("catalogue:20", "catalogue:x:1", "catalogue:20:-1", "catalogue:20:7:custom"):
        with pytest.raises(ScenarioError, match="catalogue:N:SEED"):
            load_scenario(name)
    with pytest.raises(ScenarioError, match="must lie in"):
        load_scenario("catalogue:0:1")
