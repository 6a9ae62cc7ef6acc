"""What the compiled loops stand on: their own arithmetic, turned squares, and memory that is given back."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from repricer.envs import LearnerView, Market
from repricer.envs.jit.blocks import BLOCK, block_rows, turn
from repricer.envs.jit.math import logarithm, multiply_add
from repricer.envs.kernels.decode import Decoding, decode
from repricer.pricing import ActionLayout


@njit
def logarithms(x, out):
    for i in range(x.size):
        out[i] = logarithm(x[i])


@njit
def fused(x, y, z):
    return multiply_add(x, y, z)


@njit
def turned(source, target, start, place):
    turn(source, start, 12, target, place, 9)


def test_logarithms_are_as_precise_as_they_say():
    x = np.exp(np.linspace(-80, 80, 200_001)).astype(np.float32)
    found = np.empty_like(x)
    logarithms(x, found)
    exact = np.log(x.astype(np.float64))
    assert (np.abs(found - exact) <= 2e-7 * np.maximum(np.abs(exact), 1)).all()


def test_a_product_and_a_sum_are_rounded_once():
    x = np.float32(1 + 2**-12)
    exact = np.float32(np.float64(x) * np.float64(x) - 1)
    assert fused(x, x, np.float32(-1)) == exact != np.float32(x * x) - np.float32(1)


@njit
def scratch_of_three(kind, out):
    """What stands in two pieces of scratch that do not overlap, and where they lie in a line of the cache."""
    first, second = block_rows(2, kind), block_rows(1, kind)
    for i in range(2):
        first[i] = i + 1
    second[0] = 3
    for i in range(2):
        out[i] = first[i]
    out[2] = second[0]
    return first.ctypes.data % 64, second.ctypes.data % 64


@njit
def scratch_of(count):
    return block_rows(count, np.float32).size


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_scratch_lies_on_lines_of_the_cache(kind):
    out = np.zeros((3, BLOCK), kind)
    assert scratch_of_three(kind, out) == (0, 0)
    np.testing.assert_array_equal(out, np.repeat([[1], [2], [3]], BLOCK, axis=1))


def test_the_size_of_scratch_must_be_known_to_the_compiler():
    with pytest.raises(TypingError, match="count must be a constant"):
        scratch_of(2)


def test_a_square_is_turned_where_it_stands():
    source, target = np.arange(120, dtype=np.float32).reshape(10, 12), np.zeros(99, np.float32)
    turned(source.reshape(-1), target, 12 + 2, 9 + 1)
    expected = np.zeros((11, 9), np.float32)
    expected[1:9, 1:9] = source[1:9, 2:10].T
    np.testing.assert_array_equal(target.reshape(11, 9), expected)


@pytest.mark.parametrize(("markets", "products"), [(1, 1), (64, 8), (131, 5), (200, 3)])
def test_raw_numbers_are_decoded_as_the_layout_says(markets, products):
    """Blocks of markets and squares of columns that come out even, and those that do not; a NaN is zero."""
    layout = ActionLayout(0.5, 2.0, num_segments=2, max_discount=0.3, recommend=True, promote=True, order=True)
    rng = np.random.default_rng(markets)
    raw = rng.uniform(-1.3, 1.3, (markets, products, layout.size)).astype(np.float32)
    raw[0, 0, :2] = np.nan
    base, most = rng.uniform(1, 9, products).astype(np.float32), np.full(products, 20, np.float32)
    out = np.empty((layout.size, products, markets), np.float32)
    decode(raw.reshape(markets, -1), base, Decoding.of(layout), most, out)
    wanted = layout.decode(np.nan_to_num(raw))
    np.testing.assert_allclose(out[0], (base * wanted.price_multiplier).T, rtol=1e-6)
    np.testing.assert_allclose(out[1:3], wanted.discount.transpose(2, 1, 0), rtol=1e-6)
    np.testing.assert_array_equal(out[3:5], wanted.recommendation.transpose(2, 1, 0))
    np.testing.assert_array_equal(out[5], wanted.promotion.T)
    np.testing.assert_allclose(out[6], np.floor(wanted.order.T * 20 + 0.5), atol=1e-6)


def test_where_a_period_works_is_made_once_and_counted():
    view = LearnerView(Market("bench-10", num_markets=3))
    raw = np.zeros((3, view.layout.size * 10), np.float32)
    before = view.market.dynamics.nbytes
    view.step(raw)
    after = view.market.dynamics.nbytes
    view.step(raw)
    assert before < after == view.market.dynamics.nbytes


@pytest.mark.parametrize("product_wise", [False, True])
def test_a_market_that_is_dropped_leaves_no_memory_behind(product_wise):
    """The loops give references back by hand: one too few would keep a market for good, one too many would crash."""
    code = (
        "import gc, numpy as np; from numba.core.runtime import rtsys; from repricer.envs import LearnerView, Market\n"
        "def run():\n"
        f"    view = LearnerView(Market('bench-10-full', num_markets=3), product_wise={product_wise})\n"
        "    raw = np.zeros((view.num_rows, view.action_space.shape[0]), np.float32)\n"
        "    for _ in range(3):\n"
        "        view.step(raw).expected_profit, view.observe()\n"
        "def held():\n"
        "    gc.collect(); now = rtsys.get_allocation_stats(); return now.alloc - now.free, now.mi_alloc - now.mi_free\n"
        "run(); before = held(); run(); run(); print(before == held())"
    )
    env = os.environ | {"NUMBA_NRT_STATS": "1"}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=env).strip() == "True"


def test_the_gymnasium_face_needs_no_torch():
    code = (
        "import sys, gymnasium, repricer; env = gymnasium.make('repricer/StationaryLogit-v0'); env.reset(seed=0);"
        "env.step(env.action_space.sample()); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
