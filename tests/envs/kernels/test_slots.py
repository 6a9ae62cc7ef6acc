"""What the shop shows, against sorting."""

import numpy as np
import pytest
from repricer.envs.kernels.slots import choose_promoted


@pytest.mark.parametrize(
    ("products", "markets", "most"),
    [(10, 70, 2), (30, 9, 12), (100, 64, 10), (7, 131, 5), (4, 5, 4), (3, 5, 7), (5, 3, 1)],
)
def test_the_promoted_are_the_highest_positive_scores_and_the_first_of_equals(products, markets, most):
    score = np.random.default_rng(products).uniform(-1, 1, (products, markets)).astype(np.float32)
    score[:, 0] = np.round(score[:, 0])  # many equal scores
    score[:, 1] = 0.5
    score[0, 2] = np.nan
    promoted = np.empty_like(score)
    choose_promoted(score, most, promoted)
    for e in range(markets):
        best = np.argsort(-np.nan_to_num(score[:, e], nan=-1), kind="stable")[:most]
        assert set(np.flatnonzero(promoted[:, e])) == {n for n in best if score[n, e] > 0}
