"""Raw actions, decoded as `ActionLayout` says."""

import numpy as np
import pytest
from repricer.envs.kernels.learner import Decoding, decode
from repricer.pricing import ActionLayout


@pytest.mark.parametrize(("markets", "products"), [(1, 1), (64, 8), (131, 5), (200, 3)])
def test_raw_numbers_are_decoded_as_the_layout_says(markets, products):
    """Blocks of markets and squares of columns that come out even, and those that do not; a NaN is zero."""
    several = {"recommend": True, "promote": True, "order": True, "express": True}
    layout = ActionLayout(0.5, 2.0, num_segments=2, max_discount=0.3, **several)
    rng = np.random.default_rng(markets)
    raw = rng.uniform(-1.3, 1.3, (markets, products, layout.size)).astype(np.float32)
    raw[0, 0, :2] = np.nan
    base, most = rng.uniform(1, 9, products).astype(np.float32), np.float32([[20], [9]]).repeat(products, 1)
    out = np.empty((layout.size, products, markets), np.float32)
    decode(raw.reshape(markets, -1), base, Decoding.of(layout), most, out)
    wanted = layout.decode(np.nan_to_num(raw))
    np.testing.assert_allclose(out[0], (base * wanted.price_multiplier).T, rtol=1e-6)
    np.testing.assert_allclose(out[1:3], wanted.discount.transpose(2, 1, 0), rtol=1e-6)
    np.testing.assert_array_equal(out[3:5], wanted.recommendation.transpose(2, 1, 0))
    np.testing.assert_array_equal(out[5], wanted.promotion.T)
    np.testing.assert_allclose(out[6], np.floor(wanted.order.T * 20 + 0.5), atol=1e-6)
    np.testing.assert_allclose(out[7], np.floor(wanted.express.T * 9 + 0.5), atol=1e-6)
    np.testing.assert_allclose(
        layout.encode(wanted), np.clip(np.nan_to_num(raw), [-1, 0, 0, -1, -1, -1, 0, 0], 1), atol=1e-6
    )
