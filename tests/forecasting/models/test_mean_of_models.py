"""What the network starts from: past forecasts that knew no more than the weeks before them."""

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import PooledRegression, Sarimax
from repricer.forecasting.models.mean_of_models import MeanOfModels
from repricer.forecasting.models.weekly_design import WeeklyDesign

ORIGIN, STEP = 29, 3
PLANNED = ["product", "week", "price", "regular_price", "promotion"]


@pytest.fixture
def panel(simulate):
    """Promotions, a product that comes later, and traffic that tells nothing: its past mean is taken in logs."""
    rng = np.random.default_rng(3)
    panel = simulate(n_products=4, seed=2)
    late = (panel["product"] == "p03") & (panel["week"] < panel["week"].min() + pd.Timedelta(weeks=10))
    promotion = (rng.random(len(panel)) < 0.3).astype(float)
    return panel.assign(promotion=promotion, units=panel["units"].mask(late, 0.0), traffic=900.0)


def test_a_past_forecast_is_what_was_said_from_that_week(panel):
    combined = MeanOfModels().fit(panel)
    centre, _ = combined.past_forecasts(WeeklyDesign.of(combined._prepare(panel)))
    weeks = np.sort(panel["week"].unique())
    ahead = panel[panel["week"] == weeks[ORIGIN + STEP]][PLANNED]
    past = panel[panel["week"] <= weeks[ORIGIN]]
    own = Sarimax().fit(panel).predict(ahead, history=past, quantiles=[0.5])["q0.5"]
    pooled = PooledRegression().fit(past)
    expected = (np.log1p(own) + pooled.central(pooled.covariates_.of_future(pooled._check_future(ahead)))[0]) / 2
    np.testing.assert_allclose(centre[:, ORIGIN, STEP - 1], expected, rtol=1e-6)


def test_a_later_price_changes_no_past_forecast(panel):
    combined, last = MeanOfModels().fit(panel), panel["week"].max()
    dearer = panel.assign(price=panel["price"].where(panel["week"] < last, 2 * panel["regular_price"]))
    designs = [WeeklyDesign.of(combined._prepare(rows)) for rows in (panel, dearer)]
    before, after = (
        combined.updated(rows).past_forecasts(weekly)[0] for rows, weekly in zip((panel, dearer), designs, strict=True)
    )
    np.testing.assert_allclose(after[:, ORIGIN, STEP - 1], before[:, ORIGIN, STEP - 1], rtol=1e-9)


def test_a_product_without_a_model_of_its_own_has_the_pooled_forecast(panel):
    weeks = np.sort(panel["week"].unique())
    young = (panel["product"] == "p03") & (panel["week"] < weeks[33])
    short, future = panel.assign(units=panel["units"].mask(young, 0.0)), panel[panel["week"] == weeks[39]]
    past, planned = short[short["week"] < weeks[39]], future[PLANNED]
    combined, pooled = MeanOfModels().fit(past), PooledRegression().fit(past)
    rows = combined.covariates_.of_future(combined._check_future(planned))
    assert list(combined.sarimax_.failures_) == ["p03"]
    assert combined.central(rows)[0][3] == pytest.approx(pooled.central(rows)[0][3])
    assert combined.central(rows)[0][0] != pytest.approx(pooled.central(rows)[0][0])
