"""Policies whose network reads the products of a category together, from run to answer and refresh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from repricer.agents import Run
from repricer.agents.actor import Actor
from repricer.agents.ppo.attention import CategoryAttention
from repricer.envs import catalogue_of
from repricer.pricing import FEATURE_LIMIT, row_width
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, BundleError, Predictor, export, load_bundle
from repricer.serving.exporter.holding import Holding
from repricer.serving.exporter.refresh import _setup, refresh
from repricer.serving.sample_states import random_states

from ...fitting.test_refit import shop
from ..conftest import make_run
from .test_refresh import run as fitted

__all__ = ["fitted"]


def attending(run: Run) -> Run:
    """The run with a network of one attention and one layer."""
    catalogue = catalogue_of(run.spec)
    columns = row_width(catalogue, product_wise=True)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        attention = CategoryAttention(columns, 8, 2, catalogue.category)
        torch.nn.init.ones_(attention.gain)
        layers = torch.nn.Sequential(attention, torch.nn.Linear(columns + 8, run.layout.size))
    facts = run.facts | {"settings": run.facts["settings"] | {"network": "attention"}}
    return replace(run, actor=Actor(layers, None, run.layout.size), facts=facts)


@pytest.fixture(scope="module")
def made(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Bundle]:
    run = attending(make_run(spec, product_wise=True))
    return run, load_bundle(export(run, tmp_path_factory.mktemp("attention") / "bundle"))


@pytest.mark.parametrize("markets", [1, 2, 7])
def test_the_bundle_answers_as_torch_does(made: tuple[Run, Bundle], markets: int) -> None:
    run, bundle = made
    columns = row_width(bundle.catalogue, product_wise=True)
    shape = (markets * bundle.catalogue.num_products, columns)
    rows = np.random.default_rng(markets).uniform(-FEATURE_LIMIT, FEATURE_LIMIT, shape).astype(np.float32)
    for got, wanted in zip(bundle.policy.forward(rows)[:3], run.policy.forward(rows)[:3], strict=True):
        np.testing.assert_allclose(got.reshape(np.shape(wanted)), wanted, rtol=1e-6, atol=1e-6)


def test_markets_do_not_see_one_another(made: tuple[Run, Bundle]) -> None:
    bundle, predictor = made[1], Predictor(made[1])
    asked = [predictor.read(state) for state in random_states(bundle.catalogue, bundle.guardrails, 5, seed=2)]
    for one, together in zip(asked, predictor.price_all(asked), strict=True):
        (alone,) = predictor.price_all([one])
        assert [item.price for item in alone.prices] == [item.price for item in together.prices]


def test_a_substitute_that_runs_short_moves_a_price(made: tuple[Run, Bundle]) -> None:
    bundle, predictor = made[1], Predictor(made[1])
    (state,) = random_states(bundle.catalogue, bundle.guardrails, 1, seed=3)
    category = bundle.catalogue.category
    first, other = next((i, j) for i in range(3) for j in range(3) if i != j and category[i] == category[j])
    proposed = []
    for units in (0, 100):
        state["products"][other]["on_hand"] = units
        proposed.append(predictor.price(state).prices[first].proposed)
    assert proposed[0] != proposed[1]


def test_it_is_refreshed_for_the_same_products_alone(fitted: Run, tmp_path: Path) -> None:
    path = export(attending(fitted), tmp_path / "bundle")
    old = load_bundle(path)
    found = refresh(path, shop(46))
    assert load_bundle(path).digest == found.bundle.digest != old.digest
    other = replace(old, catalogue=replace(old.catalogue, category=old.catalogue.category + 1))
    with pytest.raises(BundleError, match="whose network is attention must keep its products and categories"):
        _setup(other, Holding.of(old.manifest), found.spec, 0)
