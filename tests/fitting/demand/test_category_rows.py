"""What a category's customers met, as the demand model takes it."""

import numpy as np
import pytest
from repricer.fitting.demand import REFERENCE, Priors, RememberedPrice, SegmentUnits
from repricer.fitting.demand.category_rows import (
    REDUCED,
    SUSPECT,
    category_data,
    effects_on_utility,
    suspect_effects,
    with_suspects,
)
from repricer.tests.fitting.demand.markets import grids_of


@pytest.mark.parametrize(("curvature", "felt"), [(0.0, lambda move: move), (1.0, np.log1p)])
def test_a_regular_price_that_moved_is_suspect_as_it_is_felt(curvature, felt):
    regular = np.array([[1.0, 1.2], [1.0, 0.8], [1.0, 1.0]])
    grids = grids_of(np.full((1, 3, 2), 5.0), np.where([[0], [1], [0]], 0.8, 1.0) * regular[None], regular)
    here, segments = np.arange(2), SegmentUnits(np.ones((1, 2)), np.ones(1))
    data = category_data(grids, here, regular[-1], {}, segments, Priors(), curvature=curvature)
    suspects = suspect_effects(grids)
    found = dict(zip(suspects, with_suspects(data, suspects, here, Priors(), levels=False).effects, strict=True))
    np.testing.assert_allclose(found[SUSPECT][0, :, 1], felt(np.array([0.2, -0.2, 0.0])), atol=1e-12)
    np.testing.assert_array_equal(found[REDUCED][0, :, 0], [0, 1, 0])


def test_the_last_price_is_remembered_while_a_shop_is_closed():
    price = np.full((1, 28, 1), 1.6)
    price[0, :7] = 2.0
    closed = price.copy()
    closed[0, 6::7] = np.nan
    found = [
        effects_on_utility(grids_of(np.ones((1, 28, 1)), given, np.array([2.0])), np.array([2.0]), RememberedPrice(0.7))
        for given in (price, closed)
    ]
    np.testing.assert_allclose(found[1][REFERENCE], found[0][REFERENCE])
