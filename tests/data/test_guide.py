"""The examples of docs/data.md, run as a reader would."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli.data import command

GUIDE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def example_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```csv\n(.*?)```", GUIDE, flags=re.DOTALL)
    for name, text in zip(["sales", "products", "customers"], blocks, strict=True):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")


def test_python_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "data.md", "data.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_commands():
    lines = re.findall(r"^\$ repricer data (.*)$", GUIDE, flags=re.MULTILINE)
    assert lines
    codes = {line.split()[0]: CliRunner().invoke(command, line.split()).exit_code for line in lines}
    assert codes == {"check": 2, "import": 0, "summary": 0}
