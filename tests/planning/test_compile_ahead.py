import os
import signal
import subprocess
import sys
import threading

import pytest
from repricer.agents import train
from repricer.agents.ppo.update import update
from repricer.envs.kernels.choice import choose
from repricer.envs.kernels.learner import observe
from repricer.envs.kernels.period import run_period
from repricer.envs.kernels.sales import expected_money
from repricer.evaluation import evaluate
from repricer.planning import compile_ahead as ahead
from repricer.scenarios.sampler import sample_catalogue


@pytest.fixture
def started(monkeypatch):
    """Commands and processes that were started in the background, which sleep instead of compiling."""
    found = []
    popen = subprocess.Popen

    def start(command, **options):
        process = popen([sys.executable, "-c", "import time; time.sleep(0.3)"], **options)
        found.append((command, process))
        return process

    monkeypatch.setattr(ahead.subprocess, "Popen", start)
    return found


def test_nothing_is_started_where_compiled_code_is_there(started, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "kernels_1").mkdir()
    (tmp_path / "kernels_1" / "period.run_period-146.py311.1.nbc").touch()
    with ahead.CompileAhead() as compiler:
        compiler.wait()
    assert started == []


def test_work_waits_for_the_compiler(started, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with ahead.CompileAhead() as compiler:
        compiler.wait()
        assert [process.returncode for _, process in started] == [0, 0]
    program = [sys.executable, "-P", "-m", "repricer.planning.compile_ahead"]
    assert [command for command, _ in started] == [[*program, part] for part in ahead.PARTS]


def test_the_compiler_ends_with_the_work(started, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError), ahead.CompileAhead():
        raise RuntimeError
    assert [process.returncode for _, process in started] == [-signal.SIGTERM] * 2


def test_what_a_demo_needs_is_compiled():
    """The calls that the background processes make; a renamed one would go unseen, since its errors are."""
    compiled = (update, observe, choose, run_period, expected_money)
    ahead.compile_learner()
    ahead.compile_market()
    signatures = [function.signatures for function in compiled]
    assert all(signatures)
    spec = sample_catalogue(4, seed=1, parts="all", periods=4)
    run = train(spec, steps=2_048)
    evaluate(spec, ["regular", "myopic", run.policy], episodes=2)
    assert [function.signatures for function in compiled] == signatures


def test_a_command_that_fails_ends_the_processes_of_the_fit_without_a_word(tmp_path):
    """They start with the command where compiled code is there, and the machine has cores for them."""
    (tmp_path / "period.run_period-146.py311.1.nbc").touch()
    cores = {"LOKY_MAX_CPU_COUNT": "2", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "repricer", "fit", "nowhere", "--out", "market"]
    done = subprocess.run(command, env=os.environ | cores, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "repricer: an imported data set must hold sales.parquet; got nowhere; make one with `repricer data import`"
    ]


@pytest.mark.parametrize(("name", "said"), [("ExecutorManagerThread", False), ("another", True)])
def test_of_threads_only_those_that_manage_processes_end_without_a_word(name, said, monkeypatch, capsys):
    def fail():
        raise RuntimeError("it broke")

    monkeypatch.setattr(threading, "excepthook", ahead._without_managers)
    thread = threading.Thread(target=fail, name=name)
    thread.start()
    thread.join()
    assert ("it broke" in capsys.readouterr().err) == said
