"""Long jobs in stages, whose results are kept: the same command resumes after an interruption."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..atomic import write_json
from ._options import progress_console

Facts = dict[str, Any]
_FILE = "stages.json"


class Stages:
    """The stages of one job in one folder.

    Args:
        folder: The folder of the job, created by the first stage.
        settings: What the results depend on; a folder of a job with other settings is refused.
        tell: Called with each line of the job's output.

    Raises:
        ValueError: The folder holds a job with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self.folder, self.tell = folder, tell
        self._path = folder / _FILE
        self._state: Facts = {"settings": dict(settings), "done": {}}
        if self._path.is_file():
            self._state = json.loads(self._path.read_text(encoding="utf-8"))
            if self._state["settings"] != dict(settings):
                raise ValueError(
                    f"{folder} was started with {self._state['settings']}; got {dict(settings)}; "
                    "choose another --out or remove the folder"
                )

    @property
    def timings(self) -> list[dict[str, Any]]:
        """Seconds that each stage took."""
        return [{"stage": name, "seconds": facts["seconds"]} for name, facts in self._state["done"].items()]

    def run(self, name: str, title: str, work: Callable[[], Facts]) -> Facts:
        """The results of a stage, from now or earlier; their `["lines"]` are printed either way."""
        done = self._state["done"]
        before = name in done
        if not before:
            if progress_console.is_terminal:
                progress_console.print(f"{title} …", style="dim")
            started = time.perf_counter()
            facts = work()
            done[name] = facts | {"seconds": time.perf_counter() - started}
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._state)
        facts = done[name]
        self.tell("")
        self.tell(f"== {title}: {facts['seconds']:.1f} s{' (already done)' if before else ''}")
        for line in facts["lines"]:
            self.tell(f"   {line}")
        return facts
