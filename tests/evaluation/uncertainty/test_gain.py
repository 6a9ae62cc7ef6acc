import numpy as np
import pytest
from repricer.evaluation.uncertainty import Gain
from repricer.evaluation.uncertainty.draws import cvar, quantiles, without_noise


def test_the_variance_split_is_unbiased():
    """Known variances: 4 between draws, 9 of the expected gain and 25 of the realised one within a draw."""
    generator, found = np.random.default_rng(0), []
    for _ in range(3000):
        true = 2 * generator.normal(size=(12, 1))
        expected = true + 3 * generator.normal(size=(12, 3))
        realised = true + 5 * generator.normal(size=(12, 3))
        gain = Gain.of(10 + expected, np.full((12, 3), 10.0), 10 + realised, np.full((12, 3), 10.0))
        found.append((gain.parameter_variance, gain.sampling_variance))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - [4, 25]) < 4 * error).all(), (mean, error)
    assert (error < [0.1, 0.2]).all()


def test_the_interval_of_the_expected_gain_leaves_sampling_noise_out():
    generator = np.random.default_rng(1)
    true = generator.normal(size=(4000, 1))
    noisy = true + 2 * generator.normal(size=(4000, 2))
    plain = np.quantile(noisy.mean(axis=1), [0.05, 0.95])
    draws, variance = without_noise(noisy)
    assert np.quantile(draws, [0.05, 0.95]) == pytest.approx([-1.645, 1.645], abs=0.12)
    assert plain[1] > 2.7
    assert variance == pytest.approx(1, abs=0.15)


def test_without_parameter_uncertainty_the_expected_gain_is_certain():
    generator = np.random.default_rng(2)
    same = np.tile(generator.normal(size=(1, 4)), (50, 1))
    draws, variance = without_noise(same)
    assert np.ptp(draws) == pytest.approx(0, abs=1e-12)
    assert variance <= 0


def test_shares_follow_the_draws_level():
    """A gain of 10% under every draw is certain as a share, however much the level varies."""
    base = np.array([[50.0], [100.0], [200.0]]) * np.ones((3, 2))
    gain = Gain.of(1.1 * base, base, 1.1 * base, base)
    assert gain.relative == {
        "mean": pytest.approx(0.1),
        "interval90": pytest.approx((0.1, 0.1)),
        "interval90_realised": pytest.approx((0.1, 0.1)),
    }
    assert gain.interval90[1] > 2 * gain.interval90[0]
    assert gain.parameter_share == 1


def test_a_policy_against_itself_gains_nothing():
    base = np.random.default_rng(3).normal(10, 1, size=(5, 2))
    gain = Gain.of(base, base, base, base)
    assert (gain.mean, gain.interval90, gain.loss_probability, gain.parameter_share) == (0, (0, 0), 0, None)


def test_there_is_no_share_of_a_loss():
    base = np.array([[1.0, 1.0], [-1.0, -1.0]])
    assert Gain.of(base + 1, base, base + 1, base).relative is None


@pytest.mark.parametrize("count", [20, 60, 100])
def test_the_interval_covers_the_next_draw_as_often_as_it_says(count):
    generator = np.random.default_rng(4)
    draws = generator.normal(size=(4000, count + 1))
    held = [low <= row[-1] <= high for row in draws for low, high in [quantiles(row[:-1])]]
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


def test_cvar_is_the_mean_of_the_lowest():
    assert cvar(np.arange(20.0), 0.1) == 0.5
    assert cvar(np.array([3.0, 1.0]), 0.1) == 1


def test_the_error_of_a_model_spreads_the_draws_and_not_the_customers():
    generator = np.random.default_rng(4)
    true = generator.normal(2, 1, size=(4000, 1))
    base, expected = np.full((4000, 4), 100.0), 100 + true + 0.1 * generator.normal(size=(4000, 4))
    realised = 100 + true + 3 * generator.normal(size=(4000, 4))
    gain = Gain.of(expected, base, realised, base)
    wide = gain.with_model_error(2.0)
    assert wide.mean == gain.mean
    assert np.array(wide.interval90) - 2 == pytest.approx(2 * (np.array(gain.interval90) - 2), abs=0.1)
    assert wide.interval90 == pytest.approx([2 - 2 * 1.645, 2 + 2 * 1.645], abs=0.2)
    assert wide.relative["mean"] == gain.relative["mean"]
    assert np.array(wide.relative["interval90"]) == pytest.approx(np.array(wide.interval90) / 100, abs=1e-4)
    # Customers still vary by 3, parameters by 2 instead of 1.
    assert wide.interval90_realised == pytest.approx([2 - 1.645 * 13**0.5, 2 + 1.645 * 13**0.5], abs=0.3)
    assert wide.sampling_variance == gain.sampling_variance
    assert wide.parameter_share == pytest.approx(4 / 13, abs=0.03)
    assert wide.loss_probability == pytest.approx(0.16, abs=0.03)
    assert gain.loss_probability < 0.05
    assert gain.with_model_error(1.0) is gain
