"""The attack itself: it finds what stands out, finds nothing in noise, and its error is honest."""

import numpy as np
import pytest
from repricer.benchmarks.membership import advantage


@pytest.mark.parametrize("shift", [None, np.full((2, 3), 4.0)])
def test_what_stands_out_is_found_and_noise_is_not(shift):
    rng = np.random.default_rng(0)
    member = rng.random((2000, 2)) < 0.5
    noise = rng.normal(size=(2000, 2, 3))
    assert advantage(noise + 4.0 * member[..., None], member, shift).mean > 0.95
    nothing = advantage(noise, member, shift)
    assert abs(nothing.mean) < 4 * nothing.error
    assert nothing.error == pytest.approx(1 / np.sqrt(2000), rel=0.05)
