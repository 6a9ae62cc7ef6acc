"""What each product sells and earns in each period adds up to the policy's result, and its interval covers what comes."""

from __future__ import annotations

import numpy as np
import pytest
from repricer.evaluation.uncertainty import compare_draws, product_figures
from repricer.pricing import FixedPrice
from repricer.pricing.price_rules.rule_formulas import BITS
from repricer.scenarios import MarketSpec


def test_products_and_periods_add_up(spec: MarketSpec) -> None:
    policy = FixedPrice(spec.products.regular_price, name="regular")
    found, whole = product_figures(spec, policy), compare_draws(spec, ["regular"]).expected["regular"]
    assert found.revenue.mean.sum() == pytest.approx(whole[0].mean(), rel=1e-4)
    assert found.profit.mean.sum() == pytest.approx(whole[1].mean(), rel=1e-4)
    np.testing.assert_allclose(found.units.mean * spec.products.regular_price, found.revenue.mean, rtol=1e-3)


def test_intervals_cover_other_draws_and_customers(spec: MarketSpec) -> None:
    policy = FixedPrice(spec.products.regular_price, name="regular")
    one, other = (product_figures(spec, policy, seed=seed) for seed in (0, 1))
    inside = (one.units.low <= other.units.mean) & (other.units.mean <= one.units.high)
    assert inside.all()
    # The ends are quantiles of 240 episodes.
    assert one.units.high.mean() == pytest.approx(other.units.high.mean(), rel=0.05)
    # Arrivals and utility vary by 10% each between the draws; chance by the units and a tenth of their square.
    units = one.units.mean
    parameter = (0.1**2 + 0.1**2) * units**2
    assert one.parameter_share.mean() == pytest.approx(
        (parameter / (parameter + units + 0.1 * units**2)).mean(), rel=0.35
    )


def test_the_rules_that_bind_are_named(spec: MarketSpec) -> None:
    found = product_figures(spec, FixedPrice([99.0, 3.0, 4.0], name="dear"), draws=4)
    assert (found.rules[:, 0] == BITS["ceiling"]).all()
    assert not found.rules[:, 1:].any()
