"""Kinds of promotions as one covariate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting import LogLogRegression, Sarimax, example_panel
from repricer.forecasting.models.promotion_index import PromotionIndex

SPLIT = pd.Timestamp("2024-09-01")
KINDS = ["promotion: coupon", "promotion: feature"]


@pytest.fixture
def panel() -> pd.DataFrame:
    """Sales of which a feature makes twice as many, and a coupon hardly more."""
    rows, random = example_panel(elasticity=-2.0), np.random.default_rng(3)
    shown = random.random((2, len(rows))) < 0.25
    units = np.round(rows["units"] * np.exp(0.07 * shown[0] + 0.7 * shown[1]))
    coupon, feature = (cells.astype(float) for cells in shown)
    return rows.assign(units=units, promotion=np.maximum(coupon, feature)).assign(
        **dict(zip(KINDS, (coupon, feature), strict=True))
    )


def test_weights_are_those_of_what_each_kind_sold(panel):
    weights = PromotionIndex.of(panel).weights
    assert weights["feature"] == 1
    assert weights["coupon"] == pytest.approx(0.1, abs=0.1)


def test_rows_without_kinds_stay_as_they_are(panel):
    plain = panel.drop(columns=KINDS)
    assert PromotionIndex.of(plain) == PromotionIndex()
    assert PromotionIndex.of(panel).applied(plain) is plain
    assert PromotionIndex().applied(panel) is panel


@pytest.mark.parametrize("stores", [False, True])
def test_a_forecast_tells_the_kinds_apart(panel, stores):
    past, future = panel[panel["week"] < SPLIT], panel[panel["week"] >= SPLIT].drop(columns="units")
    model = LogLogRegression(stores=panel.assign(store="s") if stores else None).fit(past)
    none = future.assign(promotion=0.0).assign(**dict.fromkeys(KINDS, 0.0))
    lift = {
        kind: model.predict(none.assign(**{"promotion": 1.0, kind: 1.0}))["mean"].sum()
        / model.predict(none)["mean"].sum()
        for kind in KINDS
    }
    assert lift[KINDS[1]] == pytest.approx(2.0, rel=0.15)
    assert lift[KINDS[0]] == pytest.approx(1.07, rel=0.1)


def test_a_later_history_has_the_same_weights(panel):
    model = Sarimax().fit(panel[panel["week"] < SPLIT])
    assert model.updated(panel).promotion_index_ == model.promotion_index_
