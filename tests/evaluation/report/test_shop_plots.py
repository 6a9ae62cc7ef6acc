"""Pictures of the shop, and those that showed nothing."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from repricer.evaluation import named_policy, surrogate_tree
from repricer.evaluation.report import ReportData, write_report
from repricer.evaluation.report.page import demand_plots, map_plots, stress_sentences
from repricer.evaluation.report.plots import bridge_plot, learning_plot, planned_plot, sales_plot
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario

DAYS = [str(np.datetime64("2024-01-01") + 7 * week) for week in range(6)]


def test_sales_and_the_forecast_of_the_held_out_weeks():
    drawn = sales_plot({"weeks": DAYS, "units": [9, 9, 9, 9, 4, 6], "forecast_weeks": DAYS[4:], "forecast": [5, 7.0]})
    assert drawn.alt == "Units sold in 6 weeks or days; in the 2 held-out ones 10, forecast 12."


def test_planned_prices_beside_those_of_a_year_ago():
    prices = {"weeks": DAYS[3:], "recent_weeks": DAYS[:3], "planned": [2.9] * 3, "recent": [2.0, 2.2, 2.4]}
    assert "recent 2.20, planned 2.90, year_ago 2.10" in planned_plot(prices | {"year_ago": [2.1] * 3}, unit="EUR").alt
    assert "year_ago" not in planned_plot(prices | {"year_ago": [None] * 3}, unit="EUR").alt


def test_a_bridge_ends_where_its_steps_lead():
    drawn = bridge_plot([("now", 100.0), ("a", 30.0), ("b", -20.0), ("then", 110.0)], label="profit")
    assert drawn.alt == "profit: now +100; a +30; b -20; then +110."


def test_units_against_price_with_the_curve_at_the_level_of_the_dots(full):
    product = full.comparison.spec.products.names[1]
    charged = {"product": product, "price": [2.4, 2.7, 3.0, 3.3], "units": [90.0, 80.0, 70.0, 60.0]}
    ((name, drawn),) = demand_plots(full, {"charged": [charged, charged | {"product": "gone"}]})
    assert name == product
    assert f"{product}: units sold at 4 prices from 2.40 to 3.30" in drawn.alt
    high, low = (float(found) for found in re.findall(r"(\d+) (?:units )?at", drawn.alt)[-2:])
    assert high > 70 > low


def test_the_report_shows_sales_and_prices_by_week(bare, tmp_path):
    fit = {"sales_by_week": {"weeks": DAYS, "units": [9.0] * 6, "forecast_weeks": DAYS[4:], "forecast": [5, 7.0]}}
    text = write_report(tmp_path / "r.html", replace(bare, fit=fit)).read_text(encoding="utf-8")
    assert 'id="sales"' in text
    assert 'id="sales"' not in write_report(tmp_path / "r.html", bare).read_text(encoding="utf-8")


def test_a_learning_curve_of_equal_policies_is_flat():
    row = {"steps": 0, "gain": 1e-15, "gain_se": 0.0, "best_fixed": 50.0}
    labels = axis_labels(learning_plot([row, row | {"steps": 9, "gain": 0.0}], row, objective="profit", unit="%"))
    marks = [float(label.replace("\u2212", "-")) for label in labels if re.fullmatch(r"\u2212?[\d.]+", label)]
    assert 0.02 <= max(abs(mark) for mark in marks if mark < 1) <= 0.1


def axis_labels(drawn) -> list[str]:
    return re.findall(r">([^<>]+)</text>", base64.b64decode(drawn.source.partition(",")[2]).decode())


def test_the_leaves_of_the_rules_are_prices():
    spec = load_scenario("stationary-logit")
    tree = surrogate_tree(named_policy("fixed:9", spec), spec)
    assert "value" not in tree.text
    assert tree.text.strip().endswith(f"{9 / spec.products.regular_price[0]:.1%} of the regular price")


def test_a_map_of_one_colour_is_left_out(full):
    spec = full.comparison.spec
    fixed = FixedPrice(np.float32(spec.products.regular_price), name=full.learned)
    run = SimpleNamespace(policy=fixed)
    assert map_plots(full)[0]
    assert map_plots(ReportData(full.comparison, run, full.learned))[0] == []  # pyright: ignore[reportArgumentType]


def test_stress_tests_that_tell_nothing_apart_are_one_sentence(full, stress):
    level = replace(stress.rows[0].vs_fixed, mean=0.0, low=0.0, high=0.0)
    same = replace(full, stress=replace(stress, rows=[replace(row, vs_fixed=level) for row in stress.rows]))
    (said,) = stress_sentences(same)
    assert said.endswith("They are the best fixed prices, so that no stress tells the two apart.")
    assert len(stress_sentences(full)) == 2


@pytest.mark.parametrize("same", [True, False])
def test_the_stress_table_has_no_column_of_zeros(full, stress, tmp_path, same):
    gap = replace(stress.rows[0].vs_fixed, mean=0.0, low=0.0, high=0.0)
    rows = [replace(row, vs_fixed=gap) for row in stress.rows] if same else stress.rows
    data = replace(full, stress=replace(stress, rows=rows))
    text = write_report(tmp_path / "r.html", data).read_text(encoding="utf-8")
    assert ("Against fixed (USD)" in text) is not same
