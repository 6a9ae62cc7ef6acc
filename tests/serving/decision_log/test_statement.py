"""A signed statement of a log's heads: who signed it, and that neither it nor the log was changed since."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from repricer.cli import main
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.bundle.files import own_key, own_key_paths


def verify(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["log", "verify", *map(str, arguments)])


@pytest.fixture
def log(one: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "decisions.db"
    with closing(DecisionLog(path)) as decisions:
        for number in range(3):
            state = example_state(one.catalogue)
            decisions.record(Predictor(one).price(state), state, f"r{number}", arm="policy", propensity=0.25)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    own_key(tmp_path / "operator")
    return own_key_paths(tmp_path / "operator")


@pytest.fixture
def statement(log: Path, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "heads.json"
    result = verify(log, "--sign", keys[0], "--out", out)
    assert result.exit_code == 0, result.output
    assert f"signed statement of the heads: {out}" in result.stdout
    return out


def refused(result: Result) -> str:
    assert (result.exit_code, result.stderr.strip().count("\n") <= 3) == (2, True), result.output
    return result.stderr


def test_the_log_still_holds_what_was_stated_even_on_a_medium_that_cannot_be_written(log, keys, statement):
    assert verify(log, "--head", statement, "--public-key", keys[1]).exit_code == 0
    os.chmod(log, 0o400)
    assert verify(log, "--head", statement, "--public-key", keys[1]).exit_code == 0


def test_a_cut_log_is_found(log, keys, statement):
    with closing(sqlite3.connect(log)) as db, db:
        db.executescript("DELETE FROM decisions WHERE id = 3")
    assert verify(log).exit_code == 0, "by itself it looks whole"
    assert "must still hold its row 3" in refused(verify(log, "--head", statement, "--public-key", keys[1]))


@pytest.mark.parametrize("change", [{"rows": 2}, {"stated": "2020-01-01T00:00:00+00:00"}, {"signature": "00"}])
def test_a_changed_statement_is_refused(log, keys, statement, change):
    statement.write_text(json.dumps(json.loads(statement.read_text()) | change))
    assert "a statement of the heads must be signed" in refused(
        verify(log, "--head", statement, "--public-key", keys[1])
    )


def test_another_signer_is_refused(log, statement, tmp_path):
    own_key(tmp_path / "other")
    assert "got another signer" in refused(
        verify(log, "--head", statement, "--public-key", own_key_paths(tmp_path / "other")[1])
    )


def test_what_is_signed_is_checked_and_what_is_not_is_not_taken_for_it(log, keys, statement, tmp_path):
    assert "give --public-key" in refused(verify(log, "--head", statement))
    plain = tmp_path / "plain.json"
    plain.write_text(verify(log, "--json").stdout)
    assert verify(log, "--head", plain).exit_code == 0
    assert "got one without a signature" in refused(verify(log, "--head", plain, "--public-key", keys[1]))


def test_options_that_need_each_other(log, keys, tmp_path):
    assert "give --out too" in refused(verify(log, "--sign", keys[0]))
    assert "give --sign too" in refused(verify(log, "--out", tmp_path / "heads.json"))
    assert "needs the file of --head" in refused(verify(log, "--head", "f" * 64, "--public-key", keys[1]))
