from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from repricer.envs import catalogue_of
from repricer.pricing import ChoiceModel, own_elasticity
from repricer.scenarios import MarketSpec, choice_model, load_scenario, sample_catalogue
from repricer.scenarios.checks import BUILT_IN

UNITS = {"units_gain": np.linspace(0, 1, 8), "units_loss": np.linspace(0.6, 0.1, 8)}
SPECS = {
    "grocery": lambda: load_scenario("grocery"),
    "subscription": lambda: load_scenario("subscription"),
    "bench-10-full": lambda: load_scenario("bench-10-full"),
    "bent": lambda: sample_catalogue(8, 5, parts="all").with_changes(demand={"price_curvature": np.linspace(0, 1, 8)}),
    "stocks up": lambda: sample_catalogue(8, 5, parts="all").with_changes(reference_price=UNITS),
    "saturating": lambda: sample_catalogue(8, 5, parts="all").with_changes(
        reference_price=UNITS | {"scale": "saturating"}
    ),
    "by currency": lambda: sample_catalogue(8, 6, parts="all", family="nested-logit").with_changes(
        reference_price={"units_gain": np.linspace(0, 0.1, 8), "units_loss": 0.05}
    ),
} | {family: lambda family=family: sample_catalogue(8, 5, parts="all", family=family) for family in BUILT_IN}


def situation(spec: MarketSpec, seed: int = 0) -> tuple[np.ndarray, dict]:
    """Price rows around the regular prices, and everything else that a market may have."""
    rng, (n, k, r) = np.random.default_rng(seed), (spec.sizes[letter] for letter in "NKR")
    regular = spec.products.regular_price
    given = {"reference": regular * rng.uniform(0.8, 1.2, n), "loyalty": rng.uniform(0.5, 1.5, k)}
    given["discount"] = rng.uniform(0, 0.2, (n, k)) if spec.prices.max_discount else None
    given["promoted"] = None if spec.promotion is None else rng.integers(0, 2, n)
    given["shown"] = None if spec.recommendation is None else rng.integers(-1, n, k)
    given["rival_price"] = spec.competitors.regular_price * rng.uniform(0.8, 1.2, r) if spec.competitors else None
    given["in_stock"] = (rng.random(n) < 0.8).astype(float)
    return regular * rng.uniform(0.8, 1.2, (3, n)), given


@pytest.mark.parametrize("name", SPECS)
def test_tensors_give_the_same_units_and_gradients(name):
    spec = SPECS[name]()
    model, (price, given) = choice_model(spec), situation(spec)
    rows = torch.tensor(price[:1], requires_grad=True)
    units = model.units(3, rows, **given)
    np.testing.assert_allclose(units.detach(), model.units(3, price[:1], **given), rtol=1e-12)
    (units * torch.tensor(price[0])).sum().backward()
    step = 1e-6
    for n, unit in enumerate(np.eye(price.shape[1])):
        nudge = step * price[0, n] * unit
        ends = [float((model.units(3, price[0] + sign * nudge, **given) * price[0]).sum()) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step * price[0, n])
        assert float(rows.grad[0, n]) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_gradients_reach_the_parameters_of_a_model_of_tensors():
    spec = load_scenario("grocery")
    model, (price, given) = choice_model(spec), situation(spec)
    kept = ("family", "linear_reference", "saturating_reference", "single")
    kept = (*kept, "category", "rival_category", "rivals_product")
    arrays = {f.name: getattr(model, f.name) for f in fields(ChoiceModel) if f.name not in kept}
    quality = torch.tensor(model.quality, requires_grad=True)
    tensors = {name: torch.tensor(values) for name, values in arrays.items()} | {"quality": quality}
    replace(model, **tensors).units(0, torch.tensor(price), **given).sum().backward()
    nudge = np.zeros_like(model.quality)
    nudge[0, 1] = 1e-6
    ends = [replace(model, quality=model.quality + s * nudge).units(0, price, **given).sum() for s in (1, -1)]
    assert float(quality.grad[0, 1]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in SPECS if n != "cheapest"])
def test_own_elasticities_are_those_of_the_catalogue(name):
    spec = SPECS[name]()
    regular = spec.products.regular_price
    regime = None if spec.regimes is None else 0
    model = choice_model(spec)
    found = own_elasticity(lambda rows: model.units(0, rows, reference=regular, regime=regime), regular)
    np.testing.assert_allclose(found, catalogue_of(spec).segment_elasticity, rtol=1e-4)


def test_unknown_arguments_are_refused():
    spec = load_scenario("stationary-logit")
    regular = spec.products.regular_price
    with pytest.raises(TypeError, match="unexpected keyword argument 'rivals'"):
        choice_model(spec).units(0, regular, reference=regular, rivals=3)


@pytest.mark.parametrize("name", SPECS)
def test_every_row_of_prices_may_have_a_period_of_its_own(name):
    spec = SPECS[name]()
    model, (price, given) = choice_model(spec), situation(spec)
    periods = np.array([4, 0, 3])
    for rows in (price, torch.tensor(price)):
        together = model.units(periods, rows, **given)
        for row, period in enumerate(periods):
            np.testing.assert_allclose(together[row], model.units(int(period), rows[row], **given)[0], rtol=1e-12)
