from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import Market
from repricer.envs.kernels.period import choose_promoted
from repricer.envs.kernels.transitions import whole_orders
from repricer.pricing import Action
from repricer.serving.actions import ordered, promoted


@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_the_promoted_products_are_those_of_the_simulated_market(most: int) -> None:
    generator = np.random.default_rng(most)
    # Few different scores, so that there are ties; some are no numbers.
    scores = generator.integers(-2, 4, size=(8, 300)).astype(np.float32) / 4
    scores[generator.random(scores.shape) < 0.05] = np.nan
    wanted = np.zeros_like(scores)
    choose_promoted(scores, most, wanted)
    got = np.stack([promoted(score, most) for score in scores.T], axis=1)
    np.testing.assert_array_equal(got, wanted > 0)
    assert 0 < got.sum(axis=0).max() <= most


def test_orders_are_those_of_the_simulated_market() -> None:
    catalogue = replace(Market("three-stocks").view.catalogue, max_order_units=np.array([0, 3, 50], np.float32))
    asked = np.array([[-1, 0.4, 2], [3.6, np.nan, 1.5], [60, 49.5, 12.5]], np.float32)
    whole = np.empty_like(asked)
    whole_orders(asked, catalogue.max_order_units, whole)
    order, express = ordered(Action(asked, order=asked.T, express=asked.T), catalogue)
    np.testing.assert_array_equal(order, whole.T)
    assert express is None
    twice = replace(catalogue, max_express_units=catalogue.max_order_units)
    np.testing.assert_array_equal(ordered(Action(asked, express=asked.T), twice)[1], whole.T)
