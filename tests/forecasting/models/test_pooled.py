"""The regression's own past forecasts."""

import numpy as np
import pandas as pd
from repricer.forecasting import PooledRegression, example_panel
from repricer.forecasting.models.weekly_design import WeeklyDesign

PANEL = example_panel(n_products=4, n_weeks=70)
WEEKS = np.sort(PANEL["week"].unique())


def prepared(model: PooledRegression, weeks: int) -> WeeklyDesign:
    return WeeklyDesign.of(model._prepare(PANEL[PANEL["week"] < WEEKS[weeks]]))


def test_past_forecasts_are_kept_when_weeks_are_added(monkeypatch):
    asked, estimate = [], PooledRegression._estimate

    def counting(self, weekly, weeks):
        asked.append(weeks)
        return estimate(self, weekly, weeks)

    earlier, anew = (PooledRegression().fit(PANEL[PANEL["week"] < WEEKS[60]]) for _ in range(2))
    later = prepared(earlier, 62)
    monkeypatch.setattr(PooledRegression, "_estimate", counting)
    found = earlier.past_forecasts(later)
    assert asked == list(range(49, 62))
    anew._past = None
    for kept, whole in zip(found, anew.past_forecasts(later), strict=True):
        np.testing.assert_array_equal(kept, whole)


def test_past_forecasts_of_another_history_are_made_anew():
    model = PooledRegression().fit(PANEL[PANEL["week"] < WEEKS[60]])
    kept = model.past_forecasts(prepared(model, 60))[0]
    changed = prepared(model, 60)
    changed.target[:, 20] += 1.0
    moved = model.past_forecasts(changed)[0]
    assert (moved[:, 25] != kept[:, 25]).all()
    np.testing.assert_array_equal(moved[:, :20], kept[:, :20])


def with_new_products() -> pd.DataFrame:
    """Eight products, three of which come in week 40 of 54."""
    panel = example_panel(n_products=8, n_weeks=54, seed=1)
    new = panel["product"].isin(["apple", "fig", "milk"])
    return panel[~new | (panel["week"] >= WEEKS[40])]


def test_weeks_before_the_first_sale_of_a_product_are_no_forecast_errors():
    model = PooledRegression().fit(with_new_products())
    assert model.mean_over_median_ < 1.03
    assert all(np.quantile(errors, 0.975) < 4 for errors in model.errors_.values())


def test_a_new_product_is_judged_at_the_traffic_of_the_shop():
    model = PooledRegression()
    weekly = WeeklyDesign.of(model.fit(panel := with_new_products())._prepare(panel))
    traffic = weekly.planned(41, 1)[:, weekly.carried[0]]
    recent = panel[panel["week"].between(WEEKS[38], WEEKS[41])].groupby("week")["traffic"].first()
    np.testing.assert_allclose(traffic, np.log(recent).mean())
