"""Two services in a virtual world: what must hold, holds for every seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from repricer.serving.bundle.files import own_key_paths

from .runs import run
from .world import newer_bundles

_SEEDS = 20


@pytest.fixture(scope="module")
def bundles(one_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return newer_bundles(one_path, own_key_paths(one_path)[0], tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_what_must_hold_holds(seed: int, bundles: list[Path]) -> None:
    found = run(seed, bundles)
    assert not found, f"seed {seed}: {found}"
