"""Compile the market and the learner in a background process, while this one reads and fits tables.

The compiled code depends only on types, so that any market with many features serves to compile it;
Numba's cache on disk passes it on. The process is `python -m repricer.cli._compile_ahead`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

_STEPS, _EPISODES = 2_048, 2


class CompileAhead:
    """A background process that compiles the market; `wait` before using it.

    It only saves time: if it fails, the code is compiled on first use. It does not start if
    compiled code exists.
    """

    def __init__(self) -> None:
        self._process = None
        if not _compiled_before():
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=quiet, stdout=quiet, stderr=quiet)

    def wait(self) -> None:
        """Wait until the process has ended."""
        if self._process is not None:
            self._process.wait()

    def __enter__(self) -> CompileAhead:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process if it is still running."""
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
    from ..scenarios.sampler import sample_catalogue

    # Small, as the search for the best fixed prices runs too: of a year it took 17 seconds.
    spec = sample_catalogue(4, seed=0, parts="all", periods=4)
    evaluate(spec, ["regular", "myopic"], episodes=_EPISODES)
    run = train(spec, steps=_STEPS)
    evaluate(spec, [run.policy], episodes=_EPISODES)


if __name__ == "__main__":
    main()
