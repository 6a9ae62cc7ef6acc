"""Compiled functions are kept on disk for as long as nothing changes that they are made from."""

import importlib.util

import pytest
from repricer.envs.jit import compiling

_SOURCE = """
from repricer.envs.jit.compiling import compiled

@compiled
def inner(x):
    return x + 1

@compiled
def twice(x):
    return 2 * inner(x)
"""


@pytest.fixture
def load(tmp_path):
    """Import a file of compiled functions anew, as a new process does."""
    path = tmp_path / "functions.py"
    path.write_text(_SOURCE, encoding="utf-8")

    def imported():
        found = importlib.util.spec_from_file_location("functions", path)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module.twice

    return imported


def kept(function):
    """Whether a call finds the compiled code on disk."""
    assert function(3) == 8
    return sum(function.stats.cache_hits.values()) == 1


def test_a_new_process_compiles_nothing_and_a_change_elsewhere_compiles_again(load, monkeypatch):
    assert not kept(load())
    assert kept(load())
    monkeypatch.setattr(compiling, "sources", lambda: "changed")
    assert not kept(load())
    assert kept(load())


def test_the_sources_are_the_formulas_and_the_kernels(tmp_path, monkeypatch):
    (tmp_path / "envs" / "kernels").mkdir(parents=True)
    file = tmp_path / "envs" / "kernels" / "a.py"
    monkeypatch.setattr(compiling, "_PACKAGE", tmp_path)
    seen = set()
    for text in ("x = 1", "x = 2"):
        file.write_text(text, encoding="utf-8")
        seen.add(compiling.sources.__wrapped__())
    assert len(seen) == 2
