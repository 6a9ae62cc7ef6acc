from __future__ import annotations

import base64

import numpy as np
import pytest
from repricer.evaluation.report.plots import fidelity_plot, interval_plot, learning_plot


def test_dots_outside_the_axis_become_arrows_with_their_figure():
    plot = interval_plot(
        ["a", "b"], [2.0, -40.0], [1.0, -41.0], [3.0, -39.0], label="gain", strong=[True, False], room=1
    )
    assert "-40.0" in base64.b64decode(plot.source.partition(",")[2]).decode().replace("\u2212", "-")
    assert "b -40.00 (95% interval -41.00 to -39.00)" in plot.alt


def test_an_empty_plot_is_refused():
    with pytest.raises(AssertionError, match="empty plot"):
        interval_plot(["a"], [np.nan], [np.nan], [np.nan], label="gain", strong=[True])


def test_figures_on_a_wide_range_are_plain():
    products = [{"actual_units": 10.0**power, "simulated_units": 11.0**power} for power in range(1, 5)]
    picture = fidelity_plot(products)
    text = base64.b64decode(picture.source.partition(",")[2]).decode("utf-8")
    assert "mathdefault" not in text
    assert ">1k<" in text


def test_the_policy_that_was_kept_need_not_be_that_with_the_highest_mean():
    """By its worst draws, or as the best fixed prices, where nothing that was learned earns as much."""
    history = [
        {
            "steps": steps,
            "gain": gain,
            "gain_se": 0.5,
            "best_fixed": 50.0,
            "objective": 50.0 + gain,
            "worst_gain": worst,
        }
        for steps, gain, worst in ((0, -2.0, 9.0), (100, -1.0, 7.0))
    ]
    for best, said in (
        (history[0], "0 steps with -2.00"),
        (history[1] | {"steps": 0, "gain": 0.0}, "0 steps with +0.00"),
    ):
        assert f"the policy kept is that of {said}" in learning_plot(history, best, objective="revenue", unit="EUR").alt
