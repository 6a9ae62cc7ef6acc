"""The calibration test accepts the right distribution, rejects the wrong ones, and says which way they are wrong."""

import numpy as np
import pytest
from repricer.evaluation.fit_quality import calibration
from scipy import stats

PRODUCTS, PERIODS, EPISODES = 120, 12, 400


def drawn(generator, size, spread=0.2, mean=8.0):
    """Gamma-mixed Poisson units, the same mean for all."""
    return generator.poisson(mean * generator.gamma(1 / spread, spread, size)).astype(float)


def test_the_right_distribution_is_rejected_as_often_as_stated():
    generator = np.random.default_rng(0)
    shape = (PERIODS, PRODUCTS)
    p = [calibration(drawn(generator, shape), drawn(generator, (100, *shape))).p_value for _ in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("spread", "heavier"), [(0.05, "ends"), (0.8, "middle")])
def test_a_wrong_spread_is_rejected_and_shows_where(spread, heavier):
    generator = np.random.default_rng(1)
    shape = (PERIODS, PRODUCTS)
    found = calibration(drawn(generator, shape), drawn(generator, (EPISODES, *shape), spread))
    ends, middle = found.pit[[0, -1]].mean(), found.pit[3:7].mean()
    assert found.p_value < 1e-4
    assert (ends > middle) == (heavier == "ends")
    assert found.pit.sum() == pytest.approx(1)


def test_coverage_is_that_of_the_intervals():
    generator = np.random.default_rng(2)
    shape = (PERIODS, PRODUCTS)
    found = calibration(drawn(generator, shape), drawn(generator, (EPISODES, *shape)))
    # Counts: an interval covers at least its level.
    assert 0.8 <= found.cover80 < 0.87
    assert 0.95 <= found.cover95 < 0.98


def test_too_few_products_have_no_p_value():
    generator = np.random.default_rng(3)
    found = calibration(drawn(generator, (12, 5)), drawn(generator, (100, 12, 5)))
    assert np.isnan(found.p_value)
