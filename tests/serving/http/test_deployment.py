from __future__ import annotations

import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repricer.serving import Bundle, BundleError, DecisionLog, Predictor, StateError, example_state, export, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.decision import Decision
from repricer.serving.http.app import create_app
from repricer.serving.http.deployment import Deployment, DeploymentError
from repricer.serving.http.settings import ServiceSettings
from repricer.serving.sample_states import random_states
from repricer.tests.serving.simulation.world import newer_bundles

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient


@pytest.fixture
def path(one_path: Path, tmp_path: Path) -> Path:
    """A bundle that a test may replace."""
    shutil.copytree(one_path, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="session")
def newer(one_run: Any, one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle of the same run: golden vectors by another seed."""
    out = tmp_path_factory.mktemp("newer") / "bundle"
    return export(one_run, out, seed=5, key=own_key_paths(one_path)[0])


def replaced(path: Path, by: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(by, path)


def decided(deployment: Deployment, states: list[Any]) -> list[Decision]:
    found = deployment.answer(states)
    assert all(isinstance(one, Decision) for one in found), found
    return found  # pyright: ignore


def test_many_states_are_answered_as_each_alone(one_path: Path, one: Bundle) -> None:
    states = random_states(one.catalogue, one.guardrails, 7, seed=3)
    predictor = Predictor(one)
    for decision, state in zip(decided(Deployment(one_path), states), states, strict=True):
        alone = predictor.price(state)
        assert [vars(p) for p in decision.answer.prices] == [vars(p) for p in alone.prices]
        assert decision.answer.recommendations == alone.recommendations
        assert (decision.arm, decision.propensity) == ("policy", 1.0)


def test_a_wrong_state_costs_the_others_nothing(one_path: Path, one: Bundle) -> None:
    good = example_state(one.catalogue)
    found = Deployment(one_path).answer([good, {}, good])
    assert isinstance(found[1], StateError)
    assert isinstance(found[0], Decision)
    assert isinstance(found[2], Decision)


def test_a_newer_bundle_takes_over_and_steps_back(path: Path, newer: Path) -> None:
    deployment = Deployment(path, public_key=None)
    old = deployment.bundle.digest
    assert deployment.reload() is False
    replaced(path, newer)
    assert deployment.reload() is True
    assert deployment.bundle.digest == load_bundle(newer).digest != old
    deployment.rollback()
    assert deployment.bundle.digest == old
    for again in (deployment.rollback, deployment.reload):
        with pytest.raises(DeploymentError):
            again()
    deployment.rollback(to=old)
    assert deployment.bundle.digest == old


def test_nothing_changes_where_the_new_bundle_cannot_be_trusted(path: Path, one_path: Path, newer: Path) -> None:
    deployment = Deployment(path, public_key=own_key_paths(one_path)[1])
    (path / "policy.onnx").write_bytes(b"something")
    with pytest.raises(BundleError):
        deployment.reload()
    assert deployment.bundle.digest == load_bundle(one_path).digest
    assert deployment.status()["former"] is None
    replaced(path, newer)
    assert deployment.reload()


def test_an_older_bundle_is_no_update(path: Path, one_path: Path, newer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(path, newer)
    deployment = Deployment(path)
    monkeypatch.setitem(deployment.bundle.manifest, "created", "9999-01-01T00:00:00+00:00")
    replaced(path, one_path)
    with pytest.raises(BundleError, match="must be newer"):
        deployment.reload()


def instance(path: Path, bundle: Path, log: DecisionLog) -> tuple[Deployment, Path]:
    """A service on a log that others use too, and the path of its bundle."""
    shutil.copytree(bundle, path)
    return Deployment(path, log=log), path


def test_a_trial_does_not_go_on_once_another_instance_has_activated_a_newer_bundle(
    one_path: Path, tmp_path: Path
) -> None:
    """Promoted later, it took the fleet back to an older bundle without a rollback: seeds 1726 and 1959 of the simulation."""
    first, second, third = newer_bundles([one_path] * 3, own_key_paths(one_path)[0], tmp_path)
    log = DecisionLog(tmp_path / "log.db")
    (one, here), (other, there) = (instance(tmp_path / name, first, log) for name in ("here", "there"))
    replaced(here, second)
    one.try_newer(0.2)
    replaced(there, third)
    assert other.reload()
    with pytest.raises(BundleError, match="must be newer"):
        one.try_newer(0.2)
    assert one.positions.trial is None
    log.close()


def test_a_trial_that_an_instance_does_not_follow_yet_is_not_judged_there(one_path: Path, tmp_path: Path) -> None:
    """It was promoted, as if its guards had judged: seed 1323 of the simulation."""
    first, second = newer_bundles([one_path] * 2, own_key_paths(one_path)[0], tmp_path)
    log = DecisionLog(tmp_path / "log.db")
    (one, here), (other, _) = (instance(tmp_path / name, first, log) for name in ("here", "there"))
    replaced(here, second)
    one.try_newer(0.2)
    other.kill(False)  # so that it has read of the trial, and has not loaded its bundle
    assert other.positions.trial is not None
    assert other.slots.canary is None
    with pytest.raises(DeploymentError, match="whose guards can judge"):
        other.promote()
    other.promote(unjudged=True)
    assert other.bundle.digest == load_bundle(second).digest
    log.close()


def test_rollback_needs_a_former(one_path: Path) -> None:
    with pytest.raises(DeploymentError, match="got none"):
        Deployment(one_path).rollback()


@pytest.mark.parametrize("fallback", ["in-force", "regular", "base"])
def test_the_kill_switch_puts_all_on_the_fallback_within_the_rules(one_path: Path, one: Bundle, fallback: str) -> None:
    deployment = Deployment(one_path, ServiceSettings(fallback=fallback, killed=True))
    state = example_state(one.catalogue)
    (decision,) = decided(deployment, [state])
    assert (decision.arm, decision.propensity, decision.answer.policy) == ("fallback", 1.0, fallback)
    wanted = {"in-force": one.catalogue.regular_price, "regular": one.catalogue.regular_price}
    price = np.array([item.price for item in decision.answer.prices])
    if fallback in wanted:
        np.testing.assert_allclose(price, wanted[fallback], rtol=1e-6)
    else:
        np.testing.assert_allclose(price, one.policy.base_price, atol=0.026)  # a tick of 0.05
    assert (price >= one.guardrails.low).all()
    deployment.kill(False)
    assert decided(deployment, [state])[0].arm == "policy"


@pytest.mark.parametrize("on", ["false", 1, None])
def test_the_kill_switch_is_on_or_off(one_path: Path, on: Any) -> None:
    with TestClient(create_app(one_path)) as client:
        refused = client.put("/v1/admin/kill-switch", json={"on": on})
        assert (refused.status_code, "on must be true or false" in refused.json()["detail"]) == (422, True)
        assert client.get("/v1/operation").json()["kill_switch"] is False


def test_no_other_fallback(one_path: Path) -> None:
    with pytest.raises(ValueError, match="fallback must be one of"):
        Deployment(one_path, ServiceSettings(fallback="lottery"))


def test_the_holdout_has_its_share_and_a_market_keeps_its_arm(one_path: Path, one: Bundle) -> None:
    deployment, state = Deployment(one_path, ServiceSettings(holdout=0.3, seed=1)), example_state(one.catalogue)
    markets = [state | {"market": f"store {i}"} for i in range(600)]
    first = decided(deployment, markets)
    assert [d.arm for d in first] == [d.arm for d in decided(deployment, markets)]
    share = Counter(d.arm for d in first)["fallback"] / 600
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 600) ** 0.5
    chances = {"policy": 0.7, "fallback": 0.3}
    for d in first:
        assert d.propensity == {item.product: pytest.approx(chances[d.arm]) for item in d.answer.prices}
    other = decided(Deployment(one_path, ServiceSettings(holdout=0.3, seed=2)), markets)
    assert [d.arm for d in first] != [d.arm for d in other]
    twice = [
        [d.arm for d in decided(Deployment(one_path, ServiceSettings(holdout=0.3, seed=1)), [state] * 50)]
        for _ in range(2)
    ]
    assert twice[0] == twice[1]
    assert len(set(twice[0])) == 2
    unnamed = Counter(d.arm for d in decided(deployment, [state] * 600))["fallback"] / 600
    assert abs(unnamed - 0.3) < 5 * (0.3 * 0.7 / 600) ** 0.5


def test_questions_about_a_market_are_answered_by_its_arm(one_path: Path, one: Bundle) -> None:
    deployment, state = Deployment(one_path, ServiceSettings(holdout=0.5, seed=1)), example_state(one.catalogue)
    markets = [state | {"market": f"store {i}"} for i in range(20)]
    charged = decided(deployment, markets)
    assert {decision.arm for decision in charged} == {"policy", "fallback"}
    for decision, market in zip(charged, markets, strict=True):
        _, _, asked = deployment.preview(market)
        assert (asked.arm, asked.answer.policy) == (decision.arm, decision.answer.policy)
        assert [p.price for p in asked.answer.prices] == [p.price for p in decision.answer.prices]


@pytest.mark.parametrize("share", ["-0.1", "1.0", "NaN"])
def test_a_holdout_is_a_share(one_path: Path, share: str) -> None:
    with TestClient(create_app(one_path)) as client:
        headers = {"content-type": "application/json"}
        refused = client.put("/v1/admin/holdout", content=f'{{"share": {share}}}', headers=headers)
        assert refused.status_code == 422
        wanted = "request must be JSON" if share == "NaN" else "share must be a number from 0 to below 1"
        assert wanted in refused.json()["detail"]
        assert client.get("/v1/operation").json()["holdout"] == 0


def test_drift_raises_the_alarm_and_says_where(one_path: Path, one: Bundle) -> None:
    deployment = Deployment(one_path)
    usual = example_state(one.catalogue)
    for item in usual["products"]:
        item["on_hand"] = None  # as in the simulated market
    for _ in range(50):
        (decision,) = decided(deployment, [usual])
    assert decision.warnings == []
    assert deployment.status()["alarms"] == []
    far = {**usual, "period": 3, "products": [{**item, "last_units": 1e6} for item in usual["products"]]}
    for _ in range(50):
        (decision,) = decided(deployment, [far])
    assert any("sales of the last period against their forecast" in line for line in decision.warnings)
    assert "log_surprise" in deployment.status()["alarms"]
    assert 'repricer_drift_alarm{feature="log_surprise"} 1.0' in deployment.metrics.text(deployment.slots).decode()


@pytest.mark.parametrize("options", [{}, {"killed": True}], ids=["policy", "fallback"])
def test_a_request_computes_features_and_price_rules_once(
    one_path: Path, one: Bundle, counted: Counter[str], options: dict[str, Any]
) -> None:
    deployment, state = Deployment(one_path, ServiceSettings(**options)), example_state(one.catalogue)
    counted.clear()
    decided(deployment, [state, state])
    assert counted == {"features": 1, "price rules": 1}
    counted.clear()
    deployment.preview(state)
    assert counted == {"features": 1, "price rules": 1}


def test_with_a_holdout_both_arms_share_the_features(one_path: Path, one: Bundle, counted: Counter[str]) -> None:
    deployment = Deployment(one_path, ServiceSettings(holdout=0.5))
    counted.clear()
    decided(deployment, [example_state(one.catalogue)])
    assert counted == {"features": 1, "price rules": 2}
