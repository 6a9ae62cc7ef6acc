"""What can be done while a command reads tables: compile the market and the learner, or start the fit's processes.

The compiled code depends only on types, so that any market with many features serves to compile it;
Numba's cache on disk passes it on. The processes are `python -m repricer.cli._compile_ahead PART`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Generator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from ..jobs.processes import JOBS

if TYPE_CHECKING:
    from ..scenarios import MarketSpec

_STEPS, _EPISODES = 2_048, 2
_IMPORT_SECONDS = 4.0


class CompileAhead:
    """Background processes that compile the market and the learner; `wait` before using them.

    They only save time: if one fails, the code is compiled on first use. If compiled code exists,
    the processes in which `fit` works start instead, and import its libraries.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers = None
        if not _compiled_before():
            quiet = subprocess.DEVNULL
            for part in PARTS:
                command = [sys.executable, "-m", __name__, part]
                self._processes.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))
        elif JOBS > 1:
            self._workers = _started_workers()

    def wait(self) -> None:
        """Wait until the processes have ended."""
        for process in self._processes:
            process.wait()

    def __enter__(self) -> CompileAhead:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End what was started: left to the end of the command, the fit's processes would take seconds to go."""
        for process in self._processes:
            process.terminate()
        self.wait()
        if self._workers is None:
            return
        if kind is None:
            # Their imports have long ended.
            list(self._workers)
            executor: Any = get_reusable_executor
            executor(reuse=True).shutdown(kill_workers=True)
            return
        with warnings.catch_warnings():
            # It would be said that their imports have not ended.
            warnings.simplefilter("ignore")
            self._workers.close()


def _compiled_before() -> bool:
    """Whether a period of the market has been compiled by this installation."""
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(files("repricer.envs.kernels") / "__pycache__")
    return any(Path(cache).rglob("period.run_period*.nbc"))


def _started_workers() -> Generator[Any]:
    """Let the processes in which `fit` works import what it needs: some five seconds of each."""
    # On few cores not all at once: this process imports as much.
    waits = [i // max(joblib.cpu_count() - 1, 1) * _IMPORT_SECONDS for i in range(JOBS)]
    work: Any = Parallel(n_jobs=JOBS, return_as="generator")
    return work(delayed(_import_fit)(wait) for wait in waits)


def _import_fit(wait: float) -> None:
    """Without a result: the process that asked would import it too."""
    time.sleep(wait)
    importlib.import_module("repricer.fitting")


def compile_market() -> None:
    """Run one short training and one short comparison, which compiles what they use."""
    from ..agents import train
    from ..evaluation import evaluate

    spec = _market()
    evaluate(spec, ["regular", "myopic"], episodes=_EPISODES)
    run = train(spec, steps=_STEPS)
    evaluate(spec, [run.policy], episodes=_EPISODES)


def compile_learner() -> None:
    """Compile what needs no period of the market: the update of the network, and observations."""
    import torch
    from gymnasium.envs.classic_control import PendulumEnv
    from stable_baselines3.common.vec_env import DummyVecEnv

    from ..agents.ppo.fused import FusedPPO
    from ..envs import Market

    # The update is the same for all environments.
    settings = {"n_steps": 8, "batch_size": 8, "policy_kwargs": {"activation_fn": torch.nn.ReLU}}
    FusedPPO("MlpPolicy", DummyVecEnv([PendulumEnv]), device="cpu", **settings).learn(8)
    Market(_market()).features()


PARTS = {"market": compile_market, "learner": compile_learner}


def _market() -> MarketSpec:
    """A market with many features, small, as the search for the best fixed prices runs too."""
    from ..scenarios.sampler import sample_catalogue

    return sample_catalogue(4, seed=0, parts="all", periods=4)


if __name__ == "__main__":
    PARTS[sys.argv[1]]()
