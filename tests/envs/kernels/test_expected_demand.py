"""Expectations in closed form."""

import numpy as np
import pytest
from repricer.envs import catalogue_of, expected_units, rival_catalogue, rival_units, rollout
from repricer.envs.kernels.choice import choose
from repricer.envs.kernels.expected_demand import choice_at
from repricer.pricing import FixedPrice
from repricer.scenarios import MarketSpec, choice_model, load_scenario, registered, sample_catalogue
from repricer.scenarios.checks import BUILT_IN


def compared(spec: MarketSpec) -> None:
    """The compiled mean units against those of the numpy model, in every kind of situation."""
    model, rng = choice_model(spec), np.random.default_rng(1)
    low, high, regular = spec.guardrails.low, spec.guardrails.high, spec.products.regular_price
    n, k, r = (spec.sizes[letter] for letter in "NKR")
    price, period = low + rng.random((5, n)) * (high - low), spec.market.horizon_periods // 2
    given = {
        "reference": regular * rng.uniform(0.8, 1.2, n),
        "rival_price": spec.competitors.regular_price * rng.uniform(0.8, 1.2, r) if spec.competitors else None,
        "promoted": rng.integers(0, 2, n) if spec.promotion else None,
        "in_stock": (rng.random(n) < 0.8).astype(float),
    }
    shown = rng.integers(-1, n, k) if spec.recommendation else None
    discount = rng.uniform(0, 0.2, (n, k)) if spec.prices.max_discount else None
    compiled = expected_units(
        spec,
        period,
        price,
        regime=1 if spec.regimes else 0,
        shown=None if shown is None else np.tile(shown, (5, 1)),
        discount=None if discount is None else np.broadcast_to(discount, (5, n, k)),
        **given,
    )
    regime = 1 if spec.regimes else None
    units = model.units(period, price, regime=regime, shown=shown, discount=discount, **given)
    np.testing.assert_allclose(compiled, units, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", registered())
def test_the_compiled_demand_is_that_of_the_choice_model(name):
    compared(load_scenario(name))


@pytest.mark.parametrize("family", BUILT_IN)
def test_so_is_that_of_a_sampled_shop_with_every_part(family):
    compared(sample_catalogue(10, 3, parts="all", family=family))


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("family", BUILT_IN)
def test_so_is_that_of_customers_who_stock_up(family, scale):
    effect = {"units_gain": np.linspace(0, 1, 10), "units_loss": 0.4, "scale": scale}
    compared(sample_catalogue(10, 3, parts="all", family=family).with_changes(reference_price=effect))


def test_so_is_that_of_customers_who_feel_logarithms_of_prices():
    compared(sample_catalogue(10, 3, parts="all").with_changes(demand={"price_curvature": np.linspace(0, 1, 10)}))


def test_a_forecast_counts_both_customers_of_a_period_with_a_rival_who_answers():
    change = {"arrivals": {"rate": 0.5, "process": "single"}, "competitors": {"answers_within_period": True}}
    spec = load_scenario("calvano-duopoly").with_changes(prices={"price_ladder": None}, **change)
    price, periods = spec.products.regular_price.astype(np.float32), spec.market.horizon_periods
    units = rollout(spec, FixedPrice(price), episodes=100, seed=0).units.sum() / 100
    assert catalogue_of(spec).forecast_units.sum() == pytest.approx(units, abs=4 * np.sqrt(periods / 400))
    rival = rival_catalogue(spec, np.array([0])).forecast_units
    assert rival == pytest.approx(2 * rival_units(spec, 0, price[None], spec.competitors.regular_price).item())


@pytest.mark.parametrize("rows", [1, 3])
def test_one_row_and_what_is_read_only_need_no_compilation_of_their_own(shop, rows):
    """Each mixture of read-only inputs would be a type of its own, and compile for ten seconds when it first comes."""
    price, shown = (
        np.broadcast_to(values, (rows, *np.shape(values))) for values in (shop.products.regular_price, [0, 1])
    )
    choice_at(shop, 0, price, shown=shown, in_stock=np.ones(3))
    assert choose.signatures
    assert not [types for types in choose.signatures if "readonly" in str(types)]
