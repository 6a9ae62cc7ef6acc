from __future__ import annotations

import json

import numpy as np
import pytest
from repricer.envs import catalogue_of, expected_units
from repricer.envs.kernels.expected_demand import choice_at
from repricer.scenarios import MarketSpec, load_scenario
from repricer.serving import BundleError
from repricer.serving.bundle.response import PriceResponse, read_response
from repricer.serving.exporter.market_document import response_document

SCENARIOS = (
    "gallego-van-ryzin",
    "stationary-logit",
    "low-before-high",
    "three-stocks",
    "calvano-duopoly",
    "undercutter",
    "regimes",
    "reference-price",
    "segment-prices",
    "subscription",
    "fashion",
    "grocery",
    "marketplace",
    "electronics",
    "bench-10-full",
)


def portable(spec: MarketSpec) -> PriceResponse:
    document = json.loads(json.dumps(response_document(spec)))
    response = read_response(document, catalogue_of(spec))
    assert response is not None
    return response


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_expects_what_the_market_expects(name: str) -> None:
    spec = load_scenario(name)
    response, rng = portable(spec), np.random.default_rng(1)
    low, high, regular = spec.guardrails.low, spec.guardrails.high, spec.products.regular_price
    n, k, r = (spec.sizes[letter] for letter in "NKR")
    price = low + rng.random((5, n)) * (high - low)
    period = spec.market.horizon_periods // 2
    reference = regular * rng.uniform(0.8, 1.2, n)
    rivals = None if not r else spec.competitors.regular_price * rng.uniform(0.8, 1.2, r)  # pyright: ignore
    promoted = None if spec.promotion is None else rng.integers(0, 2, n)
    shown = None if spec.recommendation is None else rng.integers(-1, n, k)
    discount = rng.uniform(0, 0.2, (n, k)) if spec.prices.max_discount else None
    in_stock = (rng.random(n) < 0.8).astype(float)
    regime = None if spec.regimes is None else 1
    wanted = choice_at(
        spec,
        period,
        price,
        reference=reference,
        rival_price=rivals,
        in_stock=in_stock,
        regime=regime or 0,
        promoted=promoted,
        shown=None if shown is None else np.tile(shown, (5, 1)),
        discount=None if discount is None else np.broadcast_to(discount, (5, n, k)),
    ).mean
    got = response.units(
        period,
        price,
        reference=reference,
        rival_price=rivals,
        in_stock=in_stock,
        regime=regime,
        promoted=promoted,
        shown=shown,
        discount=discount,
    )
    np.testing.assert_allclose(got, np.moveaxis(wanted, -1, 0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["regimes", "grocery"])
def test_with_regimes_unseen_it_expects_what_the_catalogue_forecasts(name: str) -> None:
    spec = load_scenario(name)
    catalogue, response = catalogue_of(spec), portable(spec)
    for period in (0, catalogue.horizon - 1):
        units = response.units(period, spec.products.regular_price, reference=spec.products.regular_price)
        np.testing.assert_allclose(units[0].sum(axis=0), catalogue.forecast_units[period], rtol=1e-5)


def test_loyalty_multiplies_a_segments_customers() -> None:
    spec = load_scenario("subscription")
    response, regular = portable(spec), spec.products.regular_price
    level = np.linspace(0.5, 1.5, spec.sizes["K"])
    got = response.units(0, regular, reference=regular, loyalty=level)[0]
    plain = expected_units(spec, 0, regular)[0]
    np.testing.assert_allclose(got, plain * level[:, None], rtol=1e-9)


@pytest.mark.parametrize(
    "change",
    [{"quality": [[1.0, 2.0]]}, {"family": "other"}, {"rate": [[float("nan")]]}, {"category": [9, 9]}, {"single": 1}],
)
def test_another_document_is_refused(change: dict) -> None:
    spec = load_scenario("stationary-logit")
    with pytest.raises(BundleError, match=r"response\.json"):
        read_response({**response_document(spec), **change}, catalogue_of(spec))  # pyright: ignore
    assert read_response(None, catalogue_of(spec)) is None
