"""A study in PostgreSQL, with three workers, of which one is killed in the middle of a trial."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from repricer.agents.tuning.study import died, ended

from .checks import Skip, check
from .kills import postgres, postgres_programs

_TRIALS, _WORKERS = 12, 3


@functools.cache
def _study() -> list[FrozenTrial]:
    """All trials of the study, in the order of their numbers."""
    if postgres_programs() is None:
        raise Skip("PostgreSQL is not installed")
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        workers = [_worker(url, Path(folder) / str(number)) for number in range(_WORKERS)]
        study = _killed_in_a_trial(url, workers[0])
        for worker in workers[1:]:
            if worker.wait():
                raise RuntimeError("a worker that was not killed failed")
        return study.get_trials()


def _worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "repricer.cli", "tune", "stationary-logit", "--trials", str(_TRIALS)]
    command += ["--steps", "30000", "--storage", url, "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def _killed_in_a_trial(url: str, worker: subprocess.Popen[bytes]) -> optuna.Study:
    """Kill a worker while its folder holds a run that has begun."""
    while True:
        time.sleep(0.5)
        if worker.poll() is not None:
            raise RuntimeError("the worker ended before it was killed")
        try:
            study = optuna.load_study(study_name="stationary-logit-ppo", storage=url)
        except KeyError:
            continue
        folder = Path(worker.args[-1])  # pyright: ignore[reportIndexIssue]
        if ended(study) and list(folder.glob("trials/*/0/run.json")):
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            return study


@check("scale", "trials of a shared study, those aside whose worker was killed", "==", _TRIALS)
def trials() -> float:
    states = Counter(trial.state for trial in _study() if not died(trial))
    return float(states[TrialState.COMPLETE] + states[TrialState.PRUNED] + states[TrialState.FAIL])


@check("scale", "trials of a shared study that are neither over nor tried again", "==", 0)
def unaccounted() -> float:
    again = {trial.system_attrs.get("failed_trial") for trial in _study()}
    return float(sum(not t.state.is_finished() or (died(t) and t.number not in again) for t in _study()))


@check("scale", "trials whose worker was killed", ">=", 1)
def lost() -> float:
    return float(sum(map(died, _study())))
