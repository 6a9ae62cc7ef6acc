"""Processes that need one function at the same time compile it once."""

import os
import subprocess
import sys

_PROGRAM = """
import sys, time
from numba.core.event import Listener, register
from repricer.envs.jit.compiling import compiled


class Count(Listener):
    compiled = 0

    def on_start(self, event):
        Count.compiled += 1
        time.sleep(1.0)  # the others are there before it is done

    def on_end(self, event):
        pass


register("numba:compile", Count())
from shared_function import total

total(3)
print(Count.compiled)
"""
_FUNCTION = """
from repricer.envs.jit.compiling import compiled


@compiled
def inner(x):
    return x + 1


@compiled
def total(x):
    return 2 * inner(x)
"""


def test_one_of_several_processes_compiles_a_function(tmp_path):
    (tmp_path / "shared_function.py").write_text(_FUNCTION)
    (tmp_path / "program.py").write_text(_PROGRAM)
    given = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(tmp_path / "program.py")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given) for _ in range(3)]
    counts = sorted(int(run.communicate(timeout=120)[0]) for run in runs)
    assert counts == [0, 0, 2], "one compiles both functions, the others load what it kept"
