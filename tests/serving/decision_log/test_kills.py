"""Nothing acknowledged is lost when the process is killed: a quick version of the acceptance check."""

from __future__ import annotations

from pathlib import Path

from ...acceptance.kills import killed


def test_what_was_acknowledged_is_in_the_log_after_a_kill(one_path: Path, tmp_path: Path) -> None:
    found = killed(one_path, str(tmp_path / "decisions.db"), kills=1)
    assert (found.refused, found.lost, found.intact) == ([], 0, 1)
    assert min(found.decisions, found.outcomes) > 10
