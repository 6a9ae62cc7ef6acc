from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting.price_response import shrink
from statsmodels.stats.meta_analysis import combine_effects

RAW = pd.Series([-3.0, -2.0, -1.0, 0.5, -2.5, -4.0])
SE = pd.Series([0.3, 0.5, 0.4, 0.8, 0.2, 0.6])
ONE = pd.Series("all", index=RAW.index)


def test_exact_estimates_stay():
    mean, error = shrink(RAW, SE * 0, pd.Series(list("aabbcc")))
    np.testing.assert_allclose(mean, RAW, atol=1e-9)
    np.testing.assert_allclose(error, 0, atol=1e-8)


def test_estimates_without_spread_become_the_pooled_mean():
    close = pd.Series([-2.0, -2.1, -1.9])
    se = pd.Series([0.5, 1.0, 0.4])
    mean, error = shrink(close, se, pd.Series(["all"] * 3))
    np.testing.assert_allclose(mean, np.average(close, weights=se**-2))
    np.testing.assert_allclose(error, (se**-2).sum() ** -0.5)


def test_variance_and_mean_agree_with_statsmodels():
    other = combine_effects(RAW.to_numpy(), SE.to_numpy() ** 2, method_re="chi2")
    trust = other.tau2 / (other.tau2 + SE**2)
    np.testing.assert_allclose(shrink(RAW, SE, ONE)[0], trust * RAW + (1 - trust) * other.mean_effect_re)


def test_missing_estimate_is_its_groups_mean_and_less_certain():
    groups = pd.Series(list("aaabbb"))
    raw = RAW.where(RAW.index != 1)
    mean, error = shrink(raw, SE, groups)
    without, _ = shrink(RAW.drop(1), SE.drop(1), groups.drop(1))
    pd.testing.assert_series_equal(mean.drop(1), without)
    assert without[[0, 2]].min() < mean[1] < without[[0, 2]].max()
    assert error[1] > error[[0, 2]].max()


def test_nothing_known():
    assert shrink(RAW * np.nan, SE, ONE)[0].isna().all()


def test_beats_raw_and_pooled():
    rng = np.random.default_rng(1)
    groups = pd.Series(np.repeat(np.arange(100), 10))
    truth = -2 + rng.normal(0, 0.8, 100)[groups] + rng.normal(0, 0.5, 1000)
    se = pd.Series(rng.uniform(0.3, 1.2, 1000))
    raw = pd.Series(truth + rng.normal(0, se))
    mean, spread = shrink(raw, se, groups)
    error = {"shrunk": mean - truth, "raw": raw - truth, "group": raw.groupby(groups).transform("mean") - truth}
    rms = {name: np.sqrt((value**2).mean()) for name, value in error.items()}
    assert rms["shrunk"] < 0.9 * min(rms["raw"], rms["group"])
    assert np.mean(np.abs(error["shrunk"]) < 1.96 * spread) == pytest.approx(0.95, abs=0.03)
