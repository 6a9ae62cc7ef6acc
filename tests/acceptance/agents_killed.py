"""Agents that are killed in the middle of a run: the same command ends in the same weights."""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from repricer.agents.checkpoint import read_tensors
from repricer.agents.run import POLICY_FILE

from .checks import check
from .loop import REPRICER

TIMES = 10


def killed(algo: str, steps: int) -> None:
    @check("agents", f"{algo} killed at {TIMES} random moments, resumed to the same weights", "==", TIMES, "times")
    def measure() -> float:
        command = [*REPRICER, "train", "stationary-logit", "--algo", algo, "--steps", str(steps), "--json"]
        generator, same = random.Random(0), 0
        with tempfile.TemporaryDirectory() as folder:

            def weights(name: str) -> dict:
                subprocess.run([*command, "--out", f"{folder}/{name}"], check=True, capture_output=True)
                return read_tensors(Path(folder) / name / POLICY_FILE)[0]

            weights("warm")
            started = time.perf_counter()
            whole = weights("whole")
            seconds = time.perf_counter() - started
            for i in range(TIMES):
                process = subprocess.Popen(
                    [*command, "--out", f"{folder}/{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(generator.uniform(0.2, 0.95) * seconds)
                process.send_signal(signal.SIGKILL)
                process.wait()
                again = weights(str(i))
                same += all(bool((again[key] == value).all()) for key, value in whole.items())
        return float(same)


for _algo, _steps in (("ppo", 300_000), ("sac", 30_000)):
    killed(_algo, _steps)
