from __future__ import annotations

import shutil
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repricer.agents import Run
from repricer.serving import Bundle, DecisionLog, example_state, export
from repricer.serving.bundle.files import MANIFEST, BundleError, own_key_paths, sha256
from repricer.serving.decision import Decision
from repricer.serving.http import prices
from repricer.serving.http.app import ServiceSettings, create_app
from repricer.serving.http.canary.guards import GuardRules
from repricer.serving.http.canary.trial import Trial
from repricer.serving.http.deployment import Deployment, DeploymentError
from repricer.serving.http.switchboard import OnTrial

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # which HTTP client the test client would rather have
    from starlette.testclient import TestClient

MARKETS = [f"store {i}" for i in range(200)]


def _wait_for_the_next_second() -> None:
    """A bundle states the second of its export, and a canary must be newer than the active one."""
    time.sleep(1.01)


@pytest.fixture(scope="module")
def newer(one_run: Run, one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle of the same run: other golden vectors, the same prices."""
    _wait_for_the_next_second()
    return export(one_run, tmp_path_factory.mktemp("newer") / "bundle", seed=5, key=own_key_paths(one_path)[0])


@pytest.fixture(scope="module")
def dearer(one_run: Run, one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose price rules raise all prices by a lot."""
    prices = {"floor": [2.6, 3.9, 6.5], "max_change": None}
    run = replace(one_run, spec=one_run.spec.with_changes(prices=prices))
    _wait_for_the_next_second()
    return export(run, tmp_path_factory.mktemp("dearer") / "bundle", key=own_key_paths(one_path)[0])


@pytest.fixture
def path(one_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_path, tmp_path / "bundle"))


def renew(path: Path, by: Path) -> None:
    shutil.copytree(by, path, dirs_exist_ok=True)


def states(bundle: Bundle) -> list[dict[str, Any]]:
    return [example_state(bundle.catalogue) | {"market": market} for market in MARKETS]


def decided(deployment: Deployment, asked: list[Any]) -> list[Decision]:
    found = deployment.answer(asked)
    assert all(isinstance(one, Decision) for one in found), found
    return found  # pyright: ignore


def test_a_share_of_the_markets_is_on_it_always_the_same(path: Path, newer: Path, one: Bundle) -> None:
    deployment = Deployment(path, ServiceSettings(holdout=0.2))
    renew(path, newer)
    deployment.try_newer(0.25)
    first, again = (decided(deployment, states(one)) for _ in range(2))
    arms = Counter(each.arm for each in first)
    assert [each.arm for each in first] == [each.arm for each in again]
    for arm, share in (("canary", 0.2), ("fallback", 0.2), ("policy", 0.6)):
        assert abs(arms[arm] / 200 - share) < 4 * (share * (1 - share) / 200) ** 0.5
    digests = {each.arm: each.answer.bundle for each in first}
    assert digests["canary"] == deployment.slots.canary.predictor.bundle.digest != digests["policy"]  # pyright: ignore
    # Both bundles give the same prices, and the fallback others.
    for each in first:
        assert each.propensity["anchovy"] == pytest.approx(0.2 if each.arm == "fallback" else 0.8)  # pyright: ignore
    deployment.try_newer(0.5)
    more = decided(deployment, states(one))
    assert all(late.arm == "canary" for early, late in zip(first, more, strict=True) if early.arm == "canary")


def test_the_kill_switch_and_the_end_of_a_trial_leave_no_market_on_it(path: Path, newer: Path, one: Bundle) -> None:
    deployment = Deployment(path)
    renew(path, newer)
    deployment.try_newer(0.9)
    deployment.kill(True)
    assert {each.arm for each in decided(deployment, states(one))} == {"fallback"}
    deployment.kill(False)
    assert "canary" in {each.arm for each in decided(deployment, states(one))}
    deployment.try_newer(0)
    assert {each.arm for each in decided(deployment, states(one))} == {"policy"}


def test_what_is_no_newer_bundle_for_these_products_is_refused(path: Path, newer: Path, one: Bundle) -> None:
    deployment = Deployment(path)
    with pytest.raises(DeploymentError, match="got the active one"):
        deployment.try_newer(0.5)
    renew(path, newer)
    deployment.reload()
    with pytest.raises(BundleError, match="newer than the active"):
        Trial.of(one, deployment.bundle, OnTrial(one.digest, 0.5, 1), GuardRules())


def test_prices_that_move_too_far_end_it(path: Path, dearer: Path, one: Bundle) -> None:
    deployment = Deployment(path)
    renew(path, dearer)
    deployment.try_newer(0.5)
    decided(deployment, states(one))
    canary = deployment.slots.canary
    assert canary is not None
    assert canary.guards.stopped is not None
    assert canary.guards.stopped[0] == "price_move"
    assert canary.guards.values["price_move"] > 0.15
    assert {each.arm for each in decided(deployment, states(one))} == {"policy"}


def test_an_error_of_the_newer_bundle_costs_no_price_and_ends_it(
    path: Path, newer: Path, one: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(path)
    renew(path, newer)
    deployment.try_newer(0.5)
    canary = deployment.slots.canary
    assert canary is not None

    def broken(*_: Any) -> None:
        raise FloatingPointError

    monkeypatch.setattr(canary.predictor, "price_observed", broken)
    for state in states(one)[:4]:
        assert decided(deployment, [state])[0].answer.prices
    assert canary.guards.stopped is not None
    assert canary.guards.stopped[0] == "errors"


def within(seconds: float, client: TestClient, wanted: str | None) -> bool:
    """Whether the bundle on trial is this one soon."""
    until = time.monotonic() + seconds
    while (found := client.get("/readyz").json()["canary"]) != wanted and time.monotonic() < until:
        time.sleep(0.05)
    return found == wanted


def test_it_reaches_every_instance_outlives_all_and_is_promoted(path: Path, newer: Path, tmp_path: Path) -> None:
    other, log = Path(shutil.copytree(path, tmp_path / "other")), tmp_path / "log.db"
    digest, old = (Deployment(each).bundle.digest for each in (newer, path))
    with TestClient(create_app(path, log=log)) as one, TestClient(create_app(other, log=log)) as two:
        assert one.put("/v1/admin/canary", json={"share": 0.3}).status_code == 409
        assert one.post("/v1/admin/promote").status_code == 409
        renew(path, newer)
        asked = {"share": 0.3, "by": "Ann", "reason": "the weekly bundle"}
        assert one.put("/v1/admin/canary", json=asked).json()["canary"]["share"] == 0.3
        assert within(2, two, digest)
        assert "repricer_canary_ratio 0.3" in two.get("/metrics").text
        assert 'repricer_canary_guard{guard="price_move"} 0.0' in two.get("/metrics").text
    with TestClient(create_app(path, log=log)) as again:
        assert (again.get("/readyz").json()["bundle"], again.get("/readyz").json()["canary"]) == (old, digest)
        refused = again.post("/v1/admin/promote", json={"by": "Ann"})
        assert (refused.status_code, "the guard money, which cannot judge" in refused.text) == (409, True)
        promoted = again.post("/v1/admin/promote", json={"by": "Ann", "unjudged": True})
        assert promoted.json()["active"]["bundle"] == digest
    with TestClient(create_app(other, log=log)) as last:
        assert (last.get("/readyz").json()["bundle"], last.get("/readyz").json()["canary"]) == (digest, None)
    rows = [(row["event"], row["by"]) for row in DecisionLog(log).events() if "position" in row]
    assert rows == [("bundle", "start"), ("canary", "Ann"), ("bundle", "Ann")]


def test_a_newer_bundle_is_tried_first_and_taken_back_by_itself(
    path: Path, dearer: Path, one: Bundle, tmp_path: Path
) -> None:
    settings, log = ServiceSettings(canary=0.5), tmp_path / "log.db"
    with TestClient(create_app(path, log=log, settings=settings)) as client:
        renew(path, dearer)
        assert client.post("/v1/admin/reload").json()["active"]["bundle"] == one.digest
        assert client.get("/readyz").json()["canary"] is not None
        assert client.post("/v1/prices", json=states(one)).status_code == 200
        assert within(2, client, None)
        time.sleep(0.6)
        assert client.get("/v1/operation").json()["canary"] is None
        assert 'repricer_canaries_ended_total{guard="price_move"} 1.0' in client.get("/metrics").text
    last = list(DecisionLog(log).events())[-1]
    taken = {"bundle": sha256((dearer / MANIFEST).read_bytes()), "guard": "price_move"}
    assert (last["event"], last["position"], last["by"]) == ("guard", taken, "guard")
    assert last["reason"].startswith("price_move: mean difference between the prices")
    with TestClient(
        create_app(path, log=log, settings=settings)
    ) as again:  # the bundle at the path is the one taken back
        assert again.get("/readyz").json() == {"status": "ready", "bundle": one.digest, "canary": None}


def test_markets_that_earn_less_end_it(path: Path, newer: Path, one: Bundle, tmp_path: Path) -> None:
    def period(client: TestClient, number: int) -> Counter[str]:
        """Price 60 markets and report what they sold: half as much on the newer bundle."""
        asked = [state | {"period": number} for state in states(one)[:60]]
        answers = client.post("/v1/prices", json=asked).json()
        sold = [
            {"request_id": answer["request_id"], "product": item["product"], "units": units + i % 7, "price_paid": 2.0}
            for i, answer in enumerate(answers)
            for units in (40 if answer["arm"] == "canary" else 80,)
            for item in answer["prices"]
        ]
        assert client.post("/v1/outcomes", json={"outcomes": sold}).status_code == 200
        return Counter(answer["arm"] for answer in answers)

    settings, guards = ServiceSettings(canary=0.5), GuardRules(money_seconds=0.0)
    with TestClient(create_app(path, log=tmp_path / "log.db", settings=settings, guards=guards)) as client:
        period(client, 0)
        renew(path, newer)
        client.post("/v1/admin/reload")
        assert period(client, 1)["canary"] >= 10
        assert within(5, client, None)
    last = list(DecisionLog(tmp_path / "log.db").events())[-1]
    assert "money: confidence that its markets earn less" in last["reason"]


def test_a_guard_acts_within_a_large_request(
    path: Path, dearer: Path, one: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "_PIECE_PRICES", 300)
    with TestClient(create_app(path)) as client:
        renew(path, dearer)
        assert client.put("/v1/admin/canary", json={"share": 0.9}).status_code == 200
        asked = [example_state(one.catalogue) | {"market": f"store {i}"} for i in range(500)]
        arms = [answer["arm"] for answer in client.post("/v1/prices", json=asked).json()]
    assert "canary" in arms[:100]
    assert set(arms[300:]) == {"policy"}


def test_the_guards_know_after_a_restart_what_they_knew(
    path: Path, dearer: Path, one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repricer.serving.http.canary.guards.LIMITS", {"price_move": 9.0, "errors": 1.0, "money": 1.0})
    known, asked = list[Any](), [state | {"loyalty": {"loyal": 1.1}} for state in states(one)[:150]]
    for _ in range(2):
        with TestClient(create_app(path, log=tmp_path / "log.db")) as client:
            if not known:
                client.post("/v1/prices", json=asked[:20])  # before the trial
                renew(path, dearer)
                assert client.put("/v1/admin/canary", json={"share": 0.5}).status_code == 200
                for state in asked:
                    assert client.post("/v1/prices", json=state).status_code == 200
            guards = client.app.state.deployment.slots.canary.guards  # pyright: ignore
            known.append(guards._sums.tolist())
    assert known[0][0] > 400
    assert known[1] == pytest.approx(known[0], rel=0.15)


def test_the_guards_of_a_trial_that_began_again_know_nothing_of_the_one_before(
    path: Path, dearer: Path, one: Bundle, tmp_path: Path
) -> None:
    """Between two looks of one instance, another ended the trial and began it again."""
    other, log = Path(shutil.copytree(path, tmp_path / "other")), DecisionLog(tmp_path / "log.db")
    first, second = (Deployment(each, log=log) for each in (path, other))
    renew(path, dearer)
    first.try_newer(0.5)
    second._follow()
    decided(second, states(one)[:50])
    assert second.slots.canary is not None
    assert second.slots.canary.guards.values["price_move"]
    first.try_newer(0)
    first.try_newer(0.5)
    second._follow()
    assert second.slots.canary.guards.values["price_move"] == 0.0
    with pytest.raises(DeploymentError, match="cannot judge"):
        second.promote()
