"""The log in PostgreSQL: the same library, the same promises. Skipped where there is no PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.outcomes import OutcomeError, ReportedOutcome

from ...acceptance.kills import killed, postgres, postgres_programs
from .test_maintenance import fill, requests, sold

psycopg = pytest.importorskip("psycopg", reason="no psycopg: pip install 'repricer[postgres]'")
pytestmark = pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL on this machine")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A new database."""
    name = f"d{abs(hash(request.node.name))}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def test_what_is_recorded_is_the_same_as_in_sqlite(one: Bundle, url: str, tmp_path: Path) -> None:
    state, exported = example_state(one.catalogue), []
    answer = Predictor(one).price(state)
    for place in (url, tmp_path / "decisions.db"):
        log = DecisionLog(place)
        log.record(answer, state, "r1", propensity=0.3, arm="fallback")
        assert (
            log.record_outcomes([ReportedOutcome("cider", 2.5, request_id="r1", price_paid=4.1, segment="loyal")]) == 1
        )
        assert log.record_outcomes([ReportedOutcome("cider", 2.5, period=0, price_paid=4.1, segment="loyal")]) == 0
        with pytest.raises(OutcomeError, match="must stay"):
            log.record_outcomes([ReportedOutcome("cider", 3.5, request_id="r1", price_paid=4.1, segment="loyal")])
        head = log.verify()
        assert (head.rows, head.outcomes) == (1, 1)
        exported.append([*log.export(), *log.export_outcomes(), *log.sold()])
        log.close()
    links = ("time", "hash", "previous_hash")
    ours, theirs = ([{k: v for k, v in row.items() if k not in links} for row in rows] for rows in exported)
    assert ours == theirs


def test_a_change_is_found(one: Bundle, url: str) -> None:
    log, state = DecisionLog(url), example_state(one.catalogue)
    for name in ("r1", "r2"):
        log.record(Predictor(one).price(state), state, name)
    head = log.verify()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE decisions SET number = 7 WHERE id = 2")
        with pytest.raises(ChainError, match="row 2 must follow"):
            log.verify()
        connection.execute("DELETE FROM decisions WHERE id > 1")
    with pytest.raises(ChainError, match="got 1 decisions, 0 outcomes, 0 events without it"):
        log.verify(head.hash)


def test_several_writers_make_one_chain(one: Bundle, url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        # At once: who comes second must find the tables that the first one is making.
        logs = list(pool.map(DecisionLog, [url] * 4))
        state, predictor = example_state(one.catalogue), Predictor(one)
        list(pool.map(lambda n: logs[n % 4].record(predictor.price(state), state, str(n)), range(24)))
    assert logs[0].verify().rows == 24


def test_it_is_maintained_and_restored_as_in_sqlite(
    one: Bundle, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "here.db", one, monkeypatch)
    with closing(DecisionLog(tmp_path / "here.db")) as log:
        head, was_sold = log.backup(tmp_path / "copy.db"), sold(log)
    with closing(DecisionLog(tmp_path / "copy.db")) as backup:
        assert backup.restore(url) == head
    with closing(DecisionLog(url)) as log:
        found = log.rotate(30, tmp_path / "old.db", "Ann")
        assert (found[:2], requests(log)) == ((2, 3), ["r2", "r3"])
        with closing(DecisionLog(tmp_path / "old.db")) as archive:
            assert {**sold(archive), **sold(log)} == was_sold
            assert (archive.erase("Oslo", "Ann"), log.erase("Oslo", "Ann")) == (1, 2)
            assert (requests(archive), requests(log)) == (["r1"], [])
        with pytest.raises(ValueError, match=r"backup copies a SQLite file; got .*; use pg_dump"):
            log.backup(tmp_path / "second.db")
        assert log.verify(head.hash).rows == 4


def test_what_was_acknowledged_is_in_the_log_after_a_kill(one_path: Path, url: str) -> None:
    found = killed(one_path, url, kills=1)
    assert (found.refused, found.lost, found.intact) == ([], 0, 1)
    assert min(found.decisions, found.outcomes) > 10
