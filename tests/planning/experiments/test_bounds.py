"""Bounds of a mean against published figures and reference software, and their coverage.

Reference software: `confseq`, commit 70b1ef30, github.com/gostevehoward/confseq, by the papers' authors. Betting:
`betting_cs`, `betting_lower_cs` and `betting_ci` with breaks=20000, whose bounds are one step, 1/20000, wider; empirical
Bernstein: `predmix_lower_cs` with the paper's predictions. Mixtures: its `test/uniform_boundaries_unittest.cpp`.
"""

import numpy as np
import pytest
from repricer.planning.experiments.bounds import (
    betting_bounds,
    drifting_bounds,
    empirical_bernstein_bounds,
    maurer_pontil_bounds,
    mixture_boundary,
    mixture_capital,
)
from scipy.optimize import brentq

TIME = np.arange(1, 201)
VALUES = (TIME * 0.6180339887498949 % 1.0) ** 2
LOOKS = [50, 100, 200]


def test_betting_is_that_of_the_reference():
    lower, upper = betting_bounds(VALUES, looks=LOOKS, running=False)
    np.testing.assert_allclose(lower, [0.22100, 0.24850, 0.26935], atol=1e-4)
    np.testing.assert_allclose(upper, [0.46020, 0.42215, 0.39875], atol=1e-4)
    running = betting_bounds(VALUES, looks=LOOKS)[1]
    np.testing.assert_allclose(running, [0.45365, 0.42000, 0.39705], atol=1e-4)
    one, end = betting_bounds(VALUES, looks=LOOKS, sided="lower", running=False)
    np.testing.assert_allclose(one, [0.23095, 0.25595, 0.27490], atol=1e-4)
    assert (end == 1).all()
    planned = np.concatenate(betting_bounds(VALUES, planned=200, running=False))
    np.testing.assert_allclose(planned, [0.28055, 0.39625], atol=1e-4)


def test_empirical_bernstein_is_that_of_the_reference():
    lower, upper = empirical_bernstein_bounds(VALUES, looks=LOOKS)
    np.testing.assert_allclose(lower, [0.14848039, 0.22352526, 0.26132699], atol=1e-8)
    np.testing.assert_allclose(1 - upper, [0.48372201, 0.55689239, 0.59199816], atol=1e-8)
    one = empirical_bernstein_bounds(VALUES, looks=LOOKS, sided="lower")[0]
    np.testing.assert_allclose(one, [0.17620628, 0.23705636, 0.26891043], atol=1e-8)


def test_mixtures_are_those_of_the_reference():
    assert 10 * mixture_boundary(100, 100) == pytest.approx(30.35209, abs=1e-5)
    # In closed form a little above the exact boundary of one side.
    assert 27.66071 < 10 * mixture_boundary(100, 100, sided="one") < 1.01 * 27.66071
    assert mixture_capital(10, 100, 0.05, 100, scale=2) == pytest.approx(-0.2490165, abs=1e-7)
    height = brentq(lambda s: mixture_capital(s, 100, 0.05, 100, scale=2) - np.log(20), 0, 100)
    assert height == pytest.approx(33.02017, abs=1e-5)


def test_maurer_and_pontil_by_hand():
    values = np.tile([0.0, 1.0], 50)
    half = np.sqrt(2 * (25 / 99) * np.log(40) / 100) + 7 * np.log(40) / (3 * 99)
    assert maurer_pontil_bounds(values, sided="lower") == (pytest.approx(0.5 - half), 1.0)


def test_another_range_and_the_other_side():
    lower, upper = betting_bounds(2 - 5 * VALUES, low=-3, high=2, looks=LOOKS)
    same = betting_bounds(VALUES, looks=LOOKS)
    np.testing.assert_allclose(lower, 2 - 5 * same[1])
    np.testing.assert_allclose(upper, 2 - 5 * same[0])


def test_all_looks_are_covered():
    """At a mean of 0.1, where the distribution is skewed: misses at any of 20 looks in at most 5% of the paths."""
    random, looks, missed = np.random.default_rng(1), np.linspace(10, 200, 20).astype(int), np.zeros(3)
    for _ in range(150):
        values = random.beta(0.2, 1.8, 200)
        for number, bounds in enumerate((betting_bounds, empirical_bernstein_bounds, drifting_bounds)):
            missed[number] += (bounds(values, looks=looks, sided="lower")[0] > 0.1).any()
    assert (missed / 150 <= 0.05).all()


def test_only_the_drifting_bounds_cover_the_average_of_changing_means():
    """Half of the time little varies above the average, then much below it: bets are large in the first half alone."""
    random, missed = np.random.default_rng(2), np.zeros(2)
    for _ in range(50):
        values = np.concatenate([np.full(500, 0.6), random.random(500) < 0.4]).astype(float)
        missed += [
            betting_bounds(values, sided="lower")[0][0] > 0.5,
            drifting_bounds(values, sided="lower")[0][0] > 0.5,
        ]
    assert missed[0] > 40
    assert missed[1] <= 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: betting_bounds([0.5, 1.5]), r"values must lie in \[0, 1\]; got 0.5 to 1.5"),
        (lambda: betting_bounds([]), r"values must be a row of 1 or more; got shape \(0,\)"),
        (lambda: betting_bounds([0.5], 1.0), r"alpha must lie in \(0, 1\); got 1"),
        (lambda: betting_bounds([0.5], sided="both"), "sided must be one of lower, upper, two; got 'both'"),
        (lambda: betting_bounds([0.5], looks=[2]), "looks must lie in 1 to 1; got 2 to 2"),
        (lambda: maurer_pontil_bounds([0.5]), "values must be a row of 2 or more"),
        (lambda: mixture_boundary(0, 100), "times and planned must be above 0; got times 0"),
        (lambda: mixture_boundary(1, 100, sided="lower"), "sided must be one or two; got 'lower'"),
    ],
)
def test_wrong_arguments_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
