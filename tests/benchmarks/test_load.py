import subprocess
import sys

import numpy as np
import pytest
from repricer.benchmarks import load
from repricer.benchmarks.load import _from_due_times, _read, besieged


def test_answers_are_read_by_when_they_were_asked_for() -> None:
    asked, taken = _read("2000000\t200\t1500\n1500000\t200\t250000\n", "")
    assert (asked.tolist(), taken.tolist()) == ([0.5, 0.0], [0.0015, 0.25])


@pytest.mark.parametrize("log", ["1\t200\t9\n2\t503\t9\n", "1\t-1\t9\n", ""])
def test_answers_must_all_be_200(log: str) -> None:
    with pytest.raises(RuntimeError, match="all answers must be 200; got"):
        _read(log, "could not connect")


def test_a_caller_that_waits_asks_late_and_that_counts() -> None:
    """Of a caller who asks every .1 s: an answer of .25 s keeps the next two requests waiting."""
    times = np.sort(_from_due_times(np.array([0.01, 0.25, 0.1]), 0.1))
    assert times == pytest.approx([0.01, 0.05, 0.1, 0.15, 0.25])


def test_a_siege_that_has_ended_is_no_siege(monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen

    def ended(*_: object, **_more: object) -> subprocess.Popen[str]:
        process = started([sys.executable, "-c", "raise SystemExit(3)"], text=True)
        process.wait()
        return process

    monkeypatch.setattr(load.subprocess, "Popen", ended)
    with pytest.raises(RuntimeError, match="ended with 3"), besieged("http://x", b"", connections=1, headers={}):
        pass
