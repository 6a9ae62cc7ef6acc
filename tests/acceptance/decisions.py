"""The decision log: a price service killed under load, with SQLite and with PostgreSQL."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from .checks import Skip, check
from .kills import Killed, killed, postgres, postgres_programs
from .loop import said

KILLS = 20


@functools.cache
def survived(database: str) -> Killed:
    """20 kills at random moments, of a service with this database."""
    if database == "PostgreSQL" and postgres_programs() is None:
        raise Skip("no PostgreSQL on this machine")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        said("train", "stationary-logit", "--steps", "2000", "--out", f"{text}/run")
        said("export", f"{text}/run", "--out", f"{text}/bundle")
        if database == "SQLite":
            return killed(folder / "bundle", f"{text}/decisions.db", KILLS)
        with postgres() as url:
            return killed(folder / "bundle", url, KILLS)


def checks_of(database: str) -> None:
    @check("serving", f"{database}, 20 kill -9 under load: acknowledged rows that are not in the log", "==", 0, "rows")
    def lost() -> float:
        found = survived(database)
        assert found.decisions > 100, found
        assert found.outcomes > 100, found
        return float(found.lost + len(found.refused))

    @check("serving", f"{database}, 20 kill -9 under load: the chains verify", "==", KILLS, "times")
    def intact() -> float:
        return float(survived(database).intact)

    @check("serving", f"{database}, 20 kill -9 under load: ready again, the slowest time", "<=", 2, "s")
    def back() -> float:
        return max(survived(database).starts)


for name in ("SQLite", "PostgreSQL"):
    checks_of(name)
