import math

import numpy as np
import pytest
from repricer.optimum.beliefs.grid import BeliefGrid


@pytest.mark.parametrize("draws", [1, 2, 3, 4])
def test_a_belief_lies_between_its_corners(draws):
    grid, generator = BeliefGrid(draws, 6), np.random.default_rng(0)
    assert len(grid.nodes) == math.comb(6 + draws - 1, draws - 1)
    beliefs = generator.dirichlet(np.full(draws, 0.5), (40, 5))
    number, weight = grid.corners(beliefs)
    assert weight.min() >= 0
    np.testing.assert_allclose(weight.sum(axis=-1), 1)
    np.testing.assert_allclose((weight[..., None] * grid.nodes[number]).sum(axis=-2), beliefs, atol=1e-12)
    used = np.where(weight[..., None] > 1e-12, np.abs(grid.nodes[number] - beliefs[..., None, :]), 0)
    assert used.max() <= 1 / 6 + 1e-12


@pytest.mark.parametrize("draws", [1, 2, 3, 4])
def test_a_node_is_nearest_to_itself(draws):
    grid = BeliefGrid(draws, 6)
    assert grid.nearest(grid.nodes).tolist() == list(range(len(grid.nodes)))
