"""The category model means what its parameters say."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from repricer.fitting.demand import CategoryData, CategoryModel, Priors
from repricer.pricing import ChoiceModel


def model(price=None, **more):
    price = np.ones((1, 3, 2)) if price is None else price
    return CategoryModel(CategoryData(np.broadcast_to([30.0, 10.0], price.shape), price, **more), Priors())


def units(at, theta, **more):
    return at.log_mean(torch.as_tensor(theta), **more).exp().numpy()


@pytest.mark.parametrize("segments", [1, 2])
def test_elasticity_and_outside_share_are_those_at_the_regular_price(segments):
    share, response = np.full(segments, 1 / segments), np.array([0.7, 1.3]) if segments == 2 else np.ones(1)
    step, more = 1e-6, {"segment_share": share, "segment_response": response}
    price = np.ones((1, 3, 2))
    price[0, 1, 0], price[0, 2, 0] = 1 + step, 1 - step
    at = model(price, **more)
    theta = at.layout.mean.copy()
    theta[at.layout.category], theta[at.layout.outside] = np.log(3.1), np.log(0.3 / 0.7)
    sold = units(at, theta)[0]
    np.testing.assert_allclose(sold[0], [30.0, 10.0], rtol=1e-9)
    assert np.log(sold[1, 0] / sold[2, 0]) / (2 * step) == pytest.approx(-3.1, rel=1e-4)
    arrivals = float(at.at_regular(torch.as_tensor(theta)).log_arrivals.exp())
    assert sold[0].sum() / arrivals == pytest.approx(0.7)


def test_effects_move_utility_and_stores_share_the_customers():
    shown = np.zeros((1, 2, 3, 2))
    shown[0, 0, 1, 0] = 1.0
    at = model(np.ones((2, 3, 2)), effects=shown, effect_mean=np.array([0.5]), effect_spread=np.ones(1))
    theta = at.layout.mean.copy()
    theta[at.layout.stores] = np.log([3.0, 1.0])
    sold = units(at, theta)
    # Levels are those of the whole shop.
    np.testing.assert_allclose(sold[:, 0].sum(axis=0), np.exp(theta[at.layout.level]), rtol=1e-9)
    assert sold[0, 0, 0] / sold[1, 0, 0] == pytest.approx(3.0)
    before, after = sold[0, 0] / (sold[0, 0].sum() / 0.4), sold[0, 1] / (sold[0, 0].sum() / 0.4)
    odds = lambda share: share[0] / (1 - share.sum())  # noqa: E731
    assert np.log(odds(after) / odds(before)) == pytest.approx(0.5)


def test_a_product_that_is_not_on_sale_leaves_its_customers_to_the_others():
    price = np.ones((1, 3, 2))
    price[0, 1, 0] = np.nan
    at = model(price)
    sold = units(at, at.layout.mean)[0]
    assert sold[1, 1] > sold[0, 1]
    assert at.data.on_sale.sum() == 5


def test_elasticity_is_that_of_the_last_week_where_it_drifts():
    step = 1e-6
    price = np.ones((1, 4, 2))
    price[0, ::2, 0], price[0, 1::2, 0] = 1 + step, 1 - step
    at = model(price, years=np.array([-1.0, -1.0, 0.0, 0.0]))
    theta = at.layout.mean.copy()
    theta[at.layout.category], theta[at.layout.drift] = np.log(3.0), np.log(1.5)
    sold = np.log(units(at, theta)[0, :, 0])
    assert (sold[2] - sold[3]) / (2 * step) == pytest.approx(-3.0, rel=1e-4)
    assert (sold[0] - sold[1]) / (2 * step) == pytest.approx(-2.0, rel=1e-4)


def test_an_effect_on_units_leaves_those_of_the_other_products():
    shown = np.zeros((1, 1, 3, 2))
    shown[0, 0, 1, 0] = 1.0
    more = {"effect_mean": np.array([0.5]), "effect_spread": np.ones(1), "own_units": np.ones(1)}
    at = model(effects=shown, **more)
    sold = units(at, at.layout.mean)[0]
    np.testing.assert_allclose(sold[1] / sold[0], [np.exp(0.5), 1.0], rtol=1e-12)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("own_units", [np.empty(0), np.array([0.0, 1.0])], ids=["utility", "units"])
def test_jacobian_is_the_derivative_of_the_log_mean(own_units, cut):
    random = np.random.default_rng(4)
    shape = (2, 5, 3)
    missing = random.uniform(size=shape)
    data = CategoryData(
        random.poisson(20.0, shape).astype(float),
        np.where(random.uniform(size=shape) < 0.1, np.nan, random.uniform(0.7, 1.0, shape)),
        missing > 0.5 if cut else None,
        week_features=random.normal(size=(5, 2)),
        feature_spread=np.ones(2),
        effects=random.normal(size=(2, *shape)),
        effect_mean=np.zeros(2),
        effect_spread=np.ones(2),
        own_units=own_units,
        segment_share=np.array([0.6, 0.4]),
        segment_response=np.array([0.8, 1.3]),
        within=random.uniform(0.1, 1.0, (2, 3)),
        years=np.linspace(-2.0, 0.0, 5),
    )
    at = CategoryModel(data, Priors())
    theta = torch.tensor(at.layout.mean + 0.2 * random.normal(size=at.layout.size))
    told = torch.tensor(missing) if cut else None
    derivative = torch.func.jacfwd(lambda given: at.log_mean(given, told))(theta)
    torch.testing.assert_close(at.jacobian(theta, told), derivative, rtol=1e-9, atol=1e-12)


def market_model(model, theta):
    """The numpy model with these parameters, in which deals move utility."""
    now, data = model.at_regular(theta), model.data
    (_, weeks, products), segments = data.sizes, len(data.segment_share)
    steep = data.segment_response[:, None] * now.steepness.numpy()
    arrays = {field.name: np.empty(0) for field in fields(ChoiceModel)} | {
        "category": np.zeros(products, np.intp),
        "quality": now.utility.numpy() + steep,
        "sensitivity": steep,
        "rate": np.full((1, weeks), now.log_arrivals.exp()),
        "season": np.zeros((1, weeks)),
        "path": np.ones((1, weeks)),
        "share": data.segment_share[None],
        "gain": np.full(products, theta[model.layout.effects].numpy()),
        "loss": np.zeros(products),
        "rival_category": np.empty(0, np.intp),
        "rival_quality": np.empty((segments, 0)),
        "rival_sensitivity": np.empty((segments, 0)),
        "curvature": np.full(products, data.curvature),
        "regular": np.ones(products),
    }
    return ChoiceModel(
        **arrays | {"family": "mnl", "linear_reference": False, "saturating_reference": False, "single": False}
    )


@pytest.mark.parametrize("curvature", [0.0, 0.4, 1.0])
def test_the_likelihood_has_the_demand_of_the_choice_model(curvature):
    random = np.random.default_rng(2)
    price = random.uniform(0.6, 1.3, (1, 6, 3))
    data = CategoryData(
        units=random.uniform(5, 20, price.shape),
        price=price,
        effects=np.maximum(-np.log(price), 0.0)[None],
        effect_mean=np.zeros(1),
        effect_spread=np.ones(1),
        segment_share=np.array([0.3, 0.7]),
        segment_response=np.array([0.7, 1.2]),
        curvature=curvature,
    )
    model = CategoryModel(data, Priors())
    theta = torch.as_tensor(model.layout.mean + 0.3 * random.normal(size=model.layout.size))
    units = market_model(model, theta).units(np.arange(6), price[0], reference=np.ones(3)).sum(axis=1)
    np.testing.assert_allclose(model.log_mean(theta)[0].exp(), units, rtol=1e-10)
