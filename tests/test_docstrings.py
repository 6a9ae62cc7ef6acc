"""Every public class and function has an example, and every example of a docstring prints what it shows."""

import doctest
import importlib
import inspect
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]


def folder(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def with_text(text: str, files: str = "*.py") -> list[str]:
    """Names of the modules whose source holds a text."""
    return [
        package if path.stem == "__init__" else f"{package}.{path.stem}"
        for package in PACKAGES
        for path in sorted(folder(package).glob(files))
        if text in path.read_text(encoding="utf-8")
    ]


# Those of `serving` and `client` need a bundle beside them: tests/serving/test_examples.py runs them.
MODULES = [module for module in with_text(">>> ") if not module.startswith(("repricer.serving.", "repricer.client."))]
ROOMS = with_text("__all__ = [", "__init__.py")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_class_and_function_has_an_example(room):
    module = importlib.import_module(room)
    members = {name: getattr(module, name) for name in module.__all__}
    # A constant's docstring is not kept; a type alias has none.
    documented = {name: item for name, item in members.items() if inspect.isclass(item) or inspect.isroutine(item)}
    assert documented
    missing = [name for name, item in documented.items() if ">>> " not in (item.__doc__ or "")]
    assert not missing, f"{room}: write an `Example:` for {', '.join(missing)}"


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_print_what_they_show(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
    if result.attempted == 0:
        pytest.skip("its examples need more than a test has, and are marked so")
