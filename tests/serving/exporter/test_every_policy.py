"""Policies that look back, promote, order, choose among levels or multiply a rule's price, from run to answer."""

from __future__ import annotations

import csv
import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import repricer
from click.testing import CliRunner
from repricer.cli.evaluate import command as evaluate
from repricer.envs import Market
from repricer.pricing import MarketView, RecurrentPolicy, row_width
from repricer.scenarios import MarketSpec, spec_from_table
from repricer.serving import Bundle, BundleError, DecisionLog, Predictor, StateError, example_state, load_bundle
from repricer.serving.csv_batch import price_file
from repricer.serving.decision import Decision
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.deployment import Deployment
from repricer.serving.sample_states import random_states

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

SMALL = {"num_envs": 2, "validation_episodes": 2, "evaluations": 1, "clone_epochs": 1}


@pytest.fixture(scope="module")
def shop() -> MarketSpec:
    """Promotions, orders and a rival."""
    return spec_from_table(
        {
            "name": "corner-shop",
            "version": 1,
            "market": {"horizon_periods": 6, "objective": "profit"},
            "products": {"names": ["tea", "jam"], "regular_price": [4.0, 5.0], "unit_cost": [2.0, 3.0]},
            "arrivals": {"rate": 30.0},
            "demand": {"quality": [[3.0, 3.5]], "price_sensitivity": [[0.6, 0.6]]},
            "competitors": {
                "names": ["rival"],
                "product": ["tea"],
                "rule": "undercut:0.1",
                "regular_price": [4.0],
                "unit_cost": [2.0],
                "quality": [[3.0]],
                "price_sensitivity": [[0.6]],
            },
            "promotion": {"lift": 0.5, "cost": 1.0, "max_products": 1},
            "stock": {
                "initial_units": 25,
                "replenishment": "action",
                "max_order_units": 20,
                "lead_time_periods": [1, 3],
            },
            "express": {"max_order_units": 9, "extra_cost": 0.5},
            "prices": {"floor": [2.0, 2.5], "ceiling": [6.0, 8.0], "tick": 0.01},
        }
    )


@pytest.fixture(scope="module", params=["everything", "regular-levels", "recurrent"])
def made(request: pytest.FixtureRequest, shop: MarketSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """(run, folder of the run, folder of the bundle)."""
    folder = tmp_path_factory.mktemp(request.param)
    options: dict[str, Any] = {"algo": "recurrent-ppo", "settings": SMALL | {"product_wise": True}}
    if request.param != "recurrent":
        rule = {"base_price": "undercut:0.125", "actions": "discrete", "history": 3, "product_wise": False}
        rule |= {"levels_around": "regular"} if request.param == "regular-levels" else {}
        options = {"algo": "ppo", "settings": SMALL | rule}
    run = repricer.train(shop, steps=1, out=folder / "run", **options)
    return run, folder / "run", repricer.export(run, folder / "bundle")


@pytest.fixture(scope="module")
def bundle(made: tuple) -> Bundle:
    return load_bundle(made[2])


def test_an_evaluation_of_the_bundle_is_that_of_the_run(made: tuple) -> None:
    _, run, bundle = made
    result = CliRunner().invoke(
        evaluate, [str(run), "--policy", str(run), "--policy", str(bundle), "--episodes", "30", "--json"]
    )
    assert result.exit_code == 0, result.exception
    rows = {row["policy"]: row for row in json.loads(result.stdout)["policies"]}
    own, theirs = rows[str(run)], rows[str(bundle)]
    assert own["price_changes"] > 0
    for name in own.keys() - {"policy"}:
        assert theirs[name] == own[name], name


def document(catalogue: Any, view: MarketView, memory: str | None) -> dict[str, Any]:
    """The state of the first market of a view."""
    keys = ("list_price", "on_hand", "on_order", "due", "reference_price", "last_units", "competitor_price")
    columns = {key: getattr(view, key)[0].tolist() for key in keys}
    products = [{"product": name} | {k: v[n] for k, v in columns.items()} for n, name in enumerate(catalogue.products)]
    for item in products:
        if np.isinf(item["competitor_price"]):
            item["competitor_price"] = None
    return {"period": int(view.period[0]), "products": products, "memory": memory}


def test_question_by_question_it_answers_as_in_the_market(made: tuple, bundle: Bundle) -> None:
    run, predictor, memory = made[0], Predictor(bundle), None
    market, policy = Market(run.spec, seed=5), run.policy
    chosen = set()
    for _ in range(run.spec.market.horizon_periods):
        view = market.view
        state = json.loads(json.dumps(document(bundle.catalogue, view, memory)))
        answer = json.loads(json.dumps(predictor.price(state).to_dict(), allow_nan=False))
        outcome, memory = market.step(policy.act(view)), answer["memory"]
        np.testing.assert_allclose([p["price"] for p in answer["prices"]], outcome.list_price[0], atol=0.0101)
        assert [p["promotion"] for p in answer["prices"]] == outcome.promoted[0].tolist()
        assert [p["express_units"] for p in answer["prices"]] == outcome.express[0].tolist()
        assert [p["order_units"] + p["express_units"] for p in answer["prices"]] == outcome.ordered[0].tolist()
        chosen |= {p["promotion"] for p in answer["prices"]}
    assert isinstance(memory, str)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("product_wise", [True, False])
def test_states_by_row_and_by_layer_do_not_get_mixed_up(
    shop: MarketSpec, tmp_path: Path, layers: int, product_wise: bool
) -> None:
    """One market at a time and several: a file holds an LSTM's states by layer, notes hold them by row."""
    settings = SMALL | {"product_wise": product_wise, "n_lstm_layers": layers, "lstm_hidden_size": 5}
    settings |= {"n_steps": 12, "batch_size": 24}
    run = repricer.train(shop, algo="recurrent-ppo", steps=1, out=tmp_path / "run", settings=settings)
    path = repricer.export(run, tmp_path / "bundle")
    ours, theirs = run.policy, load_bundle(path).policy
    assert isinstance(ours, RecurrentPolicy)
    assert isinstance(theirs, RecurrentPolicy)
    # One operator a layer, never a loop: what torch makes of an LSTM depends on what the process exported before.
    operators = [node.op_type for node in onnx.load(path / "policy.onnx").graph.node]
    assert operators.count("LSTM") == layers
    assert not {"Loop", "Slice"} & set(operators)
    generator, columns = np.random.default_rng(layers), row_width(Market(shop).catalogue, product_wise=product_wise)
    for rows in (1, 2, 6):
        with pytest.raises(ValueError, match="shorter"):
            theirs.step(np.zeros((rows, columns), np.float32), ())
        features = generator.normal(size=(rows, columns)).astype(np.float32)
        notes = tuple(generator.normal(size=(rows, layers, 5)).astype(np.float32) for _ in range(2))
        (own, own_notes), (parts, renewed) = ours.step(features, notes), theirs.step(features, notes)
        np.testing.assert_allclose(
            parts.price_multiplier, own.price_multiplier.reshape(parts.price_multiplier.shape), rtol=1e-5
        )
        for got, wanted in zip(renewed, own_notes, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_the_notes_must_be_those_of_the_period_before(made: tuple, bundle: Bundle) -> None:
    predictor, market = Predictor(bundle), Market(made[0].spec)
    first = predictor.price(document(bundle.catalogue, market.view, None))
    market.step(made[0].policy.act(market.view))
    predictor.price(document(bundle.catalogue, market.view, first.memory))
    with pytest.raises(StateError, match="this policy has recurrent state"):
        predictor.price(document(bundle.catalogue, market.view, None))


def test_notes_matter_and_are_kept_by_the_caller_alone(made: tuple, bundle: Bundle) -> None:
    policy, view = bundle.policy, Market(made[0].spec).view
    assert isinstance(policy, RecurrentPolicy)
    generator = np.random.default_rng(0)
    opening, notes = policy.answer(view, None)

    def said(notes: Any) -> bytes:
        action, _ = policy.answer(view, notes)
        assert action.promotion is not None
        return action.price.tobytes() + action.promotion.tobytes()

    others = {said(tuple(3 * generator.standard_normal(n.shape, np.float32) for n in notes)) for _ in range(50)}
    assert len(others) > 1
    np.testing.assert_array_equal(policy.answer(view, None)[0].price, opening.price)


def test_its_golden_vectors_hold_every_part(made: tuple) -> None:
    golden = json.loads((made[2] / "golden.json").read_text())
    assert {"price_multiplier", "promotion", "order", "express"} <= golden["outputs"].keys()
    assert all(np.abs(note).max() > 0 for note in (*golden["notes"], *golden["renewed"]))
    assert [market["state"]["period"] for market in golden["markets"]] == [0, 1, 2, 3]
    assert [market["state"]["memory"] is None for market in golden["markets"]] == [True, False, False, False]
    assert all({"promotion", "order_units", "express_units", "price"} <= market.keys() for market in golden["markets"])


@pytest.mark.parametrize("made", ["everything"], indirect=True)
def test_a_rule_of_another_package_cannot_be_exported(made: tuple, tmp_path: Path) -> None:
    run = made[0]
    facts = run.facts | {"settings": run.facts["settings"] | {"base_price": "somebody-elses"}}
    with pytest.raises(BundleError, match="must be a built-in rule"):
        repricer.export(replace(run, facts=facts), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def seasons(bundle: Bundle) -> list[dict[str, Any]]:
    """States of several markets: two that open an episode, two in the middle of one; some know the lowest price."""
    states = random_states(bundle.catalogue, bundle.guardrails, 6, seed=8)
    memory = [Predictor(bundle).price(state | {"period": 0}).memory for state in states[:2]]
    for item in states[3]["products"]:
        item["lowest_price_30_days"] = item["list_price"]
    opening = [state | {"period": 0} for state in states[2:4]]
    return [*opening, *(s | {"period": 1, "memory": text} for s, text in zip(states[4:], memory, strict=True))]


def decided(deployment: Deployment, states: list[dict[str, Any]]) -> list[Decision]:
    found = deployment.answer(states)
    assert all(isinstance(one, Decision) for one in found), found
    return found  # pyright: ignore


def test_many_states_are_answered_as_each_alone(made: tuple, bundle: Bundle) -> None:
    states = seasons(bundle)
    for state, decision in zip(states, decided(Deployment(made[2]), states), strict=True):
        answers = [answer.to_dict() for answer in (Predictor(bundle).price(state), decision.answer)]
        notes = [bundle.memory.read(answer.pop("memory"), state["period"] + 1) for answer in answers]
        for alone, together in zip(*notes, strict=True):
            np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
        assert answers[0] | {"milliseconds": 0} == answers[1] | {"milliseconds": 0}


def test_its_notes_go_on_while_the_fallback_answers(made: tuple, bundle: Bundle) -> None:
    deployment, first = (
        Deployment(made[2], ServiceSettings(killed=True, fallback="base")),
        example_state(bundle.catalogue),
    )
    (held,) = decided(deployment, [first])
    assert held.answer.memory == Predictor(bundle).price(first).memory
    rule = bundle.policy.base
    name = "base" if rule is None else rule.name
    assert (held.arm, held.answer.policy, held.propensity) == ("fallback", name, 1.0)
    deployment.kill(False)
    (taken,) = decided(deployment, [first | {"period": 1, "memory": held.answer.memory}])
    assert taken.arm == "policy"


def test_a_price_that_both_arms_give_was_certain(made: tuple, bundle: Bundle) -> None:
    deployment = Deployment(made[2], ServiceSettings(holdout=0.25))
    states = [state | {"period": 0} for state in random_states(bundle.catalogue, bundle.guardrails, 200, seed=4)]
    for state in states[::2]:
        state["products"][0]["list_price"] = float(bundle.guardrails.high[0])
    policy, rule = Predictor(bundle), deployment.slots.fallback
    for state, decision in zip(states, decided(deployment, states), strict=True):
        pairs = zip(policy.price(state).prices, rule.price(state).prices, strict=True)
        chance = 0.25 if decision.arm == "fallback" else 0.75
        assert decision.propensity == {a.product: 1.0 if a.price == b.price else chance for a, b in pairs}


def test_it_is_explained_and_recorded_over_http(made: tuple, bundle: Bundle, tmp_path: Path) -> None:
    log, state = tmp_path / "log.db", seasons(bundle)[2]
    with TestClient(create_app(made[2], log=log, settings=ServiceSettings(holdout=0.5))) as client:
        given = client.post("/v1/prices", json=state | {"market": "a"}).json()
        for product in bundle.catalogue.products:
            found = client.post("/v1/explain", json={"state": state, "product": product}).json()
            parts = found["attribution"]
            total = parts["ordinary"] + sum(part["effect"] for part in parts["inputs"])
            assert total == pytest.approx(parts["proposed"], rel=1e-4)
            assert len(found["curve"]["points"]) > 1
        forgetful = client.post("/v1/explain", json={"state": state | {"memory": None}, "product": "tea"})
        assert (forgetful.status_code, "recurrent state" in forgetful.json()["detail"]) == (422, True)
        assert client.get("/").status_code == 200
    rows = list(DecisionLog(log).export())
    also = [
        {key: item[key] for key in ("promotion", "order_units", "express_units")} | {"shown_to": []}
        for item in given["prices"]
    ]
    assert [row["also"] for row in rows] == also


def test_files_carry_its_notes(made: tuple, bundle: Bundle, tmp_path: Path) -> None:
    columns = [
        "market",
        "period",
        "product",
        "list_price",
        "on_hand",
        "on_order",
        "due",
        "competitor_price",
        "lowest_price_30_days",
        "memory",
    ]
    source, out, memory = tmp_path / "in.csv", tmp_path / "out.csv", ""
    for period in range(2):
        rows = [f"a,{period},tea,4.0,20,7,4,3.9,3.5,{memory}", f"a,{period},jam,5.0,20,0,0,,,{memory}"]
        source.write_text("\n".join([",".join(columns), *rows]))
        assert price_file(Predictor(bundle), source, out) == (1, 2)
        found = list(csv.DictReader(out.open(encoding="utf-8")))
        assert {"promotion", "order_units", "express_units", "memory"} <= found[0].keys()
        memory = found[0]["memory"]
        assert len(memory) > 20


def test_a_request_computes_features_and_price_rules_once(made: tuple, bundle: Bundle, counted: Counter[str]) -> None:
    deployment, opening = Deployment(made[2]), example_state(bundle.catalogue)
    counted.clear()
    (first,) = deployment.answer([opening])
    assert isinstance(first, Decision)
    assert counted == {"features": 1, "price rules": 1}
    counted.clear()
    deployment.answer([opening | {"period": 1, "memory": first.answer.memory}, opening])
    assert counted == {"features": 1, "price rules": 1}
