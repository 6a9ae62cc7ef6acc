"""What keeps a log small: erasure, rotation, retention, backup, in SQLite and, where there is one, PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.chain import EMPTY
from repricer.serving.decision_log.outcomes import OutcomeError, Report, ReportedOutcome

MARKETS = ("Oslo", "Rome", "Oslo", "Oslo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, day: str) -> Iterator[None]:
    """Rows are written on a day."""
    with monkeypatch.context() as patch:
        patch.setattr("repricer.serving.decision_log.chain.now", lambda: f"{day}T12:00:00.000+00:00")
        yield


def fill(place: Any, one: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four decisions of two markets, two long ago; what they sold was reported late, and for the third before the second."""
    predictor, state = Predictor(one), example_state(one.catalogue)
    days = ("2020-01-01", "2020-01-02", "2090-01-01", "2090-01-02")
    with closing(DecisionLog(place)) as log:
        for number, (market, day) in enumerate(zip(MARKETS, days, strict=True)):
            with at(monkeypatch, day):
                log.record(predictor.price(state), state | {"market": market, "period": number}, f"r{number}")
        for name in ("r0", "r2", "r1"):
            log.record_outcomes([ReportedOutcome(product, 2.0, request_id=name) for product in one.catalogue.products])


@pytest.fixture
def filled(path: Path, one: Bundle, monkeypatch: pytest.MonkeyPatch) -> Path:
    fill(path, one, monkeypatch)
    return path


def requests(log: DecisionLog) -> list[str]:
    return list(dict.fromkeys(row["request_id"] for row in log.export()))


def sold(log: DecisionLog) -> dict[str, Any]:
    return {row["request_id"]: row["units"] for row in log.sold()}


def test_an_erased_market_is_unreadable_and_the_chain_holds(filled: Path, one: Bundle) -> None:
    with closing(DecisionLog(filled)) as log:
        before = log.verify()
        assert log.erase("Oslo", "Ann", "asked to") == 3
        assert requests(log) == ["r1"]
        assert {row["request_id"] for row in log.export_outcomes()} == {"r1"}
        after = log.verify(before.hash)
        assert (after[:2], after.events, log.erased()) == (before[:2], 1, 3)
        (act,) = log.events()
        assert (act["event"], act["by"], act["reason"]) == ("erased", "Ann", "asked to")
        with pytest.raises(OutcomeError, match="got request_id 'r3', whose market was erased"):
            log.record_outcomes([ReportedOutcome("cider", 1.0, request_id="r3")])
        with pytest.raises(OutcomeError, match="got market 'Oslo', period 3"):
            log.record_outcomes([ReportedOutcome("cider", 1.0, market="Oslo", period=3)])
        with pytest.raises(ValueError, match="got 'Oslo', which is not there, or erased"):
            log.erase("Oslo", "Ann")
    # Neither the name nor what was sold is in the file, nor in those beside it.
    assert not any(b"Oslo" in file.read_bytes() for file in filled.parent.glob("decisions.db*"))


def test_who_comes_back_after_an_erasure_by_another_process_is_recorded_anew(filled: Path, one: Bundle) -> None:
    predictor, state = Predictor(one), example_state(one.catalogue) | {"market": "Oslo"}
    with closing(DecisionLog(filled)) as service, closing(DecisionLog(filled)) as other:
        service.record(predictor.price(state), state, "known")
        assert other.erase("Oslo", "Ann") == 4
        service.record(predictor.price(state), state, "again")
        assert requests(other) == ["r1", "again"]
        other.verify()


def test_outcomes_of_a_market_that_is_erased_meanwhile_are_not_written(filled: Path, one: Bundle) -> None:
    told = [ReportedOutcome("cider", 1.0, request_id="r3")]
    with closing(DecisionLog(filled)) as log, closing(DecisionLog(filled)) as other:
        report = Report(log.rows, told)
        other.erase("Oslo", "Ann")
        assert not log.run(report.write)
        with pytest.raises(OutcomeError, match="whose market was erased"):
            Report(log.rows, told)


def test_outcomes_that_another_reported_meanwhile_count_once(filled: Path, one: Bundle) -> None:
    told = [ReportedOutcome("cider", 1.0, request_id="r3")]
    with closing(DecisionLog(filled)) as log, closing(DecisionLog(filled)) as other:
        report = Report(log.rows, told)
        other.record_outcomes(told)
        assert not log.run(report.write)
        assert not Report(log.rows, told).rows


def test_old_decisions_move_to_an_archive_whose_chain_ends_where_the_logs_begins(
    filled: Path, tmp_path: Path, one: Bundle
) -> None:
    with closing(DecisionLog(filled)) as log:
        before, was_sold = log.verify(), sold(log)
        found = log.rotate(30, tmp_path / "old.db", "Ann")
        assert (found.decisions, found.outcomes, found.start.rows) == (2, 3, 2)
        after = log.verify(found.start.hash)
        assert (after.rows, after.hash) == (before.rows, before.hash)
        assert requests(log) == ["r2", "r3"]
        assert log.rotate(30, tmp_path / "none.db", "Ann")[:2] == (0, 0)
        assert not (tmp_path / "none.db").exists()
        with closing(DecisionLog(tmp_path / "old.db")) as archive:
            assert archive.verify().hash == found.start.hash
            assert {**sold(archive), **sold(log)} == was_sold == {"r0": 2, "r1": 2, "r2": 2, "r3": None}
            # An archive is a log: it forgets by the same command.
            assert (log.erase("Oslo", "Ann"), archive.erase("Oslo", "Ann")) == (2, 1)
            assert (requests(archive), archive.erased()) == (["r1"], 1)
            assert archive.verify(found.start.hash).rows == 2
        assert not any(b"Oslo" in file.read_bytes() for file in tmp_path.glob("*.db*"))
        with pytest.raises(ValueError, match=r"old.db must be a new file; got one that exists"):
            log.rotate(-40_000, tmp_path / "old.db", "Ann")
        state = example_state(one.catalogue)
        log.record(Predictor(one).price(state), state, "later")
        assert log.verify(after.hash).rows == 5


def test_what_is_discarded_is_gone(filled: Path) -> None:
    with closing(DecisionLog(filled)) as log:
        assert log.rotate(30, None, "Ann", "a month is enough")[:2] == (2, 3)
        assert [(row["event"], row["action"]) for row in log.events()] == [
            ("decisions rotated", "discard"),
            ("outcomes rotated", "discard"),
        ]
        assert log.verify().rows == 4
        log.rotate(-40_000, None, "Ann")
        assert (log.verify().rows, requests(log)) == (4, [])
    assert not any(b"Oslo" in file.read_bytes() for file in filled.parent.glob("decisions.db*"))


def test_a_backup_comes_back_and_forgets_by_the_same_command(filled: Path, tmp_path: Path, one: Bundle) -> None:
    with closing(DecisionLog(filled)) as log:
        assert log.record_switches(EMPTY, [("kill_switch", True)], "Ann", "")
        head, was_sold = log.verify(), sold(log)
        assert log.backup(tmp_path / "monday.db") == head
        with pytest.raises(ValueError, match="must be a new file"):
            log.backup(tmp_path / "monday.db")
    assert (tmp_path / "monday.db").stat().st_mode & 0o777 == 0o600
    with closing(DecisionLog(tmp_path / "monday.db")) as backup:
        assert backup.verify() == head
        backup.erase("Rome", "Ann")
        assert backup.restore(tmp_path / "new.db")[:4] == head[:4]
        with pytest.raises(ValueError, match="LOG must be a new log; got"):
            backup.restore(tmp_path / "new.db")
    with closing(DecisionLog(tmp_path / "new.db")) as log:
        assert (requests(log), log.transitions()[0]) == (["r0", "r2", "r3"], [("kill_switch", True)])
        assert sold(log).items() <= was_sold.items()
        state = example_state(one.catalogue) | {"market": "Bergen"}
        log.record(Predictor(one).price(state), state, "later")
        assert requests(log) == ["r0", "r2", "r3", "later"]
        log.verify(head.hash)


def test_a_product_takes_a_hundred_bytes(filled: Path) -> None:
    """`make acceptance` measures the whole file."""
    with closing(sqlite3.connect(filled)) as db:
        sizes = [size for (size,) in db.execute("SELECT length(body) FROM decisions")]
    assert max(sizes) < 100 * 3


@pytest.mark.parametrize(
    ("days", "gone"),
    [
        (("2090-01-01", "2090-01-02", "2020-01-01"), 0),
        (("2020-01-01", "2090-01-01", "2020-01-02"), 1),
        (("2020-01-02", "2020-01-01"), 2),
    ],
)
def test_a_wrong_clock_takes_no_younger_decision_along(
    path: Path, one: Bundle, monkeypatch: pytest.MonkeyPatch, days: tuple[str, ...], gone: int
) -> None:
    state = example_state(one.catalogue)
    with closing(DecisionLog(path)) as log:
        for number, day in enumerate(days):
            with at(monkeypatch, day):
                log.record(Predictor(one).price(state), state, f"r{number}")
        assert log.rotate(400, None, "Ann").decisions == gone
        assert requests(log) == [f"r{number}" for number in range(gone, len(days))]
        log.verify()
