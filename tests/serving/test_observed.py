"""What the simulator shows a policy, a service is told: the exported policy prices by the same features."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repricer.agents import Run
from repricer.envs import Market, rollout
from repricer.evaluation import LogRecorder, named_policy
from repricer.evaluation.price_log import PriceLog
from repricer.pricing import QUANTITIES, Action, feature_names, product_features
from repricer.scenarios import MarketSpec, load_scenario, save_scenario
from repricer.scenarios.shop_sections import PastSection, PlanSection
from repricer.serving import Predictor, StateError, example_state, export, load_bundle
from repricer.serving.bundle.codec import catalogue_document, guardrails_document, setup_from
from repricer.serving.exporter.export import setup_of
from repricer.serving.market_state import TOLD, market_view

from .conftest import make_run


@pytest.fixture(scope="module")
def seeing(spec: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> MarketSpec:
    """The market of these tests, switched on in a scenario file."""
    past = [[2.0, 3.0, 5.0]] * 3 + [[2.0, 3.2, 5.0]]
    folder = tmp_path_factory.mktemp("scenario") / "market"
    shop = {"plan": PlanSection(price=np.array([[2.0, 3.0, 5.0]])), "past": PastSection(price=np.array(past))}
    save_scenario(dataclasses.replace(spec, **shop), folder)
    file = folder / "scenario.toml"
    file.write_text(file.read_text(encoding="utf-8") + "\n[observed]\nsince_change_periods = 6\n", encoding="utf-8")
    return load_scenario(str(folder))


@pytest.fixture(scope="module")
def seeing_run(seeing: MarketSpec) -> Run:
    return make_run(seeing, product_wise=True)


def state_of(view: Any, market: int) -> dict[str, Any]:
    """A market of a view as a shop's systems tell it."""
    products = []
    for n, product in enumerate(view.catalogue.products):
        seen = {name: getattr(view, name) for name in TOLD if getattr(view, name) is not None}
        numbers = {name: rows[market, n].tolist() for name, rows in seen.items()}
        products.append({"product": product} | {k: None if v == float("inf") else v for k, v in numbers.items()})
    return json.loads(json.dumps({"period": int(view.period[market]), "products": products}))


def test_the_service_computes_the_features_of_the_simulator(
    seeing: MarketSpec, seeing_run: Run, tmp_path: Path
) -> None:
    bundle = load_bundle(export(seeing_run, tmp_path / "bundle"))
    assert bundle.catalogue.since_change_periods == 6
    predictor, simulated, rng = Predictor(bundle), Market(seeing, num_markets=3, seed=5), np.random.default_rng(2)
    column, moved = feature_names(bundle.catalogue).index("since_change"), set[float]()
    for _ in range(seeing.market.horizon_periods):
        view = simulated.view
        features, proposed = simulated.features(), seeing_run.policy.act(view).price
        for e in range(3):
            state = state_of(view, e)
            told = product_features(market_view(bundle.catalogue, state))[0]
            np.testing.assert_allclose(told, features[e], atol=1e-6)
            np.testing.assert_array_equal(told[:, column], features[e, :, column])
            answer = predictor.price(state)
            np.testing.assert_allclose([p.proposed for p in answer.prices], proposed[e], rtol=1e-5)
        moved |= set(features[..., column].ravel().tolist())
        kept = rng.random((3, 3)) < 0.6
        simulated.step(Action(np.where(kept, view.list_price, view.list_price * np.float32(1.1))))
    assert len(moved) > 3


def test_the_policy_reads_it(seeing: MarketSpec, seeing_run: Run) -> None:
    view = Market(seeing).view
    other = dataclasses.replace(view, periods_since_change=np.ones_like(view.periods_since_change))
    assert (seeing_run.policy.act(view).price != seeing_run.policy.act(other).price).any()


def test_a_state_must_tell_it_to_a_policy_that_observes_it(seeing: MarketSpec, seeing_run: Run) -> None:
    catalogue = Market(seeing).catalogue
    state = example_state(catalogue)
    assert [item.pop("periods_since_change") for item in state["products"]] == [6, 6, 6]
    with pytest.raises(StateError, match="got no periods_since_change; add it"):
        market_view(catalogue, state)
    for item in state["products"]:
        item["periods_since_change"] = 0
    with pytest.raises(StateError, match="periods_since_change of 'anchovy' must be a whole number from 1"):
        market_view(catalogue, state)


def test_a_log_keeps_what_was_observed(seeing: MarketSpec) -> None:
    recorder = LogRecorder(seeing)
    rollout(seeing, named_policy("random", seeing), episodes=2, seed=0, watch=recorder)
    log = recorder.log()
    again = PriceLog.from_table(seeing, log.to_table())
    for name, quantity in QUANTITIES.items():
        if quantity.logged and getattr(log.view, name) is not None:
            np.testing.assert_array_equal(getattr(again.view, name), getattr(log.view, name))
    assert len(np.unique(again.view.periods_since_change)) > 2
    lacking = log.to_table().drop(columns="seen_periods_since_change")
    with pytest.raises(ValueError, match="must have a column seen_periods_since_change"):
        PriceLog.from_table(seeing, pd.DataFrame(lacking))


def test_a_bundle_of_an_earlier_version_observes_no_such_thing(one_run: Run) -> None:
    setup = setup_of(one_run.spec, one_run.policy)
    document = json.loads(json.dumps(catalogue_document(setup)))
    del document["since_change_periods"]
    rules = json.loads(json.dumps(guardrails_document(setup.guardrails)))
    assert setup_from(document, rules).catalogue.since_change_periods == 0
