from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import LogLogRegression, MovingAverage, Selected, forecasts_from, score, with_stores

OWN, INDEX, PROMOTION = -2.5, 0.8, 0.4
WEEKS, LAST = 60, 8


def drawn(link: float, noise: float) -> pd.DataFrame:
    """Eight stores whose prices differ; `link`: how much the shock of a week, which moves units, moves its prices."""
    rng = np.random.default_rng(3)
    shape, weights = (WEEKS, 8, 6), np.full(6, 1 / 6)
    shock = rng.normal(0, 0.3, (WEEKS, 1, 1))
    price = np.exp(0.6 + link * shock + rng.normal(0, 0.15, shape))
    promotion = (rng.random(shape) < 0.2).astype(float)
    log = np.log(price)
    rivals = ((log * weights).sum(axis=2, keepdims=True) - log * weights) / (1 - weights)
    units = np.exp(5 + shock + OWN * log + INDEX * rivals + PROMOTION * promotion + rng.normal(0, noise, shape))
    week, store, product = (axis.ravel() for axis in np.indices(shape))
    return pd.DataFrame(
        {
            "store": [f"s{number}" for number in store],
            "product": [f"p{number}" for number in product],
            "week": pd.Timestamp("2023-01-02") + pd.to_timedelta(7 * week, unit="D"),
            "units": units.ravel(),
            "price": price.ravel(),
            "promotion": promotion.ravel(),
        }
    )


@pytest.fixture(scope="module")
def stores() -> pd.DataFrame:
    return drawn(link=0.5, noise=0.1)


@pytest.fixture(scope="module")
def panel(stores) -> pd.DataFrame:
    return first_of(stores)


def first_of(stores: pd.DataFrame) -> pd.DataFrame:
    """The first store alone."""
    own = stores[stores["store"] == "s0"].drop(columns="store")
    return own.assign(category="c", regular_price=own["price"].max(), traffic=1.0).sort_values(["product", "week"])


def test_recovers_the_coefficients_from_the_differences_between_stores(stores, panel):
    found = LogLogRegression(stores=stores).fit(panel).coefficients_.mean()
    assert found["price"] == pytest.approx(OWN, abs=0.1)
    assert found["index"] == pytest.approx(INDEX, abs=0.3)
    assert found["promotion"] == pytest.approx(PROMOTION, abs=0.05)


def test_week_effects_keep_shocks_that_move_prices_out_of_the_elasticity(panel):
    # Without week effects the shock in prices and units would make the elasticity weaker by about 1.
    assert LogLogRegression().fit(panel).coefficients_["price"].mean() == pytest.approx(OWN, abs=0.4)


def test_sold_out_weeks_say_nothing_of_the_answer_to_prices(panel):
    out = panel["price"] < panel["price"].quantile(0.2)
    short = panel.assign(units=panel["units"].mask(out, 1.0), stockout=out)
    assert LogLogRegression().fit(short).coefficients_["price"].mean() == pytest.approx(OWN, abs=0.4)


def test_other_stores_make_the_forecast_better():
    stores = drawn(link=0.0, noise=0.5)
    panel = first_of(stores)
    origin = panel["week"].unique()[-LAST - 1]
    past = panel[panel["week"] <= origin]
    errors = {
        name: score(forecasts_from(model.fit(past), panel, origin=origin, horizon=LAST))["wape"]
        for name, model in {
            "average": MovingAverage(),
            "alone": LogLogRegression(),
            "stores": LogLogRegression(stores=stores),
        }.items()
    }
    assert errors["stores"] < errors["alone"] < errors["average"]


def test_reads_nothing_of_later_weeks_in_other_stores(stores, panel):
    early = panel[panel["week"] < "2023-09-01"]
    changed = stores.assign(units=stores["units"].where(stores["week"] < "2023-09-01", 1.0))
    as_is, other = (LogLogRegression(stores=table).fit(early).coefficients_ for table in (stores, changed))
    pd.testing.assert_frame_equal(as_is, other)


def test_selected_gives_the_stores_to_its_candidate(stores):
    given = {"average": MovingAverage(), "log-log": LogLogRegression()}
    model = with_stores(Selected(given), stores)
    assert isinstance(model, Selected)
    assert model.forecasters is not None
    assert model.forecasters["log-log"].stores is stores  # pyright: ignore[reportAttributeAccessIssue]
    assert given["log-log"].stores is None
    assert "log-log-regression" in Selected()._candidates()
