"""Outcomes are looked up by a fixed number of queries, and never while prices wait for the writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log.outcomes import Report, ReportedOutcome, outcome_of
from repricer.serving.decision_log.storage import LogError
from sqlalchemy import event

COUNT = 300
FORMS = ("request_id", "period", "date")


@pytest.fixture
def log(tmp_path: Path, dated: Bundle) -> Iterator[DecisionLog]:
    """A decision for each of many markets."""
    state, found = example_state(dated.catalogue), DecisionLog(tmp_path / "decisions.db")
    answer = Predictor(dated).price(state)
    with closing(found):
        found.submit_decisions(
            [(f"r{n}", Decision(state | {"market": f"m{n}"}, answer, "policy", 1.0, [])) for n in range(COUNT)]
        ).result()
        yield found


def reported(form: str, units: float = 2.0, product: str = "cider", count: int = COUNT) -> list[ReportedOutcome]:
    named = {"request_id": lambda n: f"r{n}", "period": lambda _: 0, "date": lambda _: "2018-01-03"}[form]
    return [outcome_of({"product": product, "units": units, "market": f"m{n}", form: named(n)}) for n in range(count)]


@contextmanager
def statements(log: DecisionLog) -> Iterator[list[str]]:
    """What the log asks its database."""
    found = list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(log.engine, "before_cursor_execute", note)
    yield found
    event.remove(log.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("form", FORMS)
def test_a_report_of_many_asks_no_more_than_a_report_of_one(log: DecisionLog, form: str) -> None:
    with statements(log) as asked:
        assert log.record_outcomes(reported(form, count=1)) == 1
    few = len(asked)
    with statements(log) as asked:
        assert log.record_outcomes(reported(form)) == COUNT - 1
    assert len(asked) <= few + 2
    assert {row["units"] for row in log.export_outcomes()} == {2.0}


@pytest.mark.parametrize("form", FORMS)
def test_a_retry_writes_nothing(log: DecisionLog, form: str) -> None:
    log.record_outcomes(reported(form))
    with statements(log) as asked:
        assert log.record_outcomes(reported(form)) == 0
    assert not any("BEGIN IMMEDIATE" in statement for statement in asked)


def test_what_others_reported_meanwhile_is_looked_up_outside_the_writer(log: DecisionLog) -> None:
    report = Report(log.rows, reported("period"))
    log.record_outcomes(reported("request_id", count=100))
    with statements(log) as asked:
        assert not log.run(report.write)
    assert not any("body" in statement for statement in asked)
    assert log.record_outcomes(reported("period")) == COUNT - 100
    assert log.verify().outcomes == COUNT


def test_others_that_always_are_first_are_named(log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "write", lambda *_: None)
    with pytest.raises(LogError, match="got other outcomes of the same decisions meanwhile"):
        log.record_outcomes(reported("period"))


def test_a_product_that_the_last_decision_did_not_price_is_of_an_older_one(log: DecisionLog, dated: Bundle) -> None:
    state = example_state(dated.catalogue) | {"market": "m0"}
    answer = Predictor(dated).price(state)
    fewer = [price for price in answer.prices if price.product != "cider"]
    short = type(answer)(**{**vars(answer), "prices": fewer})
    log.record(short, {**state, "products": state["products"][:2]}, "s")
    assert log.record_outcomes([ReportedOutcome("anchovy", 1.0, request_id="s")]) == 1
    assert (
        log.record_outcomes([outcome_of({"product": "cider", "units": 1, "market": "m0", "date": "2018-01-03"})]) == 1
    )
    assert (
        log.record_outcomes([outcome_of({"product": "biscuit", "units": 1, "market": "m0", "date": "2018-01-03"})]) == 1
    )
    assert {row["request_id"] for row in log.export_outcomes()} == {"r0", "s"}
