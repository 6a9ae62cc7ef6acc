"""The local search of falling paths finds what trying all of them finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from repricer.planning.markdown_search import Season, best_path

BLOCKS, LEVELS = 5, 5


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_the_best_of_all_paths(seed: int) -> None:
    generator = np.random.default_rng(seed)
    price = np.linspace(2.0, 1.0, LEVELS)
    level = generator.uniform(4, 12, (BLOCKS, 1, 1)) * generator.gamma(20, 1 / 20, (1, 1, 300))
    wanted = generator.poisson(level * np.exp(1.5 * (2 - price))[:, None]).astype(np.float32)
    wanted = np.maximum.accumulate(wanted, axis=1)
    need, confidence = int(generator.integers(60, 110)), generator.uniform(0.5, 0.95)

    def allowed(paths: np.ndarray) -> np.ndarray:
        return (np.diff(paths, axis=1, prepend=0) != 0).sum(axis=1) <= 2

    season = Season(price, wanted, 110, need, confidence, 0.1, allowed)
    paths = np.array([p for p in itertools.product(range(LEVELS), repeat=BLOCKS) if list(p) == sorted(p)])
    met, value = season.value(paths[allowed(paths)])
    found, meets = best_path(season)
    assert meets == met.any()
    assert allowed(found[None])[0]
    assert season.value(found[None])[1][0] >= 0.995 * value[met == meets].max()
