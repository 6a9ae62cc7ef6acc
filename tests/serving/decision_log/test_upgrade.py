"""A log of an earlier version is refused, left as it is, and the line says what to do; one of version 5 is migrated."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.serving import DecisionLog
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.http.switchboard import Positions


def dumped(path: Path) -> list[str]:
    """All that a log holds."""
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def test_a_log_of_version_3_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "version_3.sql").read_text())
    before = dumped(path)
    path.chmod(0o600)
    with pytest.raises(
        ValueError, match=r"must be of version 6; got .* of version 3; keep it, read it with the repricer that wrote it"
    ):
        DecisionLog(path)
    assert dumped(path) == before


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A log of version 5: a rotation, outcomes in a block and alone, an erased market, an answer that is kept, switches,
    two bundles, approvals and an experiment.
    """
    path = tmp_path / "former.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "version_5.sql").read_text())
    path.chmod(0o600)
    return path


def test_a_log_of_version_5_is_refused_with_the_command_that_migrates_it(former: Path) -> None:
    with pytest.raises(ValueError, match=rf"of version 5; `repricer log migrate {former} NEW` makes a new log of it"):
        DecisionLog(former)


def test_a_log_of_version_5_is_migrated(former: Path, tmp_path: Path) -> None:
    new, before = tmp_path / "new.db", dumped(former)
    result = CliRunner().invoke(main, ["log", "migrate", str(former), str(new), "--json"])
    assert result.exit_code == 0, result.output
    assert dumped(former) == before
    head = json.loads(result.stdout)
    assert (head["rows"], head["gone"], head["outcomes"], head["outcomes_gone"]) == (22, 1, 22, 0)
    with closing(DecisionLog(new)) as log, closing(sqlite3.connect(former)) as db:
        # The chain of decisions goes on: heads that were noted are still in it.
        (noted,) = db.execute("SELECT hash FROM decisions ORDER BY id DESC LIMIT 1").fetchone()
        assert log.verify(noted).hash == noted
        assert [row["request_id"] for row in log.export()] == [f"r{n}" for n in range(20) if n % 4] + ["kept"]
        sold = {(row["request_id"], row["segment"]): row["units"] for row in log.export_outcomes()}
        assert sold == {(f"r{n}", None): float(n) for n in range(20) if n % 4} | {
            ("kept", "loyal"): 3.0,
            ("kept", "other"): 4.0,
        }
        assert log.record_outcomes([ReportedOutcome("tea", 1.0, request_id="r1")]) == 0
        now = Positions().after(log.transitions()[0])
        assert (now.active, now.taken_back, now.killed, now.holdout) == ("b1", {"b2"}, True, 0.2)
        assert log.bundle_files("b2") == {"manifest.json": b"[]"}
        kinds = [event["event"] for event in log.events()]
        assert {"approval", "item", "decision", "experiment", "erased", "decisions rotated"} <= set(kinds)
        assert kinds[-1] == "migrated"
        (odd,) = log.events("kill_switch")
        assert (odd["by"], odd["reason"]) == ("Bo", "odd prices")
        assert log.erase("Oslo", "Ann") == 15
        assert log.verify().rows == 22
    again = CliRunner().invoke(main, ["log", "migrate", str(former), str(new)])
    assert (again.exit_code, "NEW must be a new log" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET market = 'Paris' WHERE id = 3",
        "UPDATE outcomes SET number = 5 WHERE id = 3",
        "UPDATE outcomes SET body = (SELECT body FROM outcomes WHERE id = 3) WHERE id = 2",
        "UPDATE switches SET body = '{}' WHERE id = 1",
        "UPDATE maintenance SET name = 'other' WHERE name = 'markets'",
    ],
)
def test_a_changed_log_of_version_5_is_not_migrated(former: Path, tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(former)) as db, db:
        assert db.execute(statement).rowcount > 0
    refused = CliRunner().invoke(main, ["log", "migrate", str(former), str(tmp_path / "new.db")])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1), refused.output


def test_a_file_of_switches_is_read_once(former: Path, tmp_path: Path) -> None:
    with closing(DecisionLog(tmp_path / "log.db")) as log:
        log.record_approvals([])
        assert log.adopt(former)
        now = Positions().after(log.transitions()[0])
        assert (now.active, now.killed, now.holdout) == ("b1", True, 0.2)
        events = log.verify().events
        assert not log.adopt(former)
        assert log.verify().events == events
