"""A log of the version before opens, verifies, and goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from repricer.serving import Bundle, ChainError, DecisionLog, Predictor, example_state
from repricer.serving.decision_log.hash_chain import EMPTY, linked
from repricer.serving.decision_log.outcomes import ReportedOutcome

TABLES = """
CREATE TABLE decisions (id BIGINT PRIMARY KEY, schema INTEGER, time TEXT, request_id TEXT, market TEXT, period INTEGER,
 product TEXT, state TEXT, proposed DOUBLE PRECISION, price DOUBLE PRECISION, discounts TEXT, also TEXT, trail TEXT,
 arm TEXT, propensity DOUBLE PRECISION, shadow TEXT, policy TEXT, bundle TEXT, previous_hash TEXT, hash TEXT);
CREATE TABLE outcomes (id BIGINT PRIMARY KEY, schema INTEGER, time TEXT, request_id TEXT, product TEXT, segment TEXT,
 units DOUBLE PRECISION, price_paid DOUBLE PRECISION, stockout BOOLEAN, date TEXT, previous_hash TEXT, hash TEXT);
CREATE INDEX decisions_request ON decisions (request_id);
CREATE INDEX decisions_market ON decisions (market, period);
CREATE INDEX outcomes_request ON outcomes (request_id);
"""
TIME = "2024-01-01T00:00:00.000+00:00"
STATE = {"list_price": 4.0, "on_hand": None, "loyalty": {"loyal": 1.1}, "date": "2024-01-01"}


def old_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two decisions of version 2 for two products, and what the first one sold, with their hashes."""
    decisions = [
        {
            "schema": 2,
            "time": TIME,
            "request_id": request,
            "market": market,
            "period": 0,
            "product": product,
            "state": json.dumps({"product": product, **STATE}),
            "proposed": None,
            "price": 3.5,
            "discounts": '{"loyal":0.1}',
            "also": '{"promotion":null,"order_units":2.0,"shown_to":[]}',
            "trail": '[{"rule":"grid","before":3.51,"after":3.5,"why":"ten cents"}]',
            "arm": "policy",
            "propensity": 0.5,
            "shadow": None,
            "policy": "ppo:3",
            "bundle": "b",
        }
        for request, market in (("r0", "Oslo"), ("r1", "Rome"))
        for product in ("anchovy", "cider")
    ]
    outcomes = [
        {
            "schema": 2,
            "time": TIME,
            "request_id": "r0",
            "product": product,
            "segment": None,
            "units": 3.0,
            "price_paid": None,
            "stockout": True,
            "date": "2024-01-02",
        }
        for product in ("anchovy", "cider")
    ]
    return linked(decisions, EMPTY)[0], linked(outcomes, EMPTY)[0]


def old_log(path: Path) -> Sequence[str]:
    """A log of version 2; returns the last hashes of its chains."""
    rows = old_rows()
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(TABLES)
        for table, some in zip(("decisions", "outcomes"), rows, strict=True):
            marks = ", ".join("?" * len(some[0]))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", [tuple(row.values()) for row in some])
        for name in ("stay", "remain"):
            change = {"stay": "UPDATE", "remain": "DELETE"}[name]
            db.execute(
                f"CREATE TRIGGER decisions_{name} BEFORE {change} ON decisions BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
    return [some[-1]["hash"] for some in rows]


def check(log: DecisionLog, heads: Sequence[str], one: Bundle) -> None:
    """All is in the log as it was, the new chains continue the old ones, and it goes on."""
    for head in heads:
        found = log.verify(head)
        assert (found.rows, found.outcomes, found.maintenance) == (2, 1, 2)
    row = next(log.export())
    assert (row["request_id"], row["market"], row["date"], row["time"]) == ("r0", "Oslo", "2024-01-01", TIME)
    assert row["state"] == {"product": "anchovy", "list_price": 4.0, "on_hand": None, "loyalty": {"loyal": 1.1}}
    assert (row["also"]["order_units"], row["trail"][0]["why"], row["shadow"]) == (2, "ten cents", None)
    assert [(row["units"], row["sold_on"]) for row in log.sold()] == [(3, "2024-01-02")] * 2 + [(None, None)] * 2
    state = example_state(one.catalogue)
    log.record(Predictor(one).price(state), state, "later")
    assert log.record_outcomes([ReportedOutcome("cider", 1.0, request_id="r1")]) == 1
    assert log.erase("Oslo", "Ann") == 1
    for head in heads:
        assert log.verify(head)[:1] == (3,)


def test_a_log_of_version_2_is_upgraded_when_it_is_opened(
    tmp_path: Path, one: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    heads = old_log(tmp_path / "log.db")
    with closing(DecisionLog(tmp_path / "log.db")) as log:
        check(log, heads, one)
    # It says so, and not that triggers were dropped.
    assert [record.message for record in caplog.records if hasattr(record, "facts")] == ["decision log upgraded"]
    with closing(sqlite3.connect(tmp_path / "log.db")) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        assert not {name for name in names if name.endswith("_2")}
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute("DELETE FROM decisions WHERE id = 1")


def test_a_changed_log_of_version_2_is_left_as_it_is(tmp_path: Path) -> None:
    old_log(tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as db, db:
        db.executescript("DROP TRIGGER decisions_stay; UPDATE decisions SET price = 1 WHERE id = 3")
    for _ in range(2):
        with pytest.raises(ChainError, match="decisions: row 3 must follow from the row before"):
            DecisionLog(tmp_path / "log.db")


def test_a_log_of_a_later_version_is_refused(tmp_path: Path) -> None:
    DecisionLog(tmp_path / "log.db").close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9'")
    with pytest.raises(ValueError, match=r"of version 3 or earlier; got .* of version 9; update repricer"):
        DecisionLog(tmp_path / "log.db")
