"""Which decision an outcome is of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.outcomes import OutcomeError, outcome_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


def test_a_sale_is_of_the_price_that_was_charged_on_its_day(dated: Bundle, path: Path) -> None:
    log, predictor, state = DecisionLog(path), Predictor(dated), example_state(dated.catalogue)
    for day in ("2018-01-01", "2018-01-15", "2018-01-08"):
        log.record(predictor.price(state | {"date": day}), state | {"date": day}, day)
    sold = [outcome_of({"product": "cider", "units": 3, "date": day}) for day in ("2018-01-14", "2018-01-20")]
    assert log.record_outcomes(sold) == 2
    rows = {row["request_id"]: row["date"] for row in log.export_outcomes()}
    assert rows == {"2018-01-08": "2018-01-14", "2018-01-15": "2018-01-20"}
    early = outcome_of({"product": "cider", "units": 3, "date": "2017-12-31"})
    with pytest.raises(
        OutcomeError, match=r"got market 'shop', date 2017-12-31, product '.*'; name it by its request_id"
    ):
        log.record_outcomes([early])
    with pytest.raises(OutcomeError, match="by date or period"):
        outcome_of({"product": "cider", "units": 3})


@pytest.mark.parametrize("day", ["2018-01-08", "2018-01-14", "2018-01-22", "2018-12-31"])
def test_a_sale_of_a_day_that_no_decision_was_for_is_refused(dated: Bundle, path: Path, day: str) -> None:
    log, predictor, state = DecisionLog(path), Predictor(dated), example_state(dated.catalogue)
    for first in ("2018-01-01", "2018-01-15"):
        log.record(predictor.price(state | {"date": first}), state | {"date": first}, first)
    ended = "2018-01-07" if day < "2018-01-15" else "2018-01-21"
    with pytest.raises(OutcomeError, match=rf"got market 'shop', date {day}, product 'cider', after {ended}, the last"):
        log.record_outcomes([outcome_of({"product": "cider", "units": 3, "date": day})])
    assert log.record_outcomes([outcome_of({"product": "cider", "units": 3, "date": ended})]) == 1


def test_a_decision_of_an_earlier_version_does_not_say_when_its_period_ends(dated: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(dated.catalogue)
    log.record(replace(Predictor(dated).price(state), last_day=None), state, "old")
    assert log.record_outcomes([outcome_of({"product": "cider", "units": 3, "date": "2018-01-14"})]) == 1


def test_an_outcome_of_another_market_than_its_decisions_is_refused(dated: Bundle, path: Path) -> None:
    log, state = DecisionLog(path), example_state(dated.catalogue) | {"market": "Oslo"}
    log.record(Predictor(dated).price(state), state, "first")
    sold = {"product": "cider", "units": 3, "request_id": "first"}
    with pytest.raises(OutcomeError, match="market must be that of decision first, 'Oslo'; got 'Bergen'; fix one"):
        log.record_outcomes([outcome_of(sold | {"market": "Bergen"})])
    assert log.record_outcomes([outcome_of(sold), outcome_of(sold | {"market": "Oslo"})]) == 1
