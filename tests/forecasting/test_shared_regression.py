"""A regression over shops that share no rows: exact."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import PooledRegression, example_panel
from repricer.forecasting.models.random_coefficients import ITERATIONS, Common
from repricer.forecasting.models.weekly_design import all_names
from repricer.forecasting.shared_regression import fit_shared
from repricer.privacy.shared_sums import FederationError, Masks

NAMES = ("east", "north", "west")
PANELS = {name: example_panel(n_products=2 + n, n_weeks=14, seed=n) for n, name in enumerate(NAMES)}


def fitted(folder, panels=PANELS):
    """The result of each shop."""
    with ThreadPoolExecutor(len(panels)) as pool:
        parts = [
            pool.submit(fit_shared, panel, folder, bytes(32), name=name, shops=len(panels), wait=20.0)
            for name, panel in panels.items()
        ]
    return [part.result() for part in parts]


def test_the_fit_is_that_of_all_rows_in_one_place(tmp_path):
    found = fitted(tmp_path)
    shared = found[0].common
    assert [each.common.document() for each in found] == [shared.document()] * 3
    rows = [
        panel.assign(product=name + panel["product"], category=name + panel["category"])
        for name, panel in PANELS.items()
    ]
    whole = pd.concat(rows)
    pooled = PooledRegression().fit(whole)
    common = Common.first(names := shared.names)
    products = pooled.products(names, seasonal=False)
    for _ in range(ITERATIONS):
        common = common.updated(products.expect(common).sums(common))
    for key in ("mean", "between", "noise"):
        np.testing.assert_allclose(getattr(shared, key), getattr(common, key), rtol=1e-9, atol=1e-12)
    assert shared.mean_over_median == pytest.approx(pooled.mean_over_median_, abs=0.01)
    assert (found[0].shops, found[0].products) == (NAMES, 9)
    future = PANELS["east"].assign(week=lambda rows: rows["week"] + pd.Timedelta(weeks=14)).drop(columns="units")
    ours = PooledRegression(common=shared).fit(PANELS["east"]).predict(future)
    theirs = pooled.predict(future.assign(product="east" + future["product"], category="east" + future["category"]))
    np.testing.assert_allclose(ours["q0.5"], theirs["q0.5"], rtol=0.15)
    np.testing.assert_allclose(ours["mean"], theirs["mean"], rtol=0.02)


def test_nonsense_under_a_mask_is_noticed_without_a_name(tmp_path, monkeypatch):
    plain = Masks.masked

    def poisoned(self, values, number, keys):
        return plain(self, values + (1e9 / 7 if self.name == "north" else 0.0), number, keys)

    monkeypatch.setattr(Masks, "masked", poisoned)
    with pytest.raises(FederationError, match="a shop wrote nonsense under its mask, which hides whose it was"):
        fitted(tmp_path)


def test_shops_of_other_periods_are_refused(tmp_path):
    weeks = PANELS["east"]
    days = weeks.assign(week=weeks["week"].min() + (weeks["week"] - weeks["week"].min()) / 7)
    with pytest.raises(FederationError, match=r"all shops must sum the same: a regression on periods of . days"):
        fitted(tmp_path, PANELS | {"east": days})


def test_shared_coefficients_that_make_no_sense_are_refused():
    good = Common.first(("discount",)).document()
    assert Common.of(good).document() == good
    for wrong in ({"mean": [np.nan]}, {"between": [[-1.0]]}, {"mean": [0.0, 1.0]}, {"noise": None}, {"mean": None}):
        with pytest.raises(ValueError, match="shared coefficients must"):
            Common.of(good | wrong)


def test_shared_coefficients_of_another_period_are_refused():
    weeks = PANELS["east"]
    days = weeks.assign(week=weeks["week"].min() + (weeks["week"] - weeks["week"].min()) / 7)
    for panel, daily in ((weeks, True), (days, False)):
        with pytest.raises(ValueError, match="shared coefficients must be of the period, week or day"):
            PooledRegression(common=Common.first(all_names(daily=daily))).fit(panel)
        PooledRegression(common=Common.first(all_names(daily=not daily))).fit(panel)
