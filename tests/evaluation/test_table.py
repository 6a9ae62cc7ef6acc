"""A comparison prints as a table and turns into a data frame."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from repricer.cli._options import comparison_table
from repricer.evaluation import evaluate
from repricer.evaluation.comparison import as_text, caption, columns, interval, title
from rich.console import Console


@pytest.fixture(scope="module")
def comparison():
    return evaluate("seen-segments", ["optimum", "fixed:9"], episodes=60)


@pytest.fixture(scope="module")
def document(comparison):
    return comparison.to_dict()


def test_it_prints_one_line_per_policy_below_the_headings(comparison, document):
    text = str(comparison)
    assert repr(comparison) == text == as_text(document, "currency")
    lines = text.splitlines()
    assert lines[0] == "seen-segments: 60 test episodes, currency per episode"
    assert lines[-1] == "Objective: revenue. Brackets: 95% intervals; differences are paired by episode."
    head, rows = lines[2], lines[4:-2]
    names = [row.policy + " (constant)" * row.constant for row in comparison.rows]
    assert [line.split("  ")[0] for line in rows] == names
    assert len({len(line) for line in (head, *rows)}) == 1
    row = comparison.row("fixed:9")
    (line,) = (line for line in rows if line.startswith("fixed:9 (constant)"))
    assert f"{row.objective.mean:,.2f} [{row.objective.low:,.2f}, {row.objective.high:,.2f}]" in line
    assert f"{row.share_of_optimum:.2%}" in line


def test_the_terminal_shows_the_same_cells(document):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_table(document, "currency"))
    shown = console.export_text()
    for heading, cell in columns(document).items():
        assert heading in shown
        for row in document["policies"]:
            assert cell(row) in shown
    assert title(document, "currency") in shown
    assert caption(document) in shown


def test_a_limit_has_a_column_and_its_absence_none(document):
    assert "share of optimum" in columns(document)
    bounded = document | {"optimum": None, "bound": {"value": 1.0, "method": "fluid bound"}}
    assert "share of bound" in columns(bounded)
    assert len(columns(document | {"optimum": None, "bound": None})) == len(columns(document)) - 1


def test_a_single_episode_has_no_interval():
    assert interval({"mean": 1234.5, "ci95": [None, None]}) == "1,234.50"
    assert interval({"mean": 2.0, "ci95": [-1.0, 5.0]}, sign="+") == "+2.00 [-1.00, +5.00]"


def test_the_frame_has_one_row_per_policy_and_every_figure(comparison):
    frame = comparison.to_frame()
    assert frame.index.name == "policy"
    assert frame.index.tolist() == [row.policy for row in comparison.rows]
    for row in comparison.rows:
        found = frame.loc[row.policy]
        assert found["objective"] == row.objective.mean
        assert (found["vs_best_fixed_low"], found["vs_best_fixed_high"]) == (
            row.vs_best_fixed.low,
            row.vs_best_fixed.high,
        )
        assert found["constant"] == row.constant
        assert found["method"] == row.method
        for segment, price in row.price_paid.items():
            assert found[f"price_paid[{segment}]"] == pytest.approx(price, nan_ok=True)
    assert frame["revenue"].dtype == np.float64
    assert not any(isinstance(value, dict | list) for value in frame.to_numpy().ravel())


def test_a_share_that_does_not_exist_is_not_a_number(shop):
    frame = evaluate(shop, ["regular"], episodes=5).to_frame()
    assert all(math.isnan(share) for share in frame["share_of_optimum"])
    assert pd.api.types.is_float_dtype(frame["share_of_optimum"])
