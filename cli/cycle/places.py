"""Where a cycle keeps its markets: of the whole shop, of price zones, of parts of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...agents import Run
    from ...fitting import Zone

MARKET, RUN = "market", "run"


@dataclass(frozen=True)
class Place:
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
    def markets(self) -> list[Place]:
        """The parts of a catalogue, or the place itself where one market holds it whole."""
        return [replace(self, part=part) for part in self.parts] or [self]

    @cached_property
    def run(self) -> Run:
        """The trained run, kept by `train_stage` or loaded: its market's best fixed prices are searched once."""
        from ...agents import load_run
        from ...agents.run import kept_fit_record
        from ...scenarios import load_scenario

        run, market = load_run(self.run_folder), self.folder / MARKET
        if not self.part:
            return run
        return run.in_market(load_scenario(market), seed=run.facts["seed"], refit=kept_fit_record(market))
