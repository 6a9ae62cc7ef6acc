"""What is compiled ahead is all that another market needs, and nothing is compiled where it is there already."""

import subprocess

from repricer.envs import compile_ahead as ahead
from repricer.envs.kernels.period import run_period


def started(monkeypatch) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    ahead.compile_ahead()
    return commands


def test_nothing_is_started_where_the_machine_code_is_there(monkeypatch):
    ahead.step_once()
    assert run_period._cache.holds_any()
    assert started(monkeypatch) == []


def test_a_process_compiles_what_is_missing(monkeypatch):
    monkeypatch.setattr(run_period._cache, "holds_any", lambda: False)
    (command,) = started(monkeypatch)
    assert command[-2:] == ["-m", "repricer.envs.compile_ahead"]
