"""Expectations in closed form."""

import numpy as np
import pytest
from repricer.envs.kernels.demand_kernels import choose
from repricer.envs.kernels.expected_demand import choice_at


@pytest.mark.parametrize("rows", [1, 3])
def test_one_row_and_what_is_read_only_need_no_compilation_of_their_own(shop, rows):
    """Each mixture of read-only inputs would be a type of its own, and compile for ten seconds when it first comes."""
    price, shown = (
        np.broadcast_to(values, (rows, *np.shape(values))) for values in (shop.products.regular_price, [0, 1])
    )
    choice_at(shop, 0, price, shown=shown, in_stock=np.ones(3))
    assert choose.signatures
    assert not [types for types in choose.signatures if "readonly" in str(types)]
