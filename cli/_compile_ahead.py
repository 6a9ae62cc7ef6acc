"""Compile the market and the learner in a process of its own, while this one reads and fits tables.

The compiled code depends on types alone, so a textbook market that uses every part stands for any other; Numba's cache on disk
hands it over. `python -m repricer.cli._compile_ahead` is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

_SCENARIO, _STEPS, _EPISODES = "grocery", 4_096, 2


class CompileAhead:
    """A background process that compiles what training and evaluation need; `wait` before either is used.

    It only saves time: where it fails, the code is compiled when it is first used, as without it. Nothing is started where
    compiled code is there already.
    """

    def __init__(self) -> None:
        self._process = None
        if not _compiled_before():
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=quiet, stdout=quiet, stderr=quiet)

    def wait(self) -> None:
        """Return when the process has ended."""
        if self._process is not None:
            self._process.wait()

    def __enter__(self) -> CompileAhead:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process where the work ended before it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _compiled_before() -> bool:
    """Whether a period of the market has been compiled by this installation."""
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(files("repricer.envs.kernels") / "__pycache__")
    return any(Path(cache).rglob("period.run_period*.nbc"))


def main() -> None:
    """Run one short training and one short comparison, which compiles what they use."""
    from ..agents import train
    from ..evaluation import evaluate
    from ..scenarios import load_scenario

    spec = load_scenario(_SCENARIO)
    evaluate(spec, ["regular", "myopic"], episodes=_EPISODES)
    run = train(spec, steps=_STEPS)
    evaluate(spec, [run.policy], episodes=_EPISODES)


if __name__ == "__main__":
    main()
