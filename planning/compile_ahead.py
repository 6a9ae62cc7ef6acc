"""What can be done while a command reads tables: compile the market and the learner.

The compiled code depends only on types, so that any market serves to compile it; Numba's cache on disk
passes it on. The processes are `python -m repricer.planning.compile_ahead PART`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np

_MARKET = "bench-1"
# Niceness of all beside the compilation of the market, which takes longest: the command waits for it.
_POLITE = 5


class CompileAhead:
    """Background processes that compile the market and the learner; `wait` before using them.

    They only save time: if one fails, the code is compiled on first use.
    """

    def __init__(self) -> None:
        command, quiet = [sys.executable, "-P", "-m", __name__], subprocess.DEVNULL
        parts = () if _compiled_before() else PARTS
        self._processes = [
            subprocess.Popen([*command, part], stdin=quiet, stdout=quiet, stderr=quiet) for part in parts
        ]

    def wait(self) -> None:
        """Wait until the processes have ended."""
        for process in self._processes:
            process.wait()

    def __enter__(self) -> CompileAhead:
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        for process in self._processes:
            process.terminate()
        self.wait()


def _compiled_before() -> bool:
    """Whether a period of the market has been compiled by this installation."""
    cache = os.environ.get("NUMBA_CACHE_DIR") or str(files("repricer.envs.kernels") / "__pycache__")
    return any(Path(cache).rglob("period.run_period*.nbc"))


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
