from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.cli.export import command as export_command
from repricer.cli.price import command as price_command
from repricer.cli.serve import command as serve_command
from repricer.serving import Bundle, Predictor, StateError, example_state, load_bundle
from repricer.serving.bundle.files import own_key_paths
from repricer.serving.http.api_keys import add_key

from .http.processes.certificates import self_signed


def call(command: Any, *arguments: Any, **options: Any) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], **options)


@pytest.fixture
def state_file(one: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(example_state(one.catalogue)))
    return path


def test_price_prints_one_document(one: Bundle, one_path: Path, state_file: Path) -> None:
    result = call(price_command, one_path, "--state", state_file, "--json")
    assert result.exit_code == 0
    wanted = Predictor(one).price(json.loads(state_file.read_text())).to_dict()
    found = json.loads(result.stdout)
    assert isinstance(found.pop("warnings"), list)
    assert found | {"milliseconds": 0} == wanted | {"milliseconds": 0}


def test_price_says_what_the_policy_was_not_trained_on(one: Bundle, one_path: Path, tmp_path: Path) -> None:
    state = example_state(one.catalogue)
    far = {**state, "period": 3, "products": [{**item, "last_units": 1e6} for item in state["products"]]}
    path = tmp_path / "far.json"
    path.write_text(json.dumps(far), encoding="utf-8")
    said = json.loads(call(price_command, one_path, "--state", path, "--json").stdout)["warnings"]
    words = "the sales of the last period against their forecast"
    assert any(line.startswith(words) and "lies outside the training range" in line for line in said)
    assert f"caution: {words}" in call(price_command, one_path, "--state", path).stdout


def test_the_example_lies_within_the_training_range(one: Bundle) -> None:
    assert {item["on_hand"] for item in one.example["products"]} == {None}
    assert not one.seen.outside(Predictor(one).observe([Predictor(one).read(one.example)]).features).any()
    limited = replace(one, seen=replace(one.seen, low=one.seen.low.clip(max=0.0)))
    assert limited.example == example_state(one.catalogue)


def test_the_example_has_no_more_in_stock_than_the_policy_knows(one: Bundle) -> None:
    high = dict(zip(one.seen.names, one.seen.high, strict=True)) | {"log_stock_cover": -0.5, "log_position_cover": 1.0}
    low = one.seen.low.clip(max=-3.0)
    known = replace(one, seen=replace(one.seen, low=low, high=np.array(list(high.values()))))
    seen = Predictor(known).observe([Predictor(known).read(known.example)])
    assert known.seen.warnings(known.seen.outside(seen.features)[0], known.catalogue.products) == []
    assert min(item["on_hand"] for item in known.example["products"]) > 0


def test_the_example_does_not_say_that_nothing_was_sold(one: Bundle) -> None:
    state = example_state(one.catalogue) | {"period": 3}
    told = [
        {**item, "last_units": float(one.catalogue.forecast_units[2, n])} for n, item in enumerate(state["products"])
    ]
    answers = [Predictor(one).price(asked) for asked in (state, {**state, "products": told})]
    assert [p.price for p in answers[0].prices] == [p.price for p in answers[1].prices]
    assert all("last_units" not in item for item in state["products"])


def test_price_shows_what_the_rules_changed(one_path: Path, state_file: Path) -> None:
    result = call(price_command, one_path, "--state", state_file)
    assert result.exit_code == 0
    for word in ("anchovy", "biscuit", "cider", "max change", "→", "thrifty", "shown to loyal", "own key only"):
        assert word in result.stdout
    pinned = call(price_command, one_path, "--state", state_file, "--public-key", own_key_paths(one_path)[1])
    assert "by the given key" in pinned.stdout


def test_price_gives_an_example_that_it_takes(one_path: Path) -> None:
    example = call(price_command, one_path, "--example")
    assert example.exit_code == 0
    result = call(price_command, one_path, "--state", "-", "--json", input=example.stdout)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["prices"]) == 3


@pytest.mark.parametrize("content", [None, "no json", "[" * 100_000, "\udcff"])
def test_price_says_what_is_wrong_with_the_file(one_path: Path, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    result = call(price_command, one_path, "--state", path)
    assert isinstance(result.exception, ValueError)
    assert "s.json must be a state in JSON" in str(result.exception)
    assert "--example" in str(result.exception)


def test_price_passes_the_line_of_a_wrong_state_on(one_path: Path) -> None:
    assert isinstance(call(price_command, one_path, "--state", "-", input="{}").exception, StateError)


def test_price_shows_the_lowest_price_beside_a_reduction(one_path: Path, one: Bundle) -> None:
    state = example_state(one.catalogue)
    for item, ceiling in zip(state["products"], (4.0, 6.0, 9.0), strict=True):
        item |= {"list_price": ceiling, "lowest_price_30_days": ceiling - 0.0123}
    result = call(price_command, one_path, "--state", "-", input=json.dumps(state))
    assert "lowest in 30 days" in " ".join(result.stdout.split())
    assert "3.9877" in result.stdout


def test_price_needs_a_state_or_none(one_path: Path, state_file: Path) -> None:
    assert call(price_command, one_path).exit_code == 2
    assert call(price_command, one_path, "--state", state_file, "--example").exit_code == 2


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the service was asked to run."""
    calls: list[dict[str, Any]] = []
    processes = "repricer.serving.http.processes"
    monkeypatch.setattr(
        f"{processes}.server.serve", lambda app, host, port, **_: calls.append({"app": app, "host": host, "port": port})
    )
    return calls


def test_serve_listens_at_home_unless_told(one_path: Path, one: Bundle, served: list[dict[str, Any]]) -> None:
    result = call(serve_command, one_path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["bundle"] == one.digest
    assert (served[0]["host"], served[0]["port"]) == ("127.0.0.1", 8000)
    assert served[0]["app"].state.deployment.bundle.digest == one.digest


def test_serve_takes_a_key_and_a_log(one_path: Path, tmp_path: Path, served: list[dict[str, Any]]) -> None:
    key = own_key_paths(one_path)[1]
    result = call(serve_command, one_path, "--port", 9000, "--log", tmp_path / "log.db", "--public-key", key)
    assert "pinned" in result.stdout
    assert "http://127.0.0.1:9000" in result.stdout
    assert (tmp_path / "log.db").exists()


def test_serve_without_keys_stays_at_home(one_path: Path, tmp_path: Path, served: list[dict[str, Any]]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "shop.example"):
        refused = call(main, "serve", one_path, "--host", host)
        assert (refused.exit_code, "without --keys" in refused.stderr) == (2, True)
    assert served == []
    keys = tmp_path / "keys.json"
    add_key(keys, role="price", name="till")
    assert call(main, "serve", one_path, "--host", "0.0.0.0", "--keys", keys, "--behind-proxy").exit_code == 0
    assert call(main, "serve", one_path, "--host", "::1").exit_code == 0
    assert [one["host"] for one in served] == ["0.0.0.0", "::1"]


def test_serve_beyond_this_machine_needs_a_proxy(one_path: Path, tmp_path: Path, served: list[dict[str, Any]]) -> None:
    keys = tmp_path / "keys.json"
    add_key(keys, role="price", name="till")
    for host in ("0.0.0.0", "::", "192.168.1.5", "shop.example"):
        refused = call(main, "serve", one_path, "--host", host, "--keys", keys)
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert f"without --behind-proxy; got --host {host}; pass --tls-certificate and --tls-key" in refused.stderr
    assert served == []


def test_serve_beyond_this_machine_takes_a_certificate(
    one_path: Path, tmp_path: Path, served: list[dict[str, Any]]
) -> None:
    keys = tmp_path / "keys.json"
    add_key(keys, role="price", name="till")
    certificate, key = self_signed(tmp_path)
    words = ("serve", one_path, "--host", "0.0.0.0")
    tls = ("--tls-certificate", certificate, "--tls-key", key)
    assert "without --keys" in call(main, *words, *tls).stderr
    for given, named in (
        (("--tls-certificate", certificate), "got --tls-certificate alone; give both"),
        (("--tls-key", key), "got --tls-key alone; give both"),
        (("--tls-certificate", key, "--tls-key", certificate), f"got {key} and {certificate}"),
        (("--tls-certificate", tmp_path / "none.pem", "--tls-key", key), "none.pem and"),
    ):
        refused = call(main, *words, "--keys", keys, *given)
        assert (refused.exit_code, refused.stderr.count("\n"), named in refused.stderr) == (2, 1, True), refused.stderr
    assert served == []
    found = call(main, *words, "--keys", keys, *tls)
    assert (found.exit_code, "at https://0.0.0.0:8000," in found.stdout) == (0, True)


def test_serve_names_the_extra_that_lacks(one_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "repricer.serving.http.processes.server", raising=False)
    result = call(main, "serve", one_path)
    assert result.exit_code == 1
    assert "needs uvicorn" in result.stderr
    assert "pip install 'repricer[serve]'" in result.stderr


def test_what_is_wrong_is_one_line_and_exit_code_two(one_path: Path, tmp_path: Path) -> None:
    for arguments in (["price", tmp_path, "--example"], ["serve", tmp_path], ["price", one_path, "--state", tmp_path]):
        result = call(main, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch, one_run: Any) -> None:
    """A run without a folder."""
    monkeypatch.setattr("repricer.agents.load_run", lambda path: one_run)


def test_export_writes_a_bundle_and_says_which_key_signed(agents: None, tmp_path: Path) -> None:
    result = call(export_command, "run", "--out", tmp_path / "b", "--seed", 4, "--episodes", 5, "--json")
    assert result.exit_code == 0, result.exception
    facts = json.loads(result.stdout)
    assert load_bundle(facts["bundle"], public_key=facts["public_key"]).digest == facts["digest"]
    assert facts["key"] == str(tmp_path / "b.key.pem")
    again = call(export_command, "run", "--out", tmp_path / "c", "--key", facts["key"], "--episodes", 5)
    assert again.exit_code == 0
    assert f"signed by {facts['key']}" in again.stdout.replace("\n", " ")
    assert load_bundle(tmp_path / "c", public_key=facts["public_key"]).trust == "pinned"
    first, second = (json.loads((tmp_path / name / "golden.json").read_text()) for name in ("b", "c"))
    assert first != second  # another seed
    manifest = load_bundle(facts["bundle"]).manifest
    assert {row["policy"] for row in manifest["evaluation"]["policies"]} == {"ppo:3", "best-fixed"}
    assert manifest["seeds"] == {"training": 3, "golden vectors": 4}
    assert manifest["data"] == {"tables_sha256": None}


def test_an_archive_of_stable_baselines_is_refused_with_what_to_do(tmp_path: Path) -> None:
    arguments = (tmp_path / "model.zip", "--out", tmp_path / "b")
    for more in ((), ("--algo", "ppo"), ("--set", "product_wise=true")):
        result = call(export_command, *arguments, *more)
        assert isinstance(result.exception, ValueError)
        assert "export `repricer.policy_from(model, SCENARIO)`" in str(result.exception)


def test_a_service_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """The file that keeps the switches was made beside a bundle that is not there."""
    for line in ([], ["--log", tmp_path / "log.db"]):
        assert "nowhere must be a bundle" in str(call(serve_command, tmp_path / "nowhere", *line).exception)
        assert not list(tmp_path.iterdir())
