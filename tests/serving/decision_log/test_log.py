from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, PriceAnswer, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log.storage import LogError
from repricer.serving.decision_log.tables import EVENTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def filled(one: Bundle, path: Path) -> Path:
    """A log of four requests for three products each."""
    log, state = DecisionLog(path), example_state(one.catalogue)
    for period in range(4):
        state["period"] = period
        log.record(Predictor(one).price(state), state, f"request-{period}")
    log.close()
    return path


def submitted(log: DecisionLog, answer: PriceAnswer, state: dict[str, Any], name: str) -> Future[Any]:
    """A decision on its way to the disk."""
    return log.submit_decisions([(name, Decision(state, answer, "policy", 1.0, []))])


def tamper(path: Path, statement: str) -> None:
    """What somebody with the file could do."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(statement)


def test_a_row_holds_the_decision(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    log.record(answer, state, "r1")
    # Another reader sees them at once: they are committed.
    rows = list(DecisionLog(path).export())
    assert [row["product"] for row in rows] == list(one.catalogue.products)
    for row, price, given in zip(rows, answer.prices, state["products"], strict=True):
        assert (row["request_id"], row["period"]) == ("r1", 0)
        assert (row["proposed"], row["price"]) == (price.proposed, price.price)
        assert row["state"] == given
        assert row["discounts"] == price.discounts
        assert row["trail"] == [vars(change) for change in price.trail]
        assert (row["policy"], row["bundle"]) == ("ppo:3", one.digest)
        assert (row["market"], row["arm"], row["propensity"]) == ("shop", "policy", 1.0)
        assert row["time"].endswith("+00:00")
    log.close()


def test_a_row_says_who_answered_and_how_probable_that_was(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue) | {"market": "Oslo"}
    answer = Predictor(one).price(state)
    chances = {"anchovy": 0.1, "biscuit": 1.0, "cider": 0.1}
    log.record(answer, state, "r1", arm="fallback", propensity=chances)
    for row in log.export():
        assert (row["market"], row["arm"], row["propensity"]) == ("Oslo", "fallback", chances[row["product"]])
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"propensity must lie in \(0, 1\]; got"):
            log.record(answer, state, "r2", propensity=wrong)
    assert log.verify().rows == 1


def test_what_is_asked_of_the_market_as_a_whole_is_kept(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    log.record(Predictor(one).price(state), state | {"regime": "boom", "loyalty": {"loyal": 1.1}}, "r1")
    kept = next(log.export())["state"]
    assert (kept["product"], kept["regime"], kept["loyalty"]) == ("anchovy", "boom", {"loyal": 1.1})


def test_it_waits_for_the_disk_and_lets_readers_in(path: Path) -> None:
    log = DecisionLog(path)
    with log.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_those_who_wait_share_a_commit(one: Bundle, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, state, sizes, begun = DecisionLog(path), example_state(one.catalogue), [], threading.Event()
    answer, commit = Predictor(one).price(state), log._commit

    def slowly(jobs: list) -> bool:
        sizes.append(len(jobs))
        assert begun.wait(10)
        return commit(jobs)

    monkeypatch.setattr(log, "_commit", slowly)
    futures = [submitted(log, answer, state, str(number)) for number in range(20)]
    begun.set()
    wait(futures)
    assert sum(sizes) == 20
    assert len(sizes) <= 2
    assert log.verify().rows == 20


def test_one_at_fault_does_not_take_its_company_along(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    stop, go = threading.Event(), threading.Event()
    blocking = log.submit(lambda _: (stop.set(), go.wait(10)))
    assert stop.wait(10)
    good, given_up = (submitted(log, answer, state, name) for name in ("good", "given up"))
    bad = log.submit(lambda _: int("nowhere"))
    assert given_up.cancel()
    go.set()
    blocking.result()
    good.result()
    with pytest.raises(ValueError, match="nowhere"):
        bad.result()
    # Who went away before it was written has no row, and the writer goes on.
    assert [row["request_id"] for row in log.export()] == ["good"] * 3
    log.record(answer, state, "later")
    assert log.verify().rows == 2


def test_a_closed_log_says_so(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    waiting = submitted(log, Predictor(one).price(state), state, "r")
    log.close()
    assert waiting.done()
    assert DecisionLog(path).verify().rows == 1
    with pytest.raises(LogError, match="is closed"):
        log.record(Predictor(one).price(state), state, "r")


def test_the_chain_holds_and_goes_on_after_a_restart(one: Bundle, filled: Path) -> None:
    log = DecisionLog(filled)
    head = log.verify()
    assert head.rows == 4
    state = example_state(one.catalogue)
    log.record(Predictor(one).price(state), state, "later")
    assert log.verify(head.hash).rows == 5
    assert log.verify().hash != head.hash


def test_an_empty_chain_holds(path: Path) -> None:
    head = DecisionLog(path).verify()
    assert head.rows == 0
    assert DecisionLog(path).verify(head.hash) == head


def test_a_decision_without_a_proposal_can_be_logged(one: Bundle, path: Path) -> None:
    state, log = example_state(one.catalogue), DecisionLog(path)
    answer = Predictor(one).price(state)
    none = replace(answer, prices=[replace(answer.prices[0], proposed=None)])
    log.record(none, state, "r")
    assert log.verify().rows == 1


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE decisions SET body = (SELECT body FROM decisions WHERE id = 1) WHERE id = 3", 3),
        ("UPDATE decisions SET number = 7 WHERE id = 1", 1),
        ("UPDATE decisions SET time = '2020-01-01' WHERE id = 4", 4),
        ("UPDATE decisions SET market = 'Rome' WHERE id = 2", 2),
        ("UPDATE decisions SET hash = previous_hash WHERE id = 3", 3),
        ("DELETE FROM decisions WHERE id = 1", 1),
        ("DELETE FROM decisions WHERE id BETWEEN 2 AND 3", 2),
        ("UPDATE decisions SET id = 99 WHERE id = 3", 3),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM decisions WHERE id = 4; UPDATE t SET id = 5;"
            "INSERT INTO decisions SELECT * FROM t",
            5,
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM decisions WHERE id = 3; UPDATE t SET number = 9;"
            "INSERT OR REPLACE INTO decisions SELECT * FROM t",
            3,
        ),
    ],
)
def test_a_change_is_found(filled: Path, statement: str, row: int) -> None:
    tamper(filled, statement)
    with pytest.raises(ChainError, match=rf"row {row} must (follow|hold what was written)"):
        DecisionLog(filled).verify()


def test_lost_rows_at_the_end_are_found_by_who_noted_the_head(filled: Path) -> None:
    head = DecisionLog(filled).verify()
    tamper(filled, "DELETE FROM decisions WHERE id > 3")
    log = DecisionLog(filled)
    assert log.verify().rows == 3
    with pytest.raises(ChainError, match="got 3 decisions, 0 outcomes, 0 events without"):
        log.verify(head.hash)


def test_all_rows_of_an_answer_or_none(one: Bundle, filled: Path) -> None:
    log, state = DecisionLog(filled), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    tamper(
        filled,
        "CREATE TRIGGER t BEFORE INSERT ON decisions WHEN NEW.name = 'r' BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    with pytest.raises(LogError, match="full"):
        log.record(answer, state, "r")
    assert log.verify().rows == 4
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("DROP TRIGGER t")
    log.record(answer, state, "r")
    assert log.verify().rows == 5


def test_two_logs_and_many_threads_make_one_chain(one: Bundle, path: Path) -> None:
    logs, state, predictor = [DecisionLog(path), DecisionLog(path)], example_state(one.catalogue), Predictor(one)

    def decide(number: int) -> None:
        logs[number % 2].record(predictor.price(state), state, str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(40)))
    assert logs[0].verify().rows == 40
    rows = list(logs[1].export())
    # The rows of one request stand together.
    assert all(len({row["request_id"] for row in rows[i : i + 3]}) == 1 for i in range(0, 120, 3))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE decisions (a TEXT)")
    (tmp_path / "other.db").chmod(0o600)
    (tmp_path / "notes.txt").chmod(0o600)
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "other.db", tmp_path / "no" / "where.db"):
        with pytest.raises(ValueError, match="decision log must be"):
            DecisionLog(path)
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def test_a_log_of_the_former_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    columns = "time, request_id, period, product, state, proposed, price, discounts, trail, policy, bundle"
    with closing(sqlite3.connect(tmp_path / "old.db")) as db, db:
        db.execute(f"CREATE TABLE decisions (id INTEGER PRIMARY KEY, {columns}, previous_hash, hash)")
    (tmp_path / "old.db").chmod(0o600)
    with pytest.raises(
        ValueError,
        match=r"must be of version 6; got .* of version 2 or earlier; keep it, read it with .* start a new log",
    ):
        DecisionLog(tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("decisions",)]


@pytest.mark.parametrize("place", ["mysql://root@localhost/x", "postgresql://", "://", ""])
def test_another_database_is_one_line(place: str) -> None:
    with pytest.raises(ValueError, match="decision log must be") as caught:
        DecisionLog(place)
    assert "\n" not in str(caught.value)


def test_a_log_that_cannot_be_written_says_so_to_all_who_wait(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE decisions RENAME TO elsewhere")
    for waiting in [submitted(log, answer, state, str(number)) for number in range(5)]:
        with pytest.raises(LogError, match="no such table"):
            waiting.result()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE elsewhere RENAME TO decisions")
    log.record(answer, state, "later")
    assert log.verify().rows == 1


def test_a_log_whose_file_is_moved_or_replaced_takes_no_decision_until_it_is_back(
    one: Bundle, path: Path, tmp_path: Path
) -> None:
    state, aside = example_state(one.catalogue), tmp_path / "aside.db"
    answer = Predictor(one).price(state)
    with closing(DecisionLog(path)) as log:
        log.record(answer, state, "before")
        path.rename(aside)
        for put in (lambda: None, path.touch):
            put()
            with pytest.raises(LogError, match="its file was moved, deleted or replaced; put it back, or restart"):
                log.record(answer, state, "lost")
            with pytest.raises(LogError, match="moved, deleted or replaced"):
                log.verify()
        assert path.stat().st_size == 0
        aside.rename(path)
        log.record(answer, state, "after")
    assert [row["request_id"] for row in DecisionLog(path).export()][::3] == ["before", "after"]


def test_a_log_with_a_relative_path_outlasts_a_change_of_folder(
    one: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = example_state(one.catalogue)
    with closing(DecisionLog("decisions.db")) as log:
        log.record(Predictor(one).price(state), state, "before")
        monkeypatch.chdir("/")
        log.record(Predictor(one).price(state), state, "after")
        assert log.verify().rows == 2


def test_who_waits_behind_a_lock_waits_no_longer_than_the_first(one: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        started, waiting = time.perf_counter(), []
        for number in range(8):
            waiting.append(submitted(log, answer, state, str(number)))
            time.sleep(0.1)
        for future in waiting:
            with pytest.raises(LogError, match="locked"):
                future.result()
        assert time.perf_counter() - started < 2
        db.execute("ROLLBACK")
    assert log.verify().rows == 0


def test_a_log_is_opened_while_another_process_writes(filled: Path) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert DecisionLog(filled).verify().rows == 4
        db.execute("ROLLBACK")


def test_a_new_log_is_its_owners_alone(path: Path) -> None:
    DecisionLog(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_committed_pages_reach_their_place_while_the_log_is_open(one: Bundle, path: Path) -> None:
    with closing(DecisionLog(path)) as log:
        before, state, answer = path.stat().st_size, example_state(one.catalogue), Predictor(one).price
        for n in range(1000):
            log.record(answer(state), state, f"r{n}")
            if path.stat().st_size > before:
                break
        assert path.stat().st_size > before


def test_what_is_forgotten_waits_for_another_process_that_moves_pages(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(DecisionLog(path)) as log:
        busy = MagicMock(side_effect=[1, 1, 0])
        monkeypatch.setattr(log, "outside", busy)
        log.tidy(EVENTS)
        busy.side_effect = itertools.repeat(1)
        with pytest.raises(LogError, match="former values stay"):
            log.tidy(EVENTS)


def test_what_was_sold_before_a_trial_is_known_however_many_decisions_follow(
    one: Bundle, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, answer, minute = example_state(one.catalogue), Predictor(one).price(example_state(one.catalogue)), 0

    def now() -> str:
        nonlocal minute
        minute += 1
        return f"2030-01-01T00:{minute:02}:00.000+00:00"

    monkeypatch.setattr("repricer.serving.decision_log.chain.now", now)
    with closing(DecisionLog(path)) as log:
        for number in range(24):
            log.record(answer, state, f"r{number}")
            if number in (1, 9):  # on trial, taken back, and on trial again
                tried = {"bundle": "b", "share": 0.1}
                assert log.record_switches(log.transitions()[1], [("canary", tried)], "Ann", "")
            if number == 3:
                stopped = {"bundle": "b", "guard": "errors"}
                assert log.record_switches(log.transitions()[1], [("guard", stopped)], "guard", "")
        assert log.trial_began("b") == 11
        around = [[row["request_id"] for row in rows][::3] for rows in log.sold_around_trial("b", 3)]
    assert around == [["r7", "r8", "r9"], ["r21", "r22", "r23"]]


def test_a_wrong_clock_does_not_move_the_start_of_a_trial(
    one: Bundle, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, answer = example_state(one.catalogue), Predictor(one).price(example_state(one.catalogue))
    with closing(DecisionLog(path)) as log:
        for number in range(12):
            year = 2029 if number in (6, 7, 8) else 2030
            monkeypatch.setattr("repricer.serving.decision_log.chain.now", f"{year}-01-01T00:00:00.000+00:00".__str__)
            log.record(answer, state, f"r{number}")
            if number == 4:
                tried = [("canary", {"bundle": "b", "share": 0.1})]
                assert log.record_switches(log.transitions()[1], tried, "Ann", "")
        assert log.trial_began("b") == 6
        assert len(log.states_on_trial("b", 100)) == 7
