from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from repricer.forecasting.shrinkage import shrink
from statsmodels.stats.meta_analysis import combine_effects

RAW = pd.Series([-3.0, -2.0, -1.0, 0.5, -2.5, -4.0])
SE = pd.Series([0.3, 0.5, 0.4, 0.8, 0.2, 0.6])
ONE = pd.Series("all", index=RAW.index)


def test_exact_estimates_stay():
    shrunk = shrink(RAW, SE * 0, pd.Series(list("aabbcc")))
    np.testing.assert_allclose(shrunk.mean, RAW, atol=1e-9)
    np.testing.assert_allclose(shrunk.se, 0, atol=1e-8)


def test_estimates_without_spread_become_the_pooled_mean():
    close = pd.Series([-2.0, -2.1, -1.9])
    se = pd.Series([0.5, 1.0, 0.4])
    shrunk = shrink(close, se, pd.Series(["all"] * 3))
    assert shrunk.within_variance == 0
    np.testing.assert_allclose(shrunk.mean, np.average(close, weights=se**-2))
    np.testing.assert_allclose(shrunk.se, (se**-2).sum() ** -0.5)


def test_variance_and_mean_agree_with_statsmodels():
    other = combine_effects(RAW.to_numpy(), SE.to_numpy() ** 2, method_re="chi2")
    shrunk = shrink(RAW, SE, ONE)
    assert shrunk.within_variance == pytest.approx(other.tau2)
    trust = other.tau2 / (other.tau2 + SE**2)
    np.testing.assert_allclose(shrunk.mean, trust * RAW + (1 - trust) * other.mean_effect_re)


def test_missing_estimate_is_its_groups_mean_and_less_certain():
    groups = pd.Series(list("aaabbb"))
    raw = RAW.where(RAW.index != 1)
    shrunk = shrink(raw, SE, groups)
    without = shrink(RAW.drop(1), SE.drop(1), groups.drop(1))
    pd.testing.assert_series_equal(shrunk.mean.drop(1), without.mean)
    assert without.mean[[0, 2]].min() < shrunk.mean[1] < without.mean[[0, 2]].max()
    assert shrunk.se[1] > shrunk.se[[0, 2]].max()


def test_a_group_without_estimates_gets_the_mean_of_all():
    groups = pd.Series(list("aabbcc"))
    raw = RAW.where(groups != "c")
    shrunk = shrink(raw, SE, groups)
    means = shrunk.mean.groupby(groups).mean()
    assert means.loc[["a", "b"]].min() < means["c"] < means.loc[["a", "b"]].max()


def test_nothing_known():
    assert shrink(RAW * np.nan, SE, ONE).mean.isna().all()


def test_recovers_variances_and_beats_raw_and_pooled():
    rng = np.random.default_rng(1)
    groups = pd.Series(np.repeat(np.arange(100), 10))
    truth = -2 + rng.normal(0, 0.8, 100)[groups] + rng.normal(0, 0.5, 1000)
    se = pd.Series(rng.uniform(0.3, 1.2, 1000))
    raw = pd.Series(truth + rng.normal(0, se))
    shrunk = shrink(raw, se, groups)
    assert shrunk.within_variance == pytest.approx(0.25, rel=0.3)
    assert shrunk.between_variance == pytest.approx(0.64, rel=0.4)
    error = {"shrunk": shrunk.mean - truth, "raw": raw - truth, "group": raw.groupby(groups).transform("mean") - truth}
    rms = {name: np.sqrt((value**2).mean()) for name, value in error.items()}
    assert rms["shrunk"] < 0.9 * min(rms["raw"], rms["group"])
    assert np.mean(np.abs(error["shrunk"]) < 1.96 * shrunk.se) == pytest.approx(0.95, abs=0.03)
