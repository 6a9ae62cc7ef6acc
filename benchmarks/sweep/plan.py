"""The file that `repricer sweep` reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from ...agents import ALGORITHMS
from ...agents.plan import plan_for
from ...jobs import Job, code_fingerprint
from ...scenarios import load_scenario
from ...scenarios.errors import nearest
from ...scenarios.loading import registered
from ...serving.documents import Name, read, toml_table

TEXTBOOK = "textbook"
"""Stands for the names of all markets of the package."""
_CODE = ("agents", "benchmarks/sweep", "envs", "evaluation", "pricing", "scenarios")
_Count = Annotated[int, Meta(ge=1, le=10**9, extra={"allowed": "a whole number from 1 on"})]
_Names = Annotated[tuple[str, ...], Meta(min_length=1, extra={"allowed": "a list of one name or more"})]


class SweepError(ValueError):
    """A sweep that cannot be run; the message is one line.

    Example:
        >>> try:
        ...     Sweep.load(Path("none.toml"))
        ... except SweepError as error:
        ...     print(error)
        none.toml must be a TOML file; got: No such file or directory; write it or fix the path
    """


class Sweep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Trainings to compare: each algorithm on each scenario with each seed.

    Attributes:
        name: Name of the sweep.
        scenarios: Registered names, paths of scenario files, and "textbook" for all markets that come along.
        algorithms: Keys of `ALGORITHMS`.
        seeds: Training seeds; 3 stands for 0, 1, 2.
        steps: Training steps of each.
        episodes: Test episodes of each.
        settings: By algorithm, values that override its preset.

    Example:
        >>> Sweep(name="two", scenarios=("regimes",), algorithms=("ppo", "a2c"), seeds=3).count
        6
    """

    name: Name
    scenarios: _Names
    algorithms: _Names
    seeds: _Count | Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(min_length=1)] = 3
    steps: _Count = 100_000
    episodes: _Count = 1_000
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Sweep:
        """Read a file; scenario files that it names are relative to it.

        Raises:
            SweepError: It cannot be read, a key or value is not allowed, or a scenario or algorithm is not known.
        """
        return read(cls, toml_table(path, SweepError), str(path), SweepError)._checked(path)

    def _checked(self, path: Path) -> Sweep:
        for where, names in (("algorithms", self.algorithms), ("settings", tuple(self.settings))):
            for name in names:
                if name not in ALGORITHMS:
                    known = list(ALGORITHMS)
                    raise SweepError(
                        f"{path}: {where} must be among the algorithms; got '{name}'; {nearest(name, known)}"
                    )
        found: list[str] = []
        for name in self.scenarios:
            beside = path.parent / name
            found += _textbook() if name == TEXTBOOK else [str(beside) if beside.exists() else name]
        unused = [name for name in self.settings if name not in self.algorithms]
        if unused:
            raise SweepError(
                f"{path}: settings must be of the algorithms; got {unused[0]}, which is none; leave it out"
            )
        if any(len(set(names)) < len(names) for names in (found, self.algorithms, self.seed_list)):
            raise SweepError(f"{path}: scenarios, algorithms and seeds must differ; got one twice; leave one out")
        for name in found:
            load_scenario(name)
        return replace(self, scenarios=tuple(found))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The training seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def count(self) -> int:
        """Number of trainings, those included that an algorithm cannot do."""
        return len(self.scenarios) * len(self.algorithms) * len(self.seed_list)

    def unfit(self, scenario: str, algo: str) -> str | None:
        """Why an algorithm cannot learn on a market, in one line; None where it can."""
        try:
            plan_for(load_scenario(scenario), algo, self.steps, 0, self.settings.get(algo))
        except ValueError as error:
            return str(error)
        return None

    def jobs(self, scenario: str, algo: str) -> Iterator[Job]:
        """The trainings of an algorithm on a market, one job a seed."""
        given = {"steps": self.steps, "episodes": self.episodes, "settings": self.settings.get(algo, {})}
        for seed in self.seed_list:
            inputs = {"scenario": scenario, "algo": algo, "seed": seed} | given
            yield Job("repricer.benchmarks.sweep.run:train_and_evaluate", inputs, code_fingerprint(*_CODE))


def _textbook() -> list[str]:
    return [name for name, source in registered().items() if isinstance(source, Path)]
