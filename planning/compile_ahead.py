"""What can be done while a command reads tables: compile the market and the learner, or start the fit's processes.

The compiled code depends only on types, so that any market serves to compile it; Numba's cache on disk
passes it on. The processes are `python -m repricer.planning.compile_ahead PART`.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Generator
from importlib.resources import files
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from ..jobs.processes import JOBS

_IMPORT_SECONDS = 4.0
_MARKET = "bench-1"
# Niceness of all beside the compilation of the market, which takes longest: the command waits for it.
_POLITE = 5


class CompileAhead:
    """Background processes that compile the market and the learner; `wait` before using them.

    They only save time: if one fails, the code is compiled on first use. The processes in which
    `fit` works start too, and import its libraries.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers = None
        if not _compiled_before():
            quiet = subprocess.DEVNULL
            for part in PARTS:
                command = [sys.executable, "-P", "-m", __name__, part]
                self._processes.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))
        if JOBS > 1:
            self._workers = _started_workers(_POLITE if self._processes else 0)

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
        threading.excepthook = _without_managers
        with warnings.catch_warnings():
            # It would be said that their imports have not ended.
            warnings.simplefilter("ignore")
            self._workers.close()


def _without_managers(args: Any) -> None:
    """The usual report of an error in a thread, but of one that manages processes: those end under its hands."""
    if getattr(args.thread, "name", "") != "ExecutorManagerThread":
        threading.__excepthook__(args)


def _compiled_before() -> bool:
    """Whether a period of the market has been compiled by this installation."""
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(files("repricer.envs.kernels") / "__pycache__")
    return any(Path(cache).rglob("period.run_period*.nbc"))


def _started_workers(nice: int) -> Generator[Any]:
    """Let the processes in which `fit` works import what it needs: some five seconds of each."""
    # On few cores not all at once: this process imports as much.
    waits = [i // max(joblib.cpu_count() - 1, 1) * _IMPORT_SECONDS for i in range(JOBS)]
    work: Any = Parallel(n_jobs=JOBS, return_as="generator")
    return work(delayed(_import_fit)(wait, nice) for wait in waits)


def _import_fit(wait: float, nice: int) -> None:
    """Without a result: the process that asked would import it too."""
    os.nice(nice)
    time.sleep(wait)
    importlib.import_module("repricer.fitting")


def compile_market() -> None:
    """Compile a period of the market, which takes longer than all the rest, and its expected money."""
    from ..envs.kernels.learner import Decoding
    from ..envs.kernels.state import LIST_PRICE
    from ..envs.simulator import Dynamics
    from ..scenarios import load_scenario

    # Not a `Market`: it works out what its policies may know, with functions that the other process compiles.
    dynamics = Dynamics(load_scenario(_MARKET), 1, seed=0)
    state = dynamics.initial_state(np.zeros(1, np.int64), np.zeros(1, np.int64))
    _ = dynamics.step(state, state.lanes[None, LIST_PRICE], Decoding(0, 0, 0, 0))[1].expected_profit


def compile_learner() -> None:
    """Compile what needs no period of the market: the update of the network, observations, expected demand."""
    import torch
    from gymnasium.envs.classic_control import PendulumEnv
    from stable_baselines3.common.vec_env import DummyVecEnv

    from ..agents.ppo.fused import FusedPPO
    from ..envs import Market, expected_units
    from ..scenarios import load_scenario

    # The update is the same for all environments.
    settings = {"n_steps": 8, "batch_size": 8, "policy_kwargs": {"activation_fn": torch.nn.ReLU}}
    FusedPPO("MlpPolicy", DummyVecEnv([PendulumEnv]), device="cpu", **settings).learn(8)
    spec = load_scenario(_MARKET)
    Market(spec).features()
    expected_units(spec, 0, spec.products.regular_price)


PARTS = {"market": compile_market, "learner": compile_learner}


if __name__ == "__main__":
    if sys.argv[1] != "market":
        os.nice(_POLITE)
    PARTS[sys.argv[1]]()
