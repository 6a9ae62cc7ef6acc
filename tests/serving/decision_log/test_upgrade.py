"""A log of an earlier version is refused, left as it is, and the line says what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from repricer.serving import DecisionLog


def test_a_log_of_version_3_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "version_3.sql").read_text())
        before = list(db.iterdump())
    path.chmod(0o600)
    with pytest.raises(
        ValueError, match=r"must be of version 5; got .* of version 3; keep it, read it with the repricer that wrote it"
    ):
        DecisionLog(path)
    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before
