"""The examples of docs/data.md, run as a reader would."""

from __future__ import annotations

import doctest
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from repricer.cli.data import command
from repricer.data import TableMapping, load_mapping

GUIDE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def example_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```csv\n(.*?)```", GUIDE, flags=re.DOTALL)
    for name, text in zip(["sales", "products", "customers", "export"], blocks, strict=True):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    (mapping,) = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.DOTALL)
    (tmp_path / "mapping.toml").write_text(mapping, encoding="utf-8")


def test_python_examples():
    test = doctest.DocTestParser().get_doctest(GUIDE, {}, "data.md", "data.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_commands():
    lines = re.findall(r"^\$ repricer data (.*)$", GUIDE, flags=re.MULTILINE)
    assert lines
    codes = {line.split()[0]: CliRunner().invoke(command, line.split()).exit_code for line in lines}
    assert codes == {"check": 2, "import": 0, "summary": 0, "mapping": 0}


def test_the_guessed_mapping_names_what_the_worked_example_maps(tmp_path):
    """All of it but the meaning of the discount, which no header tells."""
    CliRunner().invoke(command, ["mapping", "--sales", "export.csv", "--out", "guess.toml"])
    guess, worked = (load_mapping(tmp_path / name)["sales"] for name in ("guess.toml", "mapping.toml"))
    assert guess.columns == {column: own for column, own in worked.columns.items() if column != "regular_price"}
    assert guess.convert == {"price_paid": ("line-total",)}
    layout = ("encoding", "separator", "decimal", "thousands", "date_format")
    assert [getattr(guess, name) for name in layout] == [getattr(worked, name) for name in layout]


def test_every_key_of_a_mapping_is_documented():
    documented = re.findall(
        r"^\| `(\w+)` \| .* \| .* \|$", GUIDE.split("## Mapping")[1].split("## Tables")[0], re.MULTILINE
    )
    assert sorted(documented) == sorted(item.name for item in fields(TableMapping))
