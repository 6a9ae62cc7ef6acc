"""The cycles of a shop: which were run, on which tables, with what result, and where each keeps its markets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ...atomic import write_json
from .config import CycleError

if TYPE_CHECKING:
    from ...agents import Run
    from ...fitting import Zone

MARKET = "market"
RUN = "run"
CYCLES = "cycles.json"
"""File of a folder of cycles that says which there are."""


# Where a cycle keeps its markets: of the whole shop, of price zones, of parts of a catalogue.


@dataclass(frozen=True)
class CyclePlace:
    """Where a cycle keeps one market with its policy and its price list, or those of all parts of a catalogue.

    Attributes:
        home: The folder of the cycle, with its tables.
        zone: The price zone whose market it is, which has a folder of its own; None for all stores.
        parts: The parts of a catalogue that is too large for one market; each has a folder of its own.
        part: The part whose market it is; empty for the catalogue.
    """

    home: Path
    zone: Zone | None = None
    parts: tuple[str, ...] = ()
    part: str = ""

    @property
    def stores(self) -> str:
        """The name of the zone; empty for all stores."""
        return "" if self.zone is None else self.zone.name

    @property
    def name(self) -> str:
        """What tells it from the other markets of the cycle: zone and part; empty where there is no other."""
        return "/".join(filter(None, [self.stores, self.part]))

    @property
    def folder(self) -> Path:
        """The folder of the market."""
        return self.home / self.name

    @property
    def run_folder(self) -> Path:
        """The folder of the trained run, which all parts have in common."""
        return self.home / self.stores / RUN

    @property
    def markets(self) -> list[CyclePlace]:
        """The parts of a catalogue, or the place itself where one market holds it whole."""
        return [replace(self, part=part) for part in self.parts] or [self]

    @cached_property
    def run(self) -> Run:
        """The trained run, kept by `train_stage` or loaded: its market's best fixed prices are searched once."""
        from ...agents import load_run
        from ...agents.run import kept_fit_record
        from ...scenarios import load_scenario

        run = load_run(self.run_folder)
        market = self.folder / MARKET
        if not self.part:
            return run
        return run.in_market(load_scenario(market), seed=run.facts["seed"], refit=kept_fit_record(market))


# The cycles of a shop: which were run, on which tables, and with what result.


@dataclass(frozen=True)
class Entry:
    """One cycle.

    Attributes:
        folder: Name of its folder.
        first_day: First day of the weeks that it prices.
        fingerprint: Of its configuration and tables.
        settings: Of what its policy depends on beside the tables.
        trained: Whether its policy was trained in it; else the bundle of the cycle
            before was refreshed.
        complete: Whether its price list is written.
        train_again: Why it is time to train again, a sentence each.
        zones: The stores of each price zone; empty where all stores have one list.
        parts: Names of the parts of the catalogue, each a market; empty where one holds it whole.
        shop: Name of the shop; empty in what earlier versions wrote.
    """

    folder: str
    first_day: str
    fingerprint: str
    settings: str
    trained: bool
    complete: bool = False
    train_again: list[str] = field(default_factory=list)
    zones: dict[str, list[str]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    shop: str = ""

    def places(self, out: Path) -> list[CyclePlace]:
        """Where the markets of its zones are: in its folder of `out`, or each zone's in a folder therein."""
        from ...fitting import Zone

        home = out / self.folder
        parts = tuple(self.parts)
        return [CyclePlace(home, Zone(name, self.zones), parts) for name in self.zones] or [
            CyclePlace(home, None, parts)
        ]


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other cycles out of a folder: two at once would drop what the other has not finished.

    Raises:
        CycleError: One is at work in it.
    """
    from filelock import FileLock, Timeout

    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        got = f"got {out}, where one is; wait for it, or name another"
        raise CycleError(f"out must be a folder in which no cycle is at work; {got}") from None


class Register:
    """The cycles of a shop in one folder, oldest first.

    Raises:
        CycleError: The folder holds another shop's.
    """

    def __init__(self, out: Path, shop: str | None = None) -> None:
        self.out = out
        self._path = out / CYCLES
        rows = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else []
        self.entries = [Entry(**row) for row in rows]
        # Another shop's cycles would be taken for those before.
        others = [entry.shop for entry in self.entries if entry.shop not in ("", shop)]
        if shop is not None and others:
            got = f"got {self.out}, with the cycles of {others[-1]!r}; name another, or keep the name of the shop"
            raise CycleError(f"out must be a folder of the shop's own; {got}")

    def of(self, fingerprint: str) -> Entry | None:
        """The last cycle of this configuration and these tables."""
        return next((entry for entry in reversed(self.entries) if entry.fingerprint == fingerprint), None)

    def before(self, first_day: str | None = None) -> Entry | None:
        """The last complete cycle, or the last whose weeks begin earlier; of several for the same weeks the newest."""
        earlier = [one for one in self.entries if one.complete and (first_day is None or one.first_day < first_day)]
        return max(reversed(earlier), key=lambda entry: entry.first_day, default=None)

    def refreshed(self, first_day: str, folder: str = "") -> Entry | None:
        """The cycle whose bundle one refreshes: that before, or where none is, the newest one for the same weeks.

        Args:
            first_day: First day of its weeks.
            folder: Name of its folder, if it has one.
        """
        older = takewhile(lambda one: one.folder != folder, self.entries)
        same = [one for one in older if one.complete and one.first_day == first_day]
        return self.before(first_day) or (same[-1] if same else None)

    def new_folder(self, first_day: str) -> str:
        """A name for the folder of a new cycle: its first day, numbered where the day is taken."""
        names = (first_day if n == 1 else f"{first_day}-{n}" for n in count(1))
        return next(name for name in names if not (self.out / name).exists())

    @property
    def left(self) -> list[Path]:
        """The folders of the cycles that were left half made."""
        return [self.out / entry.folder for entry in self.entries if not entry.complete]

    def drop_left(self) -> None:
        """Drop the cycles that were left half made, with their folders."""
        left = self.left
        self._write([entry for entry in self.entries if entry.complete])
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, entry: Entry) -> None:
        """Add a cycle."""
        self._write([*self.entries, entry])

    def complete(self, entry: Entry, train_again: list[str]) -> None:
        """Note that the price list of a cycle is written."""
        done = replace(entry, complete=True, train_again=train_again)
        self._write([done if one.folder == entry.folder else one for one in self.entries])

    def _write(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self._path, [asdict(entry) for entry in entries])
