"""The deciding part of a policy, against plain loops."""

import numpy as np
import pytest
import torch
from repricer.agents.actor import Actor


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("products", [1, 3])
def test_the_highest_number_of_each_column_names_its_level(kinds, products):
    generator = np.random.default_rng(kinds + 10 * products)
    levels = tuple(np.sort(generator.uniform(-1, 1, count)).astype(np.float32) for count in (5, 3)[:kinds])
    actor = Actor(torch.nn.Identity(), levels, kinds * products)
    numbers = generator.normal(size=(7, products, sum(len(level) for level in levels))).astype(np.float32)
    wanted = np.empty((7, products, kinds), np.float32)
    for row in range(7):
        for product in range(products):
            first = 0
            for kind, level in enumerate(levels):
                wanted[row, product, kind] = level[numbers[row, product, first : first + len(level)].argmax()]
                first += len(level)
    np.testing.assert_array_equal(actor(torch.from_numpy(numbers.reshape(7, -1))), wanted.reshape(7, -1))
