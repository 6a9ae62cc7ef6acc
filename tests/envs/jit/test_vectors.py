"""The width of vectors: all bits, but for processors that would slow down, and for users who chose."""

import importlib

import pytest
from numba.core import config
from repricer.envs.jit import vectors
from repricer.envs.jit.vectors import wide_features


def test_a_processor_that_keeps_its_clock_uses_all_bits():
    assert wide_features("sapphirerapids", "+avx2,+avx512f") == "+avx2,+avx512f,-prefer-256-bit"


@pytest.mark.parametrize(
    ("processor", "features"),
    [("cascadelake", "+avx2,+avx512f"), ("znver3", "+avx2,-avx512f"), ("apple-m1", "+neon")],
)
def test_others_leave_the_width_to_the_compiler(processor, features):
    assert wide_features(processor, features) is None


def test_what_the_user_chose_for_numba_stands(monkeypatch):
    monkeypatch.setattr(config, "CPU_FEATURES", "+sse2")
    importlib.reload(vectors)
    assert config.CPU_FEATURES == "+sse2"
