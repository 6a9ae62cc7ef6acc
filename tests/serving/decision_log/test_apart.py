"""A log that is written in a process of its own, and rows that are sealed before their transaction."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, DecisionLog, Predictor, example_state
from repricer.serving.decision import Decision
from repricer.serving.decision_log.additions import Packed, additions
from repricer.serving.decision_log.approvals import Approval
from repricer.serving.decision_log.outcomes import OutcomeError, ReportedOutcome
from repricer.serving.decision_log.replies import Reply, ReusedKeyError
from repricer.serving.decision_log.transactions import LogError

NAMES = [f"store {n}" for n in range(20)]
APPROVAL = Approval("north", "cider", "2026-01-05", "p", 2.0, 2.1, "approved", 2.1, "Ann", "", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def log(path: Path) -> Iterator[DecisionLog]:
    with closing(DecisionLog(path, apart=True)) as log:
        yield log


def decisions(bundle: Bundle, prefix: str, names: list[str] = NAMES) -> list[tuple[str, Decision]]:
    found = []
    for number, name in enumerate(names):
        state = example_state(bundle.catalogue) | {"market": name}
        answer = Predictor(bundle).price(state)
        found.append((f"{prefix}.{number}", Decision(state, answer, "policy", 1.0, None, [])))
    return found


def without_time(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "time"} for row in rows]


def test_it_writes_what_a_thread_would(log: DecisionLog, one: Bundle, tmp_path: Path) -> None:
    exported = []
    for each in (log, DecisionLog(tmp_path / "other.db")):
        wait([each.submit_decisions([one_of]) for one_of in decisions(one, "a")])
        each.submit_decisions(decisions(one, "b")).result()
        each.submit_decisions(decisions(one, "c")).result()
        assert each.record_outcomes([ReportedOutcome("cider", 2.0, request_id="a.1")]) == 1
        wrong: dict[int, str] = {}
        told = [ReportedOutcome("cider", 1.0, request_id=name) for name in ("nowhere", "a.2")]
        assert each.record_outcomes(told, wrong) == 1
        assert "nowhere" in wrong[0]
        each.record_switch("kill_switch", True, "Ann", "a test")
        assert each.switches() == {"kill_switch": True}
        assert each.record_approvals([APPROVAL]).new == 1
        each.submit_trial().result()
        head = each.verify()
        assert (head.rows, head.outcomes, head.switches, head.approvals) == (60, 2, 1, 1)
        exported.append((without_time(each.export()), without_time(each.export_outcomes())))
    assert exported[0] == exported[1]


def test_one_at_fault_does_not_take_its_company_along(log: DecisionLog, one: Bundle) -> None:
    first, second = decisions(one, "a", NAMES[:2])
    waiting = [log.submit_decisions([first])]
    bad = log.submit_outcomes([ReportedOutcome("cider", 1.0, request_id="nowhere")])
    waiting.append(log.submit_decisions([second]))
    with pytest.raises(OutcomeError, match="nowhere"):
        bad.result()
    assert [each.result() for each in waiting] == [None, None]
    assert log.verify().rows == 2


def test_where_the_process_is_killed_nothing_is_acknowledged_and_the_next_is_written(
    log: DecisionLog, one: Bundle
) -> None:
    first, second = decisions(one, "a", NAMES[:2])
    log.submit_decisions([first]).result()
    process: Any = log._storage._writer
    process._process.kill()
    process._process._process.wait()
    log.submit_decisions([second]).result()
    assert log.verify().rows == 2

    def killed(*_: Any) -> Any:
        process._process.kill()
        process._process._process.wait()
        return b""

    process._process._process.stdin.write = killed
    with pytest.raises(LogError, match="has ended"):
        log.submit_decisions(decisions(one, "b")).result()
    assert log.verify().rows == 2
    log.submit_decisions(decisions(one, "b")).result()
    assert log.verify().rows == 22


def test_an_answer_that_was_kept_is_given_again(log: DecisionLog, one: Bundle) -> None:
    (named,) = decisions(one, "a", NAMES[:1])
    reply = Reply.of("a.0", "question", b"answer")
    assert log.submit_decisions([named], reply).result() is None
    assert log.submit_decisions([named], reply).result() == b"answer"
    assert log.submit_kept("a.0", "question").result() == b"answer"
    with pytest.raises(ReusedKeyError):
        log.submit_kept("a.0", "another question").result()
    assert log.verify().rows == 1


def test_rows_sealed_before_their_transaction_are_read_like_others(log: DecisionLog, one: Bundle) -> None:
    log.submit_decisions(decisions(one, "a", NAMES[:1])).result()
    # Both know no key of most markets, and make one for each; only one of them can count.
    elsewhere = pickle.loads(pickle.dumps(log.drafts))
    works = [Packed(additions(decisions(one, name), elsewhere, None)) for name in ("b", "c")]
    wait([log.submit_work(work) for work in works])
    # Now all are known, and two rows of one market are sealed with one key.
    log.submit_work(additions(decisions(one, "d", [*NAMES, *NAMES]), elsewhere, None)).result()
    assert log.verify().rows == 81
    assert {row["request_id"].partition(".")[0] for row in log.export()} == {"a", "b", "c", "d"}
    assert len(list(log.export())) == 81 * 3
    for name in NAMES:
        assert len(log.recent(name, 100)) // 3 == (5 if name == NAMES[0] else 4)


def test_what_was_sealed_with_a_key_that_was_erased_is_not_written(log: DecisionLog, one: Bundle, path: Path) -> None:
    log.submit_decisions(decisions(one, "a")).result()
    work = additions(decisions(one, "b"), log.drafts, None)
    with closing(DecisionLog(path)) as operator:
        operator.erase(NAMES[3], "Ann")
    with pytest.raises(LogError, match="'store 3' was erased from the log meanwhile"):
        log.submit_work(work).result()
    assert log.verify().rows == 20
    log.submit_decisions(decisions(one, "b")).result()
    assert (log.verify().rows, len(log.recent(NAMES[3], 100))) == (40, 3)
