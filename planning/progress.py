"""What long work shows: steps and bars on stderr, and stages whose results are kept, so that the same call resumes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..atomic import write_json

progress_console = Console(stderr=True, highlight=False, markup=False)
_EVERY = 8.0
"""Seconds between two signs of life of long work."""


def show_step(what: str) -> None:
    """Say on stderr what is done now, if that is a terminal."""
    if progress_console.is_terminal:
        progress_console.print(f"  {what} …", style="dim")


def show_line(what: str) -> None:
    """Say on stderr what begins or is done."""
    progress_console.print(what, soft_wrap=True)


@contextmanager
def signs_of_life(what: str) -> Iterator[None]:
    """Say on stderr, again and again, what is being done and for how long: a nightly job whose log stands still looks like
    one that hangs.
    """
    started = time.monotonic()
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_EVERY):
            show_line(f"  {what}: {time.monotonic() - started:.0f} s …")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def progress_bar(
    text: str = "{task.description}", done: str = "{task.percentage:>3.0f}%", *, counted: bool = False
) -> Progress:
    """A progress bar with times on stderr, if that is a terminal; `counted`: how many of how many instead of `done`."""
    columns = TextColumn(text), BarColumn(), MofNCompleteColumn() if counted else TextColumn(done)
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=progress_console, disable=not progress_console.is_terminal)


def beside_plan(facts: Mapping[str, Any]) -> str:
    """What learning adds to the plan that a run opened at, on customers that nothing was chosen on, in a clause.

    Args:
        facts: Of the run, with its figures `beside_plan`.
    """
    found = facts["beside_plan"]
    adds = f"what was learned adds {found['learning_adds']:+.2%} (standard error {found['standard_error']:.2%})"
    end = "and is kept" if facts["kept"] == "learned" else "which is not ahead by more than chance: the plan is kept"
    return f"on fresh customers the plan earns {found['plan_earns']:,.0f} an episode; {adds}, {end}"


@contextmanager
def training_bar(label: str, money: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Show on stderr how far a training is, and its gain over the best fixed prices.

    A terminal shows a progress bar; elsewhere there is a line at the start and one after each tenth.

    Args:
        label: What is done.
        money: Name of the objective.

    Yields:
        A function to call with the steps done, all steps, and the figures `gain` and `best_fixed`.
    """
    preparing = f"{label}: compiling the market and searching the best fixed prices"
    prints_lines = not progress_console.is_terminal
    tenths_shown = 0
    if prints_lines:
        show_line(preparing)
    with progress_bar(done="{task.percentage:>3.0f}% {task.fields[gain]}") as bar:
        task = bar.add_task(preparing, total=None, gain="")

        def update(done: int, total: int, figures: dict[str, float]) -> None:
            nonlocal tenths_shown
            gain = figures["gain"]
            fixed = abs(figures["best_fixed"])
            # A market in which nothing is earned has no gain in percent.
            size = f"{abs(gain / fixed):.2%}" if fixed else f"{abs(gain):,.2f}"
            side = "below" if gain < 0 else "above"
            words = f"{money} {size} {side} that of the best fixed prices"
            bar.update(task, completed=min(done, total), total=total, gain=words, description=label)
            if prints_lines:
                tenths = 10 * done // total
                if tenths > tenths_shown:
                    tenths_shown = tenths
                    show_line(f"{label}: {min(tenths, 10)}0% {words}")

        yield update


Facts = dict[str, Any]
_FILE = "stages.json"


class Stages:
    """The stages of one job in one folder.

    Args:
        folder: The folder of the job, created by the first stage.
        settings: What the results depend on; a folder of a job with other settings is refused.
        tell: Called with each line of the job's output.
        details: Whether to tell the lines that are indented too.

    Raises:
        ValueError: The folder holds a job with other settings.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], tell: Callable[[str], None], *, details: bool = True
    ) -> None:
        self.folder = folder
        self.tell = tell
        self._details = details
        self._path = folder / _FILE
        self._state: Facts = {"settings": dict(settings), "done": {}}
        if self._path.is_file():
            self._state = json.loads(self._path.read_text(encoding="utf-8"))
            if self._state["settings"] != dict(settings):
                got = f"got {dict(settings)}; choose another --out or remove the folder"
                raise ValueError(f"{folder} was started with {self._state['settings']}; {got}")

    @property
    def timings(self) -> list[dict[str, Any]]:
        """Seconds that each stage took."""
        return [{"stage": name, "seconds": facts["seconds"]} for name, facts in self._state["done"].items()]

    def run(self, name: str, title: str, work: Callable[[], Facts]) -> Facts:
        """The results of a stage, from now or earlier; their `["lines"]` are printed either way."""
        done = self._state["done"]
        before = name in done
        if not before:
            show_step(title)
            started = time.perf_counter()
            with signs_of_life(title):
                facts = work()
            done[name] = facts | {"seconds": time.perf_counter() - started}
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._state)
        facts = done[name]
        self.tell("")
        self.tell(f"== {title}: {facts['seconds']:.1f} s{' (already done)' if before else ''}")
        for line in facts["lines"]:
            if self._details or not line.startswith(" "):
                self.tell(f"   {line}")
        return facts
