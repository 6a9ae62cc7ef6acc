"""Where the good rows of a table wait until all its parts are read: in memory, or on disk by week."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from ...atomic import write_whole

_RUN_ROWS = 1_000_000
"""Rows that are held until they are written."""
_FACTS = "facts.json"
_FEW = ("bad", "returns")
_VERSION = 1


@dataclass
class PartRows:
    """What a part holds, once it is checked row by row.

    Attributes:
        name: The part's name.
        folder: Where its rows are kept; None for the memory.
        day: Column by which rows are kept apart, a week in each file; None where there is no such.
        facts: Counts of rows, by what they are.
        bad: Faulty rows: `row` (number in the part), `reason`, `text`, `hash` (of the whole row).
        returns: Sale lines with negative units.
    """

    name: str
    folder: Path | None
    day: str | None
    facts: dict[str, int] = field(default_factory=dict)
    bad: pl.DataFrame = field(default_factory=pl.DataFrame)
    returns: pl.DataFrame = field(default_factory=pl.DataFrame)
    _held: list[pl.DataFrame] = field(default_factory=list)
    _runs: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Keep good rows, which come in the order of the part."""
        self._held.append(rows)
        if self.folder is not None and sum(map(len, self._held)) >= _RUN_ROWS:
            self._write()

    def close(self) -> None:
        """Note that all is kept; a folder without this note is one of a process that was killed."""
        if self.folder is None:
            return
        self._write()
        for name in _FEW:
            path = self.folder / f"{name}.parquet"
            getattr(self, name).write_parquet(path)
            # A few rows of a large frame would keep all its texts in memory.
            setattr(self, name, pl.read_parquet(path))
        write_whole(self.folder / _FACTS, json.dumps({"name": self.name, "day": self.day, "facts": self.facts}))

    @functools.cached_property
    def weeks(self) -> dict[int, list[Path]]:
        """The weeks that have rows, numbered from 1970 on, and their files; week 0 for all of them in memory."""
        if self.folder is None:
            return {0: []}
        runs = [(*map(int, path.stem.split("-")), path) for path in self.folder.glob("*-*.parquet")]
        found: dict[int, list[Path]] = {}
        for week, _, path in sorted(runs):
            found.setdefault(week, []).append(path)
        return found

    def rows(self, week: int, columns: list[str] | None = None, *, last: bool = False) -> list[pl.DataFrame]:
        """The rows of a week in the order of the part.

        Args:
            week: Its number.
            columns: Those that are wanted; by default all.
            last: Whether they are wanted for the last time.
        """
        if self.folder is None:
            held = self._held
            self._held = [] if last else held
            return held if columns is None else [rows.select(columns) for rows in held]
        return [pl.read_parquet(path, columns=columns, memory_map=False) for path in self.weeks.get(week, [])]

    def _write(self) -> None:
        assert self.folder is not None, "only what is kept on disk is written"
        if not self._held:
            return
        rows = pl.concat(self._held)
        self._held = []
        # 1970 began on a Thursday: weeks from Monday on.
        week = (rows[self.day].dt.epoch("d") + 3) // 7 if self.day else pl.zeros(len(rows), pl.Int64, eager=True)
        for (number,), some in rows.group_by(week.alias("week"), maintain_order=True):
            some.write_parquet(self.folder / f"{number}-{self._runs}.parquet", compression="lz4", statistics=False)
        self._runs += 1


class Stage:
    """A folder that keeps what was read, part by part, so that no part is read twice.

    Args:
        folder: The folder; it is made if it is missing.
        made_with: What the rows depend on beside the parts: the layouts, and the key of the
            pseudonyms.
    """

    def __init__(self, folder: Path, made_with: Any) -> None:
        self.folder, self._made_with, self._used = folder, made_with, set[Path]()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._before = dict(_kept(folder))

    def find(self, table: str, part: tuple[str, int, int]) -> PartRows | None:
        """What is kept of a part, if it has been read and has not changed since."""
        folder = self._place(table, part)
        if folder not in self._before:
            return None
        told = json.loads((folder / _FACTS).read_text())
        bad, returns = (pl.read_parquet(folder / f"{name}.parquet") for name in _FEW)
        return PartRows(told["name"], folder, told["day"], told["facts"], bad, returns)

    def new(self, table: str, part: tuple[str, int, int], day: str | None) -> PartRows:
        """An empty place for a part."""
        folder = self._place(table, part)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return PartRows(part[0], folder, day)

    def account(self, table: str) -> list[str]:
        """What became of the parts of a table since the last import, or the one that was interrupted."""
        before = {name for folder, name in self._before.items() if folder.parent.name == table}
        used = {folder for folder in self._used if folder.parent.name == table}
        now = {json.loads((folder / _FACTS).read_text())["name"]: folder in self._before for folder in used}
        same = {name for name, old in now.items() if old}
        if not before:
            return []
        return [
            f"parts: {len(now):,}, of which {len(now.keys() - before):,} new, {len((now.keys() & before) - same):,} "
            f"read again and {len(same):,} as at the last import; {len(before - now.keys()):,} gone"
        ]

    def tidy(self) -> None:
        """Remove what belongs to no part any more."""
        for folder in [*self.folder.glob("*/*/")]:
            if folder not in self._used:
                shutil.rmtree(folder, ignore_errors=True)

    def _place(self, table: str, part: tuple[str, int, int]) -> Path:
        told = json.dumps([_VERSION, self._made_with, table, *part], default=repr)
        folder = self.folder / table / sha256(told.encode()).hexdigest()[:24]
        self._used.add(folder)
        return folder


def _kept(folder: Path) -> Iterator[tuple[Path, str]]:
    """The parts that a folder keeps whole, with their names."""
    for path in folder.glob(f"*/*/{_FACTS}"):
        yield path.parent, json.loads(path.read_text())["name"]
