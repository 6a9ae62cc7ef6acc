from __future__ import annotations

import json

import numpy as np
import pytest
from repricer.envs import catalogue_of, expected_units
from repricer.pricing import ChoiceModel
from repricer.scenarios import MarketSpec, choice_model, load_scenario, registered
from repricer.serving import BundleError
from repricer.serving.bundle.reading import read_response
from repricer.serving.exporter.export import response_document


def portable(spec: MarketSpec) -> ChoiceModel:
    document = json.loads(json.dumps(response_document(spec)))
    response = read_response(document, catalogue_of(spec))
    assert response is not None
    return response


@pytest.mark.parametrize("name", registered())
def test_a_bundle_carries_the_choice_model_of_its_scenario(name: str) -> None:
    spec = load_scenario(name)
    carried, own = vars(portable(spec)), vars(choice_model(spec))
    assert carried.keys() == own.keys()
    for key, value in own.items():
        # Of an array that is empty only that it is empty survives.
        assert np.array_equal(np.ravel(carried[key]), np.ravel(value)), key


def test_it_carries_how_prices_are_felt() -> None:
    spec = load_scenario("grocery")
    bent, regular = spec.with_changes(demand={"price_curvature": 0.7}), spec.products.regular_price
    rise = {"price": 1.2 * regular, "reference": regular}
    np.testing.assert_allclose(portable(bent).units(0, **rise), choice_model(bent).units(0, **rise), rtol=1e-12)
    assert not np.allclose(portable(bent).units(0, **rise), portable(spec).units(0, **rise), rtol=1e-3)


def test_it_carries_how_much_customers_stock_up() -> None:
    plain = load_scenario("grocery")
    spec, regular = (
        plain.with_changes(reference_price={"units_gain": 0.8, "units_loss": 0.4}),
        plain.products.regular_price,
    )
    # A price above both the regular and the reference one leaves nobody with stocks to use up.
    for price, reference, factor in (
        (0.8, 1.0, 0.8**-0.8),
        (1.0, 0.8, 0.8**0.4),
        (1.2, 0.8, 0.8**0.4),
        (1.2, 1.0, 1.0),
    ):
        rise = {"price": price * regular, "reference": reference * regular}
        np.testing.assert_allclose(
            portable(spec).units(0, **rise), portable(plain).units(0, **rise) * factor, rtol=1e-9
        )


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
    [
        {"quality": [[1.0, 2.0]]},
        {"family": "other"},
        {"rate": [[float("nan")]]},
        {"category": [9, 9]},
        {"nest": [3]},
        {"single": 1},
    ],
)
def test_another_document_is_refused(change: dict) -> None:
    spec = load_scenario("stationary-logit")
    with pytest.raises(BundleError, match=r"response\.json"):
        read_response({**response_document(spec), **change}, catalogue_of(spec))  # pyright: ignore
    assert read_response(None, catalogue_of(spec)) is None
