"""Logs of version 3, in which every market had a key: a log and its archive, as that version wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repricer.cli import main
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.outcomes import ReportedOutcome
from repricer.serving.decision_log.upgrade import upgrade

HERE = Path(__file__).parent
HEADS = {
    "log": "8f41e4648ce2f76b54324b60264b9d8416859cc8eefddc97274fde16003877fa",
    "outcomes": "e040fc4d4a3cb4fe06f764086d766a857869a84adc1e213b9456ba0603abddb4",
    "archive": "a0d34c50f476399a349fd7f006e929fed411770786a3329718170d26477a266f",
}


def former(path: Path, name: str, statement: str = "") -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript((HERE / name).read_text())
        db.executescript(statement)
    path.chmod(0o600)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return former(tmp_path / "log.db", "version_3.sql")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return former(tmp_path / "old.db", "version_3_archive.sql")


def requests(log: DecisionLog) -> list[str]:
    return list(dict.fromkeys(row["request_id"] for row in log.export()))


def check(log: DecisionLog, one: Bundle) -> None:
    """It has what it had, and goes on."""
    found = log.verify(HEADS["log"])
    assert log.verify(HEADS["outcomes"]) == found
    assert (found.rows, found.outcomes, found.approvals, found.switches) == (4, 3, 1, 2)
    assert (found.gone, found.outcomes_gone, found.bundles) == (2, 2, 1)
    assert (requests(log), log.erased()) == (["r3"], 1)
    assert [row["market"] for row in log.export()] == ["Oslo"] * 3
    assert [name for name, _ in log.transitions()[0]] == ["bundle", "kill_switch"]
    assert [(row["thrown_by"], row["reason"]) for row in log.export_switches()][1] == ("Ann", "odd prices")
    (approval,) = log.export_approvals()
    assert (approval["zone"], approval["new_price"], approval["decided_by"]) == ("north", 1.1, "Ann")
    assert [act["action"] for act in log.export_maintenance()].count("erase") == 1
    state = example_state(one.catalogue) | {"market": "Oslo", "period": 5}
    log.record(Predictor(one).price(state), state, "later")
    assert log.record_outcomes([ReportedOutcome("cider", 2.0, request_id=name) for name in ("r3", "later")]) == 2
    assert log.verify(HEADS["log"]).rows == 5
    assert log.rotate(-40_000, None, "Ann")[:2] == (3, 3)
    assert (log.verify(HEADS["log"]).gone, requests(log)) == (5, [])


def test_a_log_of_version_3_is_refused_with_the_command_that_upgrades_it(path: Path, one: Bundle) -> None:
    with pytest.raises(ValueError, match=r"must be of version 4; got .* of version 3; run `repricer log upgrade"):
        DecisionLog(path)
    result = CliRunner().invoke(main, ["log", "upgrade", str(path)])
    assert (result.exit_code, "9 rows" in result.stdout) == (0, True), result.output
    with closing(DecisionLog(path)) as log:
        check(log, one)
    assert not any(b"Bern" in file.read_bytes() for file in path.parent.glob("log.db*"))
    with pytest.raises(ValueError, match=r"needs a log of version 3; got .* of version 4"):
        upgrade(path)


def test_an_archive_needs_the_keys_of_its_log_and_forgets_who_was_erased_there(path: Path, archive: Path) -> None:
    with pytest.raises(ValueError, match="needs the keys of an archive or a backup; got none; give --keys LOG"):
        upgrade(archive)
    upgrade(path)
    with closing(DecisionLog(path)) as log:
        assert log.erase("Rome", "Ann") == 0  # its decisions are in the archive, its key was here
    found = CliRunner().invoke(main, ["log", "upgrade", str(archive), "--keys", str(path), "--json"])
    assert found.exit_code == 0, found.output
    with closing(DecisionLog(archive)) as old:
        assert old.verify(HEADS["archive"]).rows == 2
        assert (requests(old), {row["units"] for row in old.sold()}) == (["r0"], {2.0})


def test_a_changed_row_stops_an_upgrade_which_leaves_all_as_it_was(tmp_path: Path) -> None:
    wrong = "DROP TRIGGER outcomes_stay; UPDATE outcomes SET time = '2020-01-01' WHERE id = 3;"
    path = former(tmp_path / "log.db", "version_3.sql", wrong)
    with pytest.raises(ChainError, match="outcomes: row 3 must follow from the row before"):
        upgrade(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == ("3",)
        assert db.execute("SELECT count(*), max(subject) FROM decisions").fetchone() == (2, 3)


def tables() -> dict[str, list[dict[str, Any]]]:
    """The rows of the log by table, for another kind of database."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript((HERE / "version_3.sql").read_text())
        db.row_factory = sqlite3.Row
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in names}
