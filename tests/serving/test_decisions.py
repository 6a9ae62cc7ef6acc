from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state


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


def tamper(path: Path, statement: str) -> None:
    """What somebody with the file could do, past the triggers."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(f"DROP TRIGGER decisions_stay; DROP TRIGGER decisions_remain; {statement}")


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
        assert json.loads(row["state"]) == given
        assert json.loads(row["discounts"]) == price.discounts
        assert json.loads(row["trail"]) == [vars(change) for change in price.trail]
        assert (row["policy"], row["bundle"]) == ("ppo:3", one.digest)
        assert row["time"].endswith("+00:00")
    log.close()


def test_it_waits_for_the_disk_and_lets_readers_in(path: Path) -> None:
    log = DecisionLog(path)
    assert log._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert log._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_chain_holds_and_goes_on_after_a_restart(one: Bundle, filled: Path) -> None:
    log = DecisionLog(filled)
    head = log.verify()
    assert head.rows == 12
    state = example_state(one.catalogue)
    log.record(Predictor(one).price(state), state, "later")
    assert log.verify(head.hash).rows == 15
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
        ("UPDATE decisions SET price = price + 0.01 WHERE id = 5", 5),
        ("UPDATE decisions SET proposed = NULL WHERE id = 1", 1),
        ("UPDATE decisions SET time = '2020-01-01' WHERE id = 12", 12),
        ("UPDATE decisions SET trail = '[]' WHERE id = 7", 7),
        ("UPDATE decisions SET hash = previous_hash WHERE id = 7", 7),
        ("DELETE FROM decisions WHERE id = 1", 1),
        ("DELETE FROM decisions WHERE id BETWEEN 4 AND 6", 4),
        ("UPDATE decisions SET id = 99 WHERE id = 3", 3),
        ("INSERT INTO decisions (product, previous_hash, hash) VALUES ('x', 'y', 'z')", 13),
    ],
)
def test_a_change_is_found(filled: Path, statement: str, row: int) -> None:
    tamper(filled, statement)
    with pytest.raises(ChainError, match=rf"row {row} must follow"):
        DecisionLog(filled).verify()


def test_lost_rows_at_the_end_are_found_by_who_noted_the_head(filled: Path) -> None:
    head = DecisionLog(filled).verify()
    tamper(filled, "DELETE FROM decisions WHERE id > 9")
    log = DecisionLog(filled)
    assert log.verify().rows == 9
    with pytest.raises(ChainError, match="got 9 rows without it"):
        log.verify(head.hash)


@pytest.mark.parametrize("statement", ["UPDATE decisions SET price = 1", "DELETE FROM decisions"])
def test_rows_cannot_be_changed_by_accident(filled: Path, statement: str) -> None:
    with closing(sqlite3.connect(filled)) as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute(statement)


def test_all_rows_of_an_answer_or_none(one: Bundle, filled: Path) -> None:
    log, state = DecisionLog(filled), example_state(one.catalogue)
    answer = Predictor(one).price(state)
    tamper(
        filled,
        "CREATE TRIGGER t BEFORE INSERT ON decisions WHEN NEW.product = 'cider' BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    with pytest.raises(sqlite3.Error, match="full"):
        log.record(answer, state, "r")
    assert log.verify().rows == 12
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("DROP TRIGGER t")
    log.record(answer, state, "r")
    assert log.verify().rows == 15


def test_two_logs_and_many_threads_make_one_chain(one: Bundle, path: Path) -> None:
    logs, state, predictor = [DecisionLog(path), DecisionLog(path)], example_state(one.catalogue), Predictor(one)

    def decide(number: int) -> None:
        logs[number % 2].record(predictor.price(state), state, str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(40)))
    assert logs[0].verify().rows == 120
    rows = list(logs[1].export())
    # The rows of one request stand together.
    assert all(len({row["request_id"] for row in rows[i : i + 3]}) == 1 for i in range(0, 120, 3))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE decisions (a TEXT)")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "other.db", tmp_path / "no" / "where.db"):
        with pytest.raises(ValueError, match="decision log must be"):
            DecisionLog(path)
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")
