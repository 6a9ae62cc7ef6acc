"""The examples in the docstrings run, and every public class and function has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import shutil
from pathlib import Path
from typing import Any

import pytest
from repricer import client, serving
from repricer.serving.bundle.files import own_key_paths

MODULES = [
    module.name
    for room in (serving, client)
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    if ">>> " in Path(importlib.util.find_spec(module.name).origin).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, one_path: Path, one_run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """In a folder with a bundle and its key; `run` is a training run."""
    shutil.copytree(one_path, tmp_path / "bundle")
    for key, name in zip(own_key_paths(one_path), ("bundle.key.pem", "bundle.pub.pem"), strict=True):
        shutil.copy(key, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS
    found = doctest.testmod(importlib.import_module(module), extraglobs={"run": one_run}, optionflags=flags)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", serving.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(serving, name).__doc__ or "")
