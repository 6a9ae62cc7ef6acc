"""Many outcomes at once: a row each, all or none, each counted once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log.chain import ChainError
from repricer.serving.decision_log.outcomes import ContradictionError, ReportedOutcome
from repricer.serving.decision_log.storage import LogError
from repricer.serving.decision_log.tables import OUTCOMES
from sqlalchemy import select

COUNT = 356
MARKETS = ("Oslo", "Rome", "Bergen")


def market(number: int) -> str:
    return MARKETS[number % len(MARKETS)]


def told(first: int = 0, last: int = COUNT, units: float = 2.0, product: str = "cider") -> list[ReportedOutcome]:
    return [ReportedOutcome(product, units + n % 5, request_id=f"r{n}") for n in range(first, last)]


@pytest.fixture
def log(tmp_path: Path, one: Bundle) -> Iterator[DecisionLog]:
    state, found = example_state(one.catalogue), DecisionLog(tmp_path / "decisions.db")
    answer = Predictor(one).price(state)
    named = [(f"r{n}", Decision(state | {"market": market(n)}, answer, "policy", 1.0, [])) for n in range(COUNT)]
    with closing(found):
        # The first hundred are old.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("repricer.serving.decision_log.chain.now", lambda: "2020-01-01T12:00:00.000+00:00")
            found.submit_decisions(named[:100]).result()
        found.submit_decisions(named[100:]).result()
        yield found


def sold(log: DecisionLog) -> dict[str, float | None]:
    return {row["request_id"]: row["units"] for row in log.sold()}


def markets_of_outcomes(log: DecisionLog) -> set[str | None]:
    return {row["market"] for row in log.rows(select(OUTCOMES))}


def test_each_outcome_is_a_row_of_its_product(log: DecisionLog) -> None:
    assert log.record_outcomes(told()) == COUNT
    assert log.verify().outcomes == COUNT
    assert {row["name"] for row in log.rows(select(OUTCOMES))} == {"cider"}
    assert sold(log) == {f"r{n}": 2.0 + n % 5 for n in range(COUNT)}
    assert [row["request_id"] for row in log.export_outcomes()] == [f"r{n}" for n in range(COUNT)]


def test_a_repeated_outcome_counts_once_and_another_is_refused(log: DecisionLog) -> None:
    log.record_outcomes(told(0, 200))
    assert log.record_outcomes(told()) == COUNT - 200
    assert log.record_outcomes(told(7, 8)) == 0
    with pytest.raises(ContradictionError, match=r"after decision r7 must stay as it was reported \(units 4.0\)"):
        log.record_outcomes(told(7, 8, units=3.0))
    with pytest.raises(ContradictionError, match="after decision r9 must stay"):
        log.record_outcomes([*told(0, 9), *told(9, 60, units=3.0)])
    assert sold(log) == {f"r{n}": 2.0 + n % 5 for n in range(COUNT)}


def test_an_erased_market_is_gone_from_it_and_the_others_stay(log: DecisionLog, tmp_path: Path) -> None:
    log.record_outcomes(told())
    before = log.verify()
    log.erase("Oslo", "Ann")
    others = {f"r{n}": 2.0 + n % 5 for n in range(COUNT) if market(n) != "Oslo"}
    assert sold(log) == others
    assert log.verify(before.outcomes_hash)[:4] == before[:4]
    assert markets_of_outcomes(log) == {None, "Rome", "Bergen"}
    assert log.record_outcomes(told(1, 2)) == 0


def test_old_decisions_take_their_outcomes_along(log: DecisionLog, tmp_path: Path) -> None:
    log.record_outcomes(told())
    was_sold = sold(log)
    assert log.rotate(30, tmp_path / "old.db", "Ann")[:2] == (100, 100)
    log.verify()
    with closing(DecisionLog(tmp_path / "old.db")) as archive:
        archive.verify()
        assert {**sold(archive), **sold(log)} == was_sold
        assert len(sold(archive)) == 100
        for one in (archive, log):
            one.erase("Rome", "Ann")
            one.verify()
            assert "Rome" not in markets_of_outcomes(one)


@pytest.mark.parametrize(
    "change",
    [
        'body = \'{"segment":null,"units":9,"price_paid":null,"stockout":false}\'',
        "market = 'Rome'",
        "market = NULL, salt = NULL, body = NULL",
        "number = number + 1",
        "name = 'biscuit'",
        "date = '2018-01-01'",
        "body = X''",
    ],
)
def test_a_changed_outcome_is_found(log: DecisionLog, tmp_path: Path, change: str) -> None:
    log.record_outcomes(told())
    log.erase("Bergen", "Ann")
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as db, db:
        db.execute(f"UPDATE outcomes SET {change} WHERE id = 1")
    with pytest.raises(ChainError, match=r"outcomes: row 1 must (hold|follow)"):
        log.verify()


def test_a_damaged_body_is_one_line(log: DecisionLog, tmp_path: Path) -> None:
    log.record_outcomes(told())
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as db, db:
        db.execute("UPDATE outcomes SET body = X'80' WHERE id = 1")
    for read in (log.verify, lambda: list(log.sold())):
        with pytest.raises(ChainError, match="row 1 must hold what was written; got another body"):
            read()


def test_a_long_report_is_several_transactions_and_is_completed_where_one_fails(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repricer.serving.decision_log.outcomes._PIECE", 100)
    written, run = list[int](), log.run

    def failing(work: Any) -> Any:
        if len(written) == 2:
            raise LogError("disk full")
        written.append(1)
        return run(work)

    monkeypatch.setattr(log, "run", failing)
    with pytest.raises(LogError, match="disk full"):
        log.record_outcomes(told())
    monkeypatch.setattr(log, "run", run)
    assert log.verify().outcomes == 200
    assert log.record_outcomes(told()) == COUNT - 200
    assert sold(log) == {f"r{n}": 2.0 + n % 5 for n in range(COUNT)}


def test_others_may_report_between_the_pieces(log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repricer.serving.decision_log.outcomes._PIECE", 100)
    others, run = iter([told(COUNT - 1, COUNT), told(0, 1, product="biscuit")]), log.run

    def beside(work: Any) -> Any:
        found = run(work)
        with contextlib.suppress(StopIteration):
            other = next(others)
            log.run = run
            log.record_outcomes(other)
            log.run = beside
        return found

    monkeypatch.setattr(log, "run", beside)
    assert log.record_outcomes(told()) == COUNT - 1
    assert log.verify().outcomes == COUNT + 1
