"""An encrypted bundle: useless without its key, the same bundle with it, and nowhere in plain."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.agents import Run
from repricer.cli import main
from repricer.serving import Bundle, BundleError, DecisionLog, export, load_bundle
from repricer.serving.bundle.files import LIMITS, is_bundle
from repricer.serving.http.deployment import Deployment

KEY = bytes(range(32)).hex()
PLAIN = (b'"products"', b'"golden"', b"anchovy", b"ir_version", b'"sha256"')


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRICER_KEY", KEY)


@pytest.fixture
def hidden(one_path: Path, tmp_path: Path, key: None) -> Path:
    """A copy of the bundle, encrypted by the command."""
    copy = Path(shutil.copytree(one_path, tmp_path / "bundle"))
    result = CliRunner().invoke(main, ["data", "encrypt", str(copy)])
    assert result.exit_code == 0, result.output
    return copy


def test_it_is_the_same_bundle_with_its_key(hidden: Path, one_path: Path) -> None:
    assert {path.name for path in hidden.iterdir()} == {f"{name}.enc" for name in LIMITS}
    assert is_bundle(hidden)
    assert load_bundle(hidden).digest == load_bundle(one_path).digest
    assert CliRunner().invoke(main, ["data", "decrypt", str(hidden)]).exit_code == 0
    assert {path.name for path in hidden.iterdir()} == set(LIMITS)


def test_it_is_useless_without_its_key(hidden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [path.name for path in hidden.iterdir() if any(word in path.read_bytes() for word in PLAIN)]
    monkeypatch.setenv("REPRICER_KEY", bytes(32).hex())
    with pytest.raises(BundleError, match="must be opened with its own key; got another"):
        load_bundle(hidden)
    monkeypatch.delenv("REPRICER_KEY")
    for line in (["price", str(hidden), "--example"], ["serve", str(hidden)]):
        result = CliRunner().invoke(main, line)
        assert result.exit_code == 2
        assert "the key must be in env:REPRICER_KEY; got: no such environment variable" in result.output
        assert result.output.count("\n") == 1


def test_a_file_of_another_bundle_is_noticed(hidden: Path, one_run: Run, tmp_path: Path) -> None:
    other = export(one_run, tmp_path / "other", seed=7, encrypt=True)
    shutil.copy(other / "golden.json.enc", hidden)
    with pytest.raises(BundleError, match=r"golden\.json must be as manifest\.json lists it"):
        load_bundle(hidden)


def test_price_takes_the_key_from_its_option(hidden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", KEY)
    monkeypatch.delenv("REPRICER_KEY")
    result = CliRunner().invoke(main, ["price", str(hidden), "--example", "--key-from", "env:ELSEWHERE"])
    assert result.exit_code == 0, result.output
    assert "products" in json.loads(result.stdout)
    assert CliRunner().invoke(main, ["price", str(hidden), "--example"]).exit_code == 2


def test_the_switches_of_a_service_keep_it_encrypted(hidden: Path, one: Bundle, one_run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "switches.db"
    with closing(DecisionLog(kept)) as log:
        Deployment(hidden, log=log)
    with closing(DecisionLog(kept)) as log:
        files = log.bundle_files(one.digest)
    assert files is not None
    assert set(files) == {f"{name}.enc" for name in LIMITS}
    assert not [word for word in PLAIN if any(word in content for content in files.values())]
    # Another bundle takes over at a start; a rollback needs the one in the log.
    other = export(one_run, tmp_path / "other", seed=7)
    with closing(DecisionLog(kept)) as log:
        deployment = Deployment(other, log=log)
        deployment.rollback()
        assert deployment.bundle.digest == one.digest
