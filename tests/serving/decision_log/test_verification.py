"""Verification accepts what was written and nothing else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log import storage
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.decision_log.replies import Reply

COUNT = 20


@pytest.fixture
def path(tmp_path: Path, one: Bundle) -> Path:
    """Decisions of two markets with outcomes, an erased market, switches, a bundle, and an answer that is kept."""
    path, state = tmp_path / "decisions.db", example_state(one.catalogue)
    answer = Predictor(one).price(state)

    def decision(market: str) -> Decision:
        return Decision(state | {"market": market}, answer, "policy", 1.0, [])

    with closing(DecisionLog(path)) as log:
        log.submit_decisions([(f"r{n}", decision("Oslo" if n < COUNT - 1 else "Rome")) for n in range(COUNT)]).result()
        log.record_outcomes([ReportedOutcome("cider", 1.0, request_id=f"r{n}") for n in range(COUNT)])
        log.erase("Rome", "Ann")
        for on in (True, False):
            assert log.record_switches(log.transitions()[1], [("kill_switch", on)], "Ann", "")
        files = {"b": {"manifest.json": b"{}"}}
        assert log.record_switches(log.transitions()[1], [("bundle", "b")], "Ann", "", files)
        log.submit_decisions([("kept", decision("Oslo"))], Reply("kept", "question", b"{}")).result()
        log.verify()
    return path


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            assert db.execute(statement).rowcount > 0, statement


def verify(path: Path, *more: str) -> Any:
    return CliRunner().invoke(main, ["log", "verify", str(path), *more])


MOVED = "CAST(salt || CAST(substr(market, 1, 1) AS BLOB) AS BLOB)"
LONE = "UPDATE {} SET body = NULL, salt = NULL, market = NULL WHERE id = {}"


@pytest.mark.parametrize(
    "statements",
    [
        (f"UPDATE decisions SET salt = {MOVED}, market = substr(market, 2) WHERE id = 3",),
        ("UPDATE decisions SET market = NULL, salt = NULL, body = NULL WHERE id = 3",),
        (LONE.format("outcomes", 1),),
        (LONE.format("events", 1),),
        (LONE.format("events", 2),),
        ("UPDATE events SET body = NULL",),
        ("UPDATE events SET body = '[]'",),
        ("UPDATE events SET body = '{\"decisions\": 5}'",),
        ("UPDATE bundles SET files = X'00'",),
        ("DELETE FROM bundles",),
        ("DELETE FROM decisions WHERE id > 10",),
        ("UPDATE replies SET answer = X'00'",),
        ("UPDATE replies SET question = 'another'",),
    ],
    ids=lambda statements: statements[0][:70],
)
def test_what_was_not_written_is_found_in_one_line(path: Path, statements: tuple[str, ...]) -> None:
    assert verify(path).exit_code == 0
    tamper(path, *statements)
    found = verify(path)
    assert (found.exit_code, found.stderr.count("\n"), found.stdout) == (2, 1, ""), found.output
    with closing(DecisionLog(path)) as log, pytest.raises(ChainError):
        log.verify()


@pytest.mark.parametrize(("table", "keeps"), [("events", 1), ("decisions", COUNT), ("outcomes", 0)])
def test_rows_that_were_cut_are_found_by_who_noted_all_heads(
    path: Path, tmp_path: Path, table: str, keeps: int
) -> None:
    noted = tmp_path / "heads.json"
    noted.write_text(verify(path, "--json").stdout)
    assert verify(path, "--head", str(noted)).exit_code == 0
    with closing(DecisionLog(path)) as log:  # it goes on
        assert log.record_switches(log.transitions()[1], [("kill_switch", True)], "Ann", "")
    assert verify(path, "--head", str(noted)).exit_code == 0
    tamper(path, f"DELETE FROM {table} WHERE id > {keeps}")
    found = verify(path, "--head", str(noted))
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1), found.output


def test_a_note_that_is_none_is_one_line(path: Path, tmp_path: Path) -> None:
    noted = tmp_path / "heads.json"
    for content in ("no", '{"rows": 1}'):
        noted.write_text(content)
        found = verify(path, "--head", str(noted))
        assert (found.exit_code, found.stderr.count("\n")) == (2, 1), found.output


def test_an_archived_part_needs_no_note(path: Path, tmp_path: Path) -> None:
    noted = tmp_path / "heads.json"
    noted.write_text(verify(path, "--json").stdout)
    with closing(DecisionLog(path)) as log:
        log.rotate(-1, tmp_path / "old.db", "Ann")
        assert log.verify(json.loads(noted.read_text())).gone == COUNT + 1


def test_it_reads_what_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    monkeypatch.setattr(storage.os, "access", lambda *_: False)
    assert verify(path).exit_code == 0
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    Path(f"{path}-wal").write_bytes(b"rows")
    assert "which cannot be written, with its last rows in" in verify(path).stderr


def test_a_kept_answer_that_was_changed_is_not_given(path: Path) -> None:
    tamper(path, "UPDATE replies SET answer = X'00'")
    reply = Reply("kept", "question", b"{}")
    with closing(DecisionLog(path)) as log, pytest.raises(ChainError, match="must be as it was given"):
        log.submit_decisions([], reply).result()
