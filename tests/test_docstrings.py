"""The examples in the docstrings run, and the public names have one."""

import ast
import doctest
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("data", "fitting", "pricing", "scenarios")
"""Packages in which every public class and function has an example."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["repricer", *(parts[:-1] if parts[-1] == "__init__" else parts)])


def modules_with_examples() -> list[str]:
    """Read, not imported: collecting the tests must stay quick."""
    apart = {"tests", "docs", "build", "dist", "demo", "runs"}
    paths = (path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in apart)
    return [name_of(path) for path in paths if ">>> " in path.read_text(encoding="utf-8")]


def public_names() -> list[tuple[str, str]]:
    found = []
    for room in ROOMS:
        tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
        (names,) = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        found += [(room, name) for name in ast.literal_eval(names)]
    return found


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize(("room", "name"), public_names())
def test_every_public_name_has_an_example(room, name):
    member = getattr(importlib.import_module(f"repricer.{room}"), name)
    if inspect.isclass(member) or inspect.isroutine(member):
        assert ">>> " in (inspect.getdoc(member) or ""), f"{name} has no example"
