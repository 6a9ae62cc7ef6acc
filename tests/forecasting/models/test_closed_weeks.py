"""Weeks in which the shop was closed: they tell nothing, wherever they lie."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import (
    Forecaster,
    Lstm,
    MovingAverage,
    PooledRegression,
    Sarimax,
    Selected,
    example_panel,
)
from repricer.forecasting.models.weekly_design import WeeklyDesign

pytestmark = pytest.mark.filterwarnings("error")

PANEL = example_panel(n_products=6, n_weeks=72)
WEEKS = np.sort(PANEL["week"].unique())


def closed(first: int, end: int) -> pd.DataFrame:
    """The panel of a shop that was closed from one week to before another."""
    silent = PANEL["week"].isin(WEEKS[first:end])
    return PANEL.assign(**{name: PANEL[name].mask(silent, 0.0) for name in ("units", "traffic")})


@pytest.mark.parametrize("forecaster", [PooledRegression(), Sarimax(), Lstm(steps=30, seeds=1)], ids=repr)
@pytest.mark.parametrize("end", [40, 65])
def test_a_long_closure_leaves_no_bias(forecaster: Forecaster, end: int) -> None:
    panel = closed(end - 25, end)
    past, future = panel[panel["week"] < WEEKS[66]], panel[panel["week"] >= WEEKS[66]]
    asked = future.drop(columns=["units", "traffic"])
    forecast = forecaster.fit(past).predict(asked)
    assert forecast["mean"].sum() == pytest.approx(future["units"].sum(), rel=0.08)
    # Nor are its intervals those of a traffic that falls to nothing.
    wide, usual = (
        table["q0.9"].sum() / table["q0.1"].sum()
        for table in (forecast, forecaster.fit(PANEL[PANEL["week"] < WEEKS[66]]).predict(asked))
    )
    assert wide < 1.3 * usual


def test_traffic_to_come_is_that_of_the_last_open_weeks() -> None:
    model = PooledRegression().fit(closed(20, 40))
    weekly = WeeklyDesign.of(model._prepare(closed(20, 40)))
    traffic = [weekly.planned(origin, 1)[0, weekly.carried[0]] for origin in (19, 30, 39)]
    assert traffic[0] == pytest.approx(np.log(1000), abs=0.1)
    assert traffic[1:] == [traffic[0]] * 2
    assert model.covariates_.traffic_sd < 0.1


@pytest.mark.parametrize("silent", [closed(60, 72), PANEL.assign(stockout=PANEL["week"] >= WEEKS[60])])
def test_networks_need_weeks_that_judge_them(silent: pd.DataFrame) -> None:
    model = Lstm(steps=2, seeds=1).fit(silent)
    assert bool(model.networks_) == ("stockout" not in silent)
    assert np.isfinite(model.shift_).all()


def test_candidates_are_judged_on_weeks_in_which_the_shop_was_open() -> None:
    model = Selected({"average": MovingAverage(), "pooled": PooledRegression()}, horizon=12).fit(closed(58, 72))
    assert model.scores_["wape"].between(0.0, 1.0).all()
    assert model.selection_["chosen"].str.startswith("pooled").all()
