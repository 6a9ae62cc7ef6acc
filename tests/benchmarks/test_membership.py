"""The attack itself: it finds what stands out, finds nothing in noise, and tells a small advantage as the theory does."""

import numpy as np
import pytest
from repricer.benchmarks.membership import Runs, advantage
from repricer.privacy.noise import most_advantage


@pytest.mark.parametrize(("shift", "expected"), [(8.0, 1.0), (0.0, 0.0), (0.1, most_advantage([10.0]))])
def test_the_advantage_is_that_of_the_theory(shift, expected):
    rng = np.random.default_rng(0)
    member = rng.random((4000, 2)) < 0.5
    noise = rng.normal(size=(4000, 2, 3))
    moved = np.array([shift, 0.0, 0.0]) * member[..., None]
    found = advantage(Runs(noise + moved, noise + np.array([shift, 0.0, 0.0]) - moved, member))
    assert abs(found.mean - expected) <= 4 * found.error + 1e-3
    assert found.error < 0.005
