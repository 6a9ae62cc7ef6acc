"""What keeps a log small: erasure, rotation, retention, backup, in SQLite and, where there is one, PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.outcomes import OutcomeError, ReportedOutcome

MARKETS = ("Oslo", "Rome", "Oslo", "Oslo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, day: str) -> Iterator[None]:
    """Rows are written on a day."""
    with monkeypatch.context() as patch:
        patch.setattr("repricer.serving.decision_log.records.now", lambda: f"{day}T12:00:00.000+00:00")
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
        assert (after[:2], after.maintenance, log.erased()) == (before[:2], 1, 3)
        (act,) = log.export_maintenance()
        assert (act["action"], act["done_by"], act["reason"]) == ("erase", "Ann", "asked to")
        with pytest.raises(OutcomeError, match="got request_id 'r3', whose market was erased"):
            log.record_outcomes([ReportedOutcome("cider", 1.0, request_id="r3")])
        with pytest.raises(OutcomeError, match="got market 'Oslo', period 3"):
            log.record_outcomes([ReportedOutcome("cider", 1.0, market="Oslo", period=3)])
        with pytest.raises(ValueError, match="got 'Oslo', which is not there, or erased"):
            log.erase("Oslo", "Ann")
    # Neither the name nor the key is in the file, nor in those beside it.
    assert not any(b"Oslo" in file.read_bytes() for file in filled.parent.glob("decisions.db*"))


def test_who_comes_back_after_an_erasure_by_another_process_has_a_new_key(filled: Path, one: Bundle) -> None:
    predictor, state = Predictor(one), example_state(one.catalogue) | {"market": "Oslo"}
    with closing(DecisionLog(filled)) as service, closing(DecisionLog(filled)) as other:
        for name in ("known", "kept at hand"):
            service.record(predictor.price(state), state, name)
        other.erase("Oslo", "Ann")
        service.record(predictor.price(state), state, "again")
        assert requests(other) == ["r1", "again"]


def test_a_key_that_is_gone_without_a_record_is_found(filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE subjects SET key = NULL WHERE name = 'Rome'")
    with pytest.raises(ChainError, match="subjects: the key of subject 2 must be there"):
        DecisionLog(filled).verify()
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE subjects SET key = (SELECT key FROM subjects WHERE id = 1)")
    with pytest.raises(ChainError, match="row 2 must open with the key of its market"):
        list(DecisionLog(filled).export())


def test_a_changed_dictionary_is_found(filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE dictionaries SET content = CAST(content || 'x' AS BLOB)")
    with pytest.raises(ChainError, match="dictionaries: that of bundle"):
        DecisionLog(filled).verify()


def test_old_decisions_move_to_an_archive_whose_chain_ends_where_the_logs_begins(
    filled: Path, tmp_path: Path, one: Bundle
) -> None:
    with closing(DecisionLog(filled)) as log:
        before, was_sold = log.verify(), sold(log)
        found = log.rotate(30, tmp_path / "old.db", "Ann")
        assert (found.decisions, found.outcomes, found.start.rows) == (2, 1, 2)
        after = log.verify(found.start.hash)
        assert (after.rows, after.hash) == (before.rows, before.hash)
        assert requests(log) == ["r2", "r3"]
        assert log.rotate(30, tmp_path / "none.db", "Ann")[:2] == (0, 0)
        assert not (tmp_path / "none.db").exists()
        # What is in the archive can be deleted, nothing else.
        with closing(sqlite3.connect(filled)) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("DELETE FROM decisions WHERE id = 3")
        with closing(DecisionLog(tmp_path / "old.db", keys=filled)) as archive:
            assert archive.verify().hash == found.start.hash
            assert {**sold(archive), **sold(log)} == was_sold == {"r0": 2, "r1": 2, "r2": 2, "r3": None}
            log.erase("Oslo", "Ann")
            assert requests(archive) == ["r1"]
        with closing(DecisionLog(tmp_path / "old.db")) as locked:
            assert (requests(locked), locked.erased()) == ([], 2)
        with pytest.raises(ValueError, match=r"old.db must be a new file; got one that exists"):
            log.rotate(-40_000, tmp_path / "old.db", "Ann")
        state = example_state(one.catalogue)
        log.record(Predictor(one).price(state), state, "later")
        assert log.verify(after.hash, since=after).rows == 5


def test_what_is_discarded_takes_the_keys_of_those_who_have_nothing_left(filled: Path) -> None:
    with closing(DecisionLog(filled)) as log:
        assert log.rotate(30, None, "Ann", "a month is enough")[:2] == (2, 1)
        assert [row["action"] for row in log.export_maintenance()] == ["discard", "discard", "erase"]
        assert log.verify().rows == 4
        log.rotate(-40_000, None, "Ann")
        assert (log.verify().rows, requests(log)) == (4, [])
    with closing(sqlite3.connect(filled)) as db:
        assert db.execute("SELECT count(key), count(name), count(*) FROM subjects").fetchone() == (0, 0, 2)


def test_a_check_goes_on_where_the_last_one_ended(filled: Path, one: Bundle) -> None:
    with closing(DecisionLog(filled)) as log:
        early = log.verify()
        state = example_state(one.catalogue)
        log.record(Predictor(one).price(state), state, "later")
        with closing(sqlite3.connect(filled)) as db, db:
            db.executescript("DROP TRIGGER decisions_stay; UPDATE decisions SET period = 9 WHERE id = 1")
        # What was checked before is not checked again: that is what it saves.
        assert log.verify(since=early).rows == 5
        with pytest.raises(ChainError, match="row 1 must follow"):
            log.verify()
        with pytest.raises(ChainError, match="row 4 must have the hash that an earlier check found; got another"):
            log.verify(since=early._replace(hash="f" * 64))
        with pytest.raises(ChainError, match="row 9 must have the hash that an earlier check found; got no such row"):
            log.verify(since=early._replace(rows=9))


def test_a_backup_comes_back_without_what_was_erased_since(filled: Path, tmp_path: Path, one: Bundle) -> None:
    with closing(DecisionLog(filled)) as log:
        head, was_sold, switched = log.verify(), sold(log), ("kill_switch", True, "Ann", "")
        log.record_switch(*switched)
        assert log.backup(tmp_path / "monday.db")[:4] == head[:4]
        log.erase("Rome", "Ann")
        log.backup(tmp_path / "tuesday.db")
    assert (tmp_path / "monday.db").stat().st_mode & 0o777 == 0o600
    with closing(DecisionLog(tmp_path / "monday.db")) as alone:
        assert (requests(alone), alone.verify().rows) == ([], 4)
    for keys, left in (("monday.db.keys", ["r0", "r1", "r2", "r3"]), ("tuesday.db.keys", ["r0", "r2", "r3"])):
        new = tmp_path / f"from-{keys}"
        with closing(DecisionLog(tmp_path / "monday.db", keys=tmp_path / keys)) as backup:
            backup.restore(new)
            with pytest.raises(ValueError, match="LOG must be a new log; got"):
                backup.restore(new)
        with closing(DecisionLog(new)) as log:
            assert (requests(log), log.switches()) == (left, {"kill_switch": True})
            assert sold(log).items() <= was_sold.items()
            # Without its key, the number of a market is never given again.
            state = example_state(one.catalogue) | {"market": "Bergen"}
            log.record(Predictor(one).price(state), state, "later")
            assert requests(log) == [*left, "later"]


def test_a_log_that_lost_its_keys_gives_no_number_twice(filled: Path, one: Bundle) -> None:
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("DELETE FROM subjects")
    with closing(DecisionLog(filled)) as log:
        state = example_state(one.catalogue)
        log.record(Predictor(one).price(state), state, "later")
        assert (requests(log), log.erased()) == (["later"], 4)


def test_a_market_that_could_not_be_written_leaves_no_key_behind(path: Path, one: Bundle) -> None:
    """A key that the writer kept at hand, though the database did not take it, would lose decisions."""
    state = example_state(one.catalogue)
    with closing(DecisionLog(path)) as log:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TRIGGER t BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(OSError, match="full"):
            log.record(Predictor(one).price(state), state, "r0")
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("DROP TRIGGER t")
        log.record(Predictor(one).price(state), state, "r1")
        assert requests(log) == ["r1"]


def test_a_key_that_was_made_in_a_failed_transaction_is_not_used_again(filled: Path, one: Bundle) -> None:
    state = example_state(one.catalogue) | {"market": "Bergen"}
    answer = Predictor(one).price(state)
    with closing(DecisionLog(filled)) as log:
        stop, go = threading.Event(), threading.Event()
        blocking = log._storage.submit(lambda _: (stop.set(), go.wait(10)))
        assert stop.wait(10)
        waiting = [log.submit(answer, state, "first")]
        with ThreadPoolExecutor(1) as pool:
            erasing = pool.submit(log.erase, "Rome", "Ann")
            while log._storage._jobs.qsize() < 2:
                time.sleep(0.01)
            waiting.append(log.submit(answer, state, "second"))
            bad = log.submit_outcomes([ReportedOutcome("cider", 1.0, request_id="nowhere")])
            go.set()
            assert (blocking.result()[1], erasing.result()) == (True, 1)
        with pytest.raises(OutcomeError):
            bad.result()
        for each in waiting:
            each.result()
        assert requests(log) == ["r0", "r2", "r3", "first", "second"]


def test_a_product_takes_a_hundred_bytes(filled: Path) -> None:
    """The first decision is compressed as well as all later ones; `make acceptance` measures the whole file."""
    with closing(sqlite3.connect(filled)) as db:
        sizes = [size for (size,) in db.execute("SELECT length(body) FROM decisions")]
    assert max(sizes) < 100 * 3
