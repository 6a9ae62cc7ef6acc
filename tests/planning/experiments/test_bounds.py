"""Bounds of a mean against published figures and reference software, and their coverage.

Reference software: `confseq`, commit 70b1ef30, github.com/gostevehoward/confseq, by the papers' authors. Betting:
`betting_cs`, `betting_lower_cs` and `betting_ci` with breaks=20000, whose bounds are one step, 1/20000, wider. Mixtures: its
`test/uniform_boundaries_unittest.cpp`.
"""

import numpy as np
import pytest
from repricer.planning.experiments.bounds import betting_bounds, betting_capital, maurer_pontil_bound, mixture_capital
from repricer.planning.experiments.certificate import bounds_of_gain
from scipy.optimize import brentq

TIME = np.arange(1, 201)
VALUES = (TIME * 0.6180339887498949 % 1.0) ** 2
LOOKS = [50, 100, 200]


def read(mean, look, alpha=0.025, **how):
    """Log capital at a look, over what rejects a mean."""
    return betting_capital(VALUES, [mean], alpha, **how)[0, look - 1] + np.log(alpha)


@pytest.mark.parametrize(
    ("look", "bound", "alpha", "how"),
    [
        (50, 0.22100, 0.025, {}),
        (100, 0.24850, 0.025, {}),
        (200, 0.26935, 0.025, {}),
        (50, 0.23095, 0.05, {}),
        (100, 0.25595, 0.05, {}),
        (200, 0.27490, 0.05, {}),
        (200, 0.28055, 0.025, {"planned": 200}),
    ],
)
def test_the_capital_is_that_of_the_reference(look, bound, alpha, how):
    assert read(bound - 1e-4, look, alpha, **how) > 0 > read(bound + 1e-4, look, alpha, **how)


def test_betting_is_that_of_the_reference():
    lower, upper = betting_bounds(VALUES, looks=LOOKS)
    np.testing.assert_allclose(lower, [0.22100, 0.24850, 0.26935], atol=1e-3)
    np.testing.assert_allclose(upper, [0.45365, 0.42000, 0.39705], atol=1e-4)
    one = betting_bounds(VALUES, 0.1, looks=LOOKS)[0]
    np.testing.assert_allclose(one, [0.23095, 0.25595, 0.27490], atol=1e-3)


def test_mixtures_are_those_of_the_reference():
    assert mixture_capital(10, 100, 0.05, 100, scale=2) == pytest.approx(-0.2490165, abs=1e-7)
    height = brentq(lambda s: mixture_capital(s, 100, 0.05, 100, scale=2) - np.log(20), 0, 100)
    assert height == pytest.approx(33.02017, abs=1e-5)


def test_maurer_and_pontil_by_hand():
    half = np.sqrt(2 * (25 / 99) * np.log(40) / 100) + 7 * np.log(40) / (3 * 99)
    assert maurer_pontil_bound(np.tile([0.0, 1.0], 50), 0.05, 1.0) == pytest.approx(0.5 - half)
    assert maurer_pontil_bound(np.tile([-3.0, 2.0], 50), 0.05, 5.0) == pytest.approx(5 * (0.5 - half) - 3)


def test_another_range_and_the_other_side():
    lower, upper = betting_bounds(2 - 5 * VALUES, low=-3, high=2, looks=LOOKS)
    same = betting_bounds(VALUES, looks=LOOKS)
    np.testing.assert_allclose(lower, 2 - 5 * same[1], atol=1e-6)
    np.testing.assert_allclose(upper, 2 - 5 * same[0], atol=1e-6)


def test_all_looks_are_covered():
    """At a mean of 0.1, where the distribution is skewed: misses at any of 20 looks in at most 5% of the paths."""
    random, looks, missed = np.random.default_rng(1), np.linspace(10, 200, 20).astype(int), 0
    for _ in range(150):
        missed += (betting_bounds(random.beta(0.2, 1.8, 200), 0.1, looks=looks)[0] > 0.1).any()
    assert missed / 150 <= 0.05


def test_only_the_running_bound_covers_the_average_of_changing_means():
    """Half of the time little varies above the average, then much below it: bets are large in the first half alone."""
    random, missed = np.random.default_rng(2), np.zeros(2)
    for _ in range(50):
        values = np.concatenate([np.full(500, 0.6), random.random(500) < 0.4]).astype(float)
        found = bounds_of_gain(values - 0.5, np.ones(1000), looks=[500, 1000])
        missed += [betting_bounds(values, 0.1)[0][0] > 0.5, found.running[-1] > 0]
    assert missed[0] > 40
    assert missed[1] <= 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: betting_bounds([0.5, 1.5]), r"values must lie in \[0, 1\]; got 0.5 to 1.5"),
        (lambda: betting_bounds([]), r"values must be a row of 1 or more; got shape \(0,\)"),
        (lambda: betting_bounds([0.5], 1.0), r"alpha must lie in \(0, 1\); got 1"),
        (lambda: betting_bounds([0.5], looks=[2]), "looks must lie in 1 to 1; got 2 to 2"),
    ],
)
def test_wrong_arguments_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
