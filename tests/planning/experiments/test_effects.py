"""The effect of an experiment: recovery, coverage on all looks, CUPED's variance, power."""

import copy
import functools

import numpy as np
import pytest
from repricer.planning.experiments.designs import Design
from repricer.planning.experiments.effects import Analysis, Cells, calibrated, detectable

from .chain import draw_chain, felt

PAST, WEEKS = 182, 4


@functools.cache
def calibration(kind, seed, stores=16):
    """A chain, the design of an experiment, how it is read, and the random numbers from there on."""
    random, blocks, days = np.random.default_rng(seed), 1 if kind == "stores" else 2, 7 * WEEKS
    chain = draw_chain(random, stores, PAST + days, days)
    history = chain.sold(random)[:, :PAST]
    design = Design(kind, blocks, WEEKS // blocks, 5, np.nanmean(history, axis=1)[:, None])
    cells = Cells.of_groups(stores, np.ones(1))
    return chain, history, design, cells, calibrated(cells, history, design, random), random


def run(kind, effect, seed):
    """The path of an experiment and its interval."""
    chain, history, design, cells, (analysis, power), random = copy.deepcopy(calibration(kind, seed))
    z, read = cells.regressor(design, design.draw(random, 1))
    sold = chain.sold(random, np.pad(1 + effect * felt(z), ((0, 0), (PAST, 0)), constant_values=1.0))[:, PAST:]
    path = analysis.path(cells, history, sold, z, read)
    return analysis, power, path, analysis.interval(path)


@pytest.mark.parametrize("kind", ["stores", "switchback", "both"])
def test_recovers_an_effect_and_covers_it_on_all_looks(kind):
    errors, covered = [], []
    for seed in range(24):
        _, _, path, (low, high) = run(kind, -0.1, seed)
        errors.append(path.effect[-1] + 0.1)
        seen = np.isfinite(low)
        covered.append(((low <= -0.1) & (high >= -0.1))[seen].all())
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(24)
    assert np.mean(covered) >= 0.85


def test_the_shape_is_that_of_the_reference(monkeypatch):
    """confseq, test/uniform_boundaries_unittest.cpp: a normal mixture at the time that it is best for."""
    log = -2 * np.log(0.05)
    monkeypatch.setattr("repricer.planning.experiments.effects._RATIO", log + np.log1p(log))
    assert 10 * Analysis(1.0, 0.0, 0.0, 1, 100).shape()[-1] == pytest.approx(30.35209, abs=1e-5)


def test_nothing_is_read_before_the_washout_is_over():
    analysis, _, path, _ = run("both", 0.0, 1)
    assert analysis.first_look == 12
    assert np.isnan(path.effect[:11]).all()
    assert np.isfinite(path.effect[11:]).all()


def test_an_effect_of_the_stated_size_is_found_as_often_as_stated():
    found = [run("both", 0.0, seed) for seed in range(40)]
    needed = [
        np.nanmin(a.height * a.shape() * path.error - path.effect) / power.planning for a, power, path, _ in found
    ]
    assert 0.55 <= np.mean(np.array(needed) <= 1) <= 0.95


def test_sales_before_the_experiment_reduce_the_variance_as_cuped_does():
    """Deng et al. (2013): with one observation before and one after, the variance falls by 1 - correlation ** 2."""
    random, stores, rho = np.random.default_rng(3), 40, 0.8
    cells, design = Cells.of_groups(stores, np.ones(1)), Design("stores", 1, 1, 0, np.zeros((stores, 1)))
    plain, adjusted = [], []
    for _ in range(400):
        before = random.normal(0, 0.1, stores)
        after = rho * before + random.normal(0, 0.1 * np.sqrt(1 - rho**2), stores)
        past = 100 * (1 + np.stack([-before, before], axis=1))  # of mean 100
        z, read = cells.regressor(design, design.draw(random, 1))
        values = 100 * (1 + after)[:, None]
        for persistence, kept in ((rho, adjusted), (0.0, plain)):
            # Of a stationary process the day before says all.
            own = Analysis(1.0, 1.0 - 1e-12, persistence, 1, 1)
            kept.append(own.path(cells, past, values, z[..., :1], read[..., :1]).effect[0])
    assert np.var(adjusted) / np.var(plain) == pytest.approx(1 - rho**2, abs=0.06)


def test_products_of_one_store_are_compared_with_each_other():
    random, groups = np.random.default_rng(4), 12
    design = Design("switchback", 4, 1, 0, np.zeros((1, 1)))
    cells = Cells.of_groups(1, np.full(groups, np.log(1.1)))
    history = random.poisson(60.0, (groups, 182)).astype(float)
    analysis, _ = calibrated(cells, history, design, random)
    z, read = cells.regressor(design, design.draw(random, groups))
    path = analysis.path(cells, history, random.poisson(60.0 * np.exp(-2.0 * z)).astype(float), z, read)
    low, high = (ends[-1] for ends in analysis.interval(path))
    assert low < -2.0 < high
    assert high < 0


def test_a_short_past_is_refused():
    design = Design("both", 2, 2, 7, np.arange(6.0)[:, None])
    with pytest.raises(ValueError, match="an experiment of 28 days needs 56 days of sales before it; got 40"):
        calibrated(Cells.of_groups(6, np.ones(1)), np.ones((6, 40)), design, np.random.default_rng(0))


def test_the_detectable_effect_is_that_of_normal_errors():
    random = np.random.default_rng(5)
    effect = random.normal(0, 0.02, (20_000, 1))
    assert detectable(effect, np.full((20_000, 1), 0.02), np.array([1.96])) == pytest.approx(2.8 * 0.02, rel=0.01)


def test_one_group_in_one_store_has_nothing_to_be_compared_with():
    design = Design("switchback", 4, 1, 0, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="compared with each other; got 1 of them; vary more groups"):
        calibrated(Cells.of_groups(1, np.ones(1)), np.full((1, 182), 9.0), design, np.random.default_rng(0))
