"""The files of a SQLite log belong together."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from repricer.serving import DecisionLog


def test_a_log_whose_write_ahead_file_is_gone_with_rows_is_not_opened(tmp_path: Path) -> None:
    """As after a crash: the rows that were not moved to their place are in that file alone."""
    path, copy = tmp_path / "decisions.db", tmp_path / "copy.db"
    log = DecisionLog(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:  # while it reads, later rows are not moved
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        log.record_switches(log.transitions()[1], [("kill_switch", True)], "Ann", "")
        for ending in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    log.close()
    Path(f"{copy}-wal").rename(tmp_path / "kept")
    with pytest.raises(
        ValueError, match=r"must have its write-ahead file; got .*copy\.db without .*copy\.db-wal, which"
    ):
        DecisionLog(copy)
    (tmp_path / "kept").rename(f"{copy}-wal")
    with closing(DecisionLog(copy)) as whole:
        assert whole.verify().events == 1


def test_a_log_that_was_closed_needs_no_write_ahead_file(tmp_path: Path) -> None:
    for count in (1, 2):
        with closing(DecisionLog(tmp_path / "decisions.db")) as log:
            log.record_switches(log.transitions()[1], [("kill_switch", True)], "Ann", "")
            assert log.verify().events == count
        assert [file.name for file in tmp_path.iterdir()] == ["decisions.db"]
