"""What a category's customers met, as the demand model takes it."""

import numpy as np
import pytest
from repricer.fitting.demand import Priors, SegmentUnits
from repricer.fitting.demand.category_rows import REDUCED, SUSPECT, category_data, suspect_effects, with_suspects
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
