"""What the shop shows and promotes, against sorting and by hand."""

import numpy as np
import pytest
from repricer.envs import Market
from repricer.envs.kernels.period import choose_promoted
from repricer.pricing import Action

from .two_products import at, build


@pytest.mark.parametrize(
    ("score", "promoted"),
    [
        ([0.2, -1.0, 0.9, 0.5], [2, 3]),
        ([-0.1, 0.0, -0.3, np.nan], []),
        ([0.0, 0.4, -0.3, np.nan], [1]),
        ([1.0, 3.0, 2.0, 0.5], [1, 2]),
        (None, []),
    ],
)
def test_the_highest_positive_scores_are_promoted_up_to_the_limit(score, promoted):
    four = {"names": list("abcd"), "regular_price": 4.0, "unit_cost": 2.0}
    demand = {"quality": 1.0, "price_sensitivity": 0.5}
    market = Market(build(products=four, demand=demand, promotion={"lift": 0.5, "max_products": 2}))
    action = at([4.0] * 4) if score is None else at([4.0] * 4, promotion=score)
    assert np.flatnonzero(market.step(action).promoted[0]).tolist() == promoted


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


def test_a_slot_shows_the_highest_positive_candidate_in_stock(shop):
    market = Market(shop, num_markets=2, seed=0)
    score = np.zeros((2, 3, 2), np.float32)
    score[0, :, 0] = [0.1, 0.3, 0.9]  # c is no candidate of the first segment
    score[0, :, 1] = [-1, -1, -1]
    score[1, :, 1] = [0.2, 0.1, 0.8]
    price = np.tile(np.float32([4, 5, 3]), (2, 1))
    assert market.step(Action(price, None, score)).shown.tolist() == [[1, -1], [-1, 2]]
    assert market.step(Action(price)).shown.tolist() == [[1, 2], [1, 2]]  # the recommender's own choice
