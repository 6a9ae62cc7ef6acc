from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import (
    Forecaster,
    MovingAverage,
    PooledRegression,
    Sarimax,
    SeasonalNaive,
    Selected,
    backtest,
    select,
)
from repricer.forecasting.metrics import wape


class Recorder(Forecaster):
    """Forecasts 1 for everything and keeps what it was shown."""

    seen: ClassVar[list[tuple[pd.DataFrame, pd.DataFrame]]] = []
    updates: ClassVar[int] = 0

    def _fit(self, history):
        self.history_ = history

    def _update(self, history):
        Recorder.updates += 1
        self.history_ = history

    def _forecast(self, future, levels):
        Recorder.seen.append((self.history_, future))
        return np.ones(len(future)), np.ones((len(future), len(levels)))


@pytest.fixture
def weeks(panel):
    return panel["week"].unique()


@pytest.mark.parametrize("refit", [True, False])
def test_sees_the_past_and_the_prices_ahead_but_no_units(panel, weeks, refit):
    Recorder.seen, Recorder.updates = [], 0
    shown = panel.assign(promotion=0.5, stockout=False, competitor_price=1.0, signal_index=2.0, buyers=1.0)
    backtest({"recorder": Recorder()}, shown, origins=[weeks[25], weeks[20]], horizon=3, refit=refit)
    assert len(Recorder.seen) == 2
    assert Recorder.updates == (not refit)
    for (history, future), origin in zip(Recorder.seen, (20, 25), strict=True):
        assert history["week"].max() == weeks[origin]
        assert list(future["week"].unique()) == list(weeks[origin + 1 : origin + 4])
        hidden = {"units", "revenue", "traffic", "buyers", "stockout", "competitor_price", "signal_index"}
        assert not hidden & set(future)
        # The traffic ahead is the mean of the last four weeks.
        past = panel[panel["week"] <= weeks[origin]].groupby("week")["traffic"].first()
        assert future["log_traffic"].unique() == pytest.approx(np.log(past.tail(4).mean()))
        assert list(future["step"].unique()) == [1, 2, 3]


def test_pools_what_it_measures_by_step(panel, weeks):
    table = backtest({"one": Recorder()}, panel, origins=[weeks[20], weeks[25]], horizon=3)
    assert list(table["step"]) == [0, 1, 2, 3]
    second = panel[panel["week"].isin([weeks[22], weeks[27]])]
    assert table["wape"][2] == pytest.approx(wape(second["units"], 1.0))
    assert table["mase"][0] == pytest.approx(table["mase"][1:].mean())
    assert table["cover80"][0] == 0


def test_scale_is_that_of_the_history_alone(panel, weeks):
    origin = weeks[20]
    wild = panel.assign(units=panel["units"].where(panel["week"] <= origin, panel["units"] * 7))
    table = backtest({"one": Recorder()}, wild, origins=[origin], horizon=1)
    expected = []
    for _, series in wild.groupby("product"):
        past = series.loc[series["week"] <= origin, "units"]
        ahead = series.loc[series["week"] == weeks[21], "units"].item()
        expected.append(abs(ahead - 1) / past.diff().abs().mean())
    assert table["mase"][0] == pytest.approx(np.mean(expected))


def test_select_and_failures(panel, weeks):
    forecasters = {"naive": SeasonalNaive(), "flat": MovingAverage(), "sarimax": Sarimax()}
    table = backtest(forecasters, panel, origins=[weeks[24], weeks[29]], horizon=6)
    pooled = table[table["step"] == 0].set_index("forecaster")
    assert pooled["failures"].to_dict() == {"naive": 16, "flat": 0, "sarimax": 0}
    assert select(table) == "sarimax" == pooled["wape"].idxmin()
    assert pooled["wape"]["sarimax"] < 0.8 * pooled["wape"]["flat"]
    assert (table["seconds"] > 0).all()
    assert not hasattr(forecasters["sarimax"], "models_")


def test_a_product_that_is_new_after_the_origin_is_left_out(panel, weeks):
    later = panel[(panel["product"] != "p00") | (panel["week"] > weeks[25])]
    table = backtest({"flat": MovingAverage()}, later, origins=[weeks[25]], horizon=2)
    others = panel[panel["product"] != "p00"]
    expected = backtest({"flat": MovingAverage()}, others, origins=[weeks[25]], horizon=2)
    assert table["wape"][0] == expected["wape"][0]


def test_weeks_in_which_a_product_was_sold_out_are_not_judged(panel, weeks):
    out = np.random.default_rng(0).random(len(panel)) < 0.3
    short = panel.assign(stockout=out, units=panel["units"].where(~out, 0.0))
    table = backtest({"one": Recorder()}, short, origins=[weeks[20]], horizon=3)
    ahead = short[short["week"].isin(weeks[21:24])]
    assert table["wape"][0] == pytest.approx(wape(ahead["units"][~ahead["stockout"]], 1.0))
    # Intervals that hold demand need no stretching.
    assert Selected({"pooled": PooledRegression()}).fit(short).stretch_.max() < 1.5
    nothing = short.assign(stockout=True)
    table = backtest({"one": Recorder()}, nothing, origins=[weeks[20]], horizon=3)
    assert table["wape"][0] == pytest.approx(wape(ahead["units"], 1.0))


def test_the_scale_of_a_new_product_is_that_of_the_weeks_since_its_first_sale(panel, weeks):
    before = (panel["product"] == "p00") & (panel["week"] < weeks[15])
    empty = panel.assign(units=panel["units"].mask(before, 0.0), price=panel["price"].mask(before))
    with_rows, without = (
        backtest({"one": Recorder()}, rows, origins=[weeks[20]], horizon=3) for rows in (empty, empty[~before])
    )
    assert with_rows["mase"][0] == pytest.approx(without["mase"][0])


def test_mistakes(panel, weeks):
    flat = {"flat": MovingAverage()}
    with pytest.raises(ValueError, match="origins must be weeks of the panel from 2023-01-02 to 2023-09-04"):
        backtest(flat, panel, origins=[weeks[-2]], horizon=4)
    with pytest.raises(ValueError, match=r"horizon must lie in 1\.\.39 weeks; got 0"):
        backtest(flat, panel, origins=[weeks[20]], horizon=0)
    with pytest.raises(ValueError, match="got none; choose a week"):
        backtest(flat, panel, origins=[], horizon=4)
