"""Modules and functions stay small enough to be read in one go."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
MODULES = [path for package in PACKAGES for path in ROOT.joinpath(*package.split(".")[1:]).glob("*.py")]
MODULES += (ROOT / "tests").rglob("*.py")


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    documented = ast.get_docstring(function) is not None
    start = function.body[0].end_lineno if documented else function.lineno - 1
    signature = function.body[0].lineno - function.lineno if documented else 0
    return signature + function.end_lineno - start


def test_functions_have_at_most_50_lines():
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of_code(node) > 50
    ]
    assert not long


def test_modules_have_at_most_700_lines():
    assert not [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 700]
