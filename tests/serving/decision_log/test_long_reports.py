"""A report of the outcomes of many decisions is a few rows of the log, and prices hardly wait for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log.chain import ChainError, body_of_parts, parts_of
from repricer.serving.decision_log.outcomes import BLOCK, ContradictionError, ReportedOutcome
from repricer.serving.decision_log.tables import OUTCOMES
from sqlalchemy import select

COUNT = BLOCK + 100
"""Decisions: they are of two blocks."""
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


def test_it_is_a_few_rows_and_reads_as_if_each_outcome_had_its_own(log: DecisionLog) -> None:
    assert log.record_outcomes(told()) == COUNT
    assert log.verify().outcomes <= 2
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
    assert {part["market"] for row in log.rows(select(OUTCOMES)) for part in parts_of(row)} == {None, "Rome", "Bergen"}
    assert log.record_outcomes(told(1, 2)) == 0


def test_old_decisions_take_their_part_of_it_along(log: DecisionLog, tmp_path: Path) -> None:
    log.record_outcomes(told())
    was_sold = sold(log)
    assert log.rotate(30, tmp_path / "old.db", "Ann").decisions == 100
    log.verify()
    with closing(DecisionLog(tmp_path / "old.db")) as archive:
        archive.verify()
        assert {**sold(archive), **sold(log)} == was_sold
        assert len(sold(archive)) == 100
        for one in (archive, log):
            one.erase("Rome", "Ann")
            one.verify()
            assert not any(part["market"] == "Rome" for row in one.rows(select(OUTCOMES)) for part in parts_of(row))


def changed(parts: list[Any]) -> list[Any]:
    return [
        {**parts[0], "body": msgspec.json.encode([{**msgspec.json.decode(parts[0]["body"])[0], "units": 9}])},
        *parts[1:],
    ]


@pytest.mark.parametrize(
    ("tamper", "got"),
    [
        (changed, "another body, market or salt"),
        (lambda parts: [{**parts[0], "market": "Rome"}, *parts[1:]], "another body, market or salt"),
        (
            lambda parts: [{**parts[0], "market": None, "salt": None, "body": None}, *parts[1:]],
            "an empty body, of which no",
        ),
        (lambda parts: [{**parts[0], "number": parts[1]["number"]}, *parts[1:]], "other parts"),
        (lambda parts: parts[1:], "other parts"),
        (lambda parts: [], "other parts"),
    ],
)
def test_a_changed_part_is_found(
    log: DecisionLog, tmp_path: Path, tamper: Callable[[list[Any]], list[Any]], got: str
) -> None:
    log.record_outcomes(told())
    log.erase("Bergen", "Ann")
    row = next(iter(log.rows(select(OUTCOMES).order_by(OUTCOMES.c.id))))
    body = body_of_parts(tamper([dict(part) for part in parts_of(row)]))
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as db, db:
        db.execute("UPDATE outcomes SET body = ? WHERE id = 1", (body,))
    with pytest.raises(ChainError, match=f"outcomes: row 1 must hold what was written; got {got}"):
        log.verify()


@pytest.mark.parametrize("body", [b"", b"x", b"\x80"])
def test_a_damaged_body_is_one_line(log: DecisionLog, tmp_path: Path, body: bytes) -> None:
    log.record_outcomes(told())
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as db, db:
        db.execute("UPDATE outcomes SET body = ? WHERE id = 1", (body,))
    for read in (log.verify, lambda: list(log.sold())):
        with pytest.raises(ChainError, match="row 1 must hold what was written; got another body; restore a backup"):
            read()
