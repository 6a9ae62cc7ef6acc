"""Two services in a virtual world: what must hold, holds for every seed; and each planted fault is found."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from .faults import FAULTS
from .runs import own_bundles, run

_SEEDS = 5
_SEARCHED = 40
"""Seeds within which each fault is found; acceptance has 2,000."""
_FINDS = {
    "a start activates an older bundle": 5,
    "a rollback is a toggle": 1,
    "a start activates a bundle that was taken back": 2,
    "rotation deletes up to the highest old row": 6,
    "a certificate survives a change of bundle": 5,
    "a price is answered before it is on disk": 2,
    "an outcome counts twice": 1,
    "a switch that is not recorded is thrown": 4,
    "who decided is taken from the file": 1,
}
"""Seeds that found them before, tried first; 0 finds the others."""


@pytest.fixture(scope="module")
def bundles() -> list[Path]:
    return own_bundles()


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_what_must_hold_holds(seed: int, bundles: list[Path]) -> None:
    found = run(seed, bundles)
    assert not found, f"seed {seed}: {found}"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, bundles: list[Path]) -> None:
    seeds = itertools.chain([_FINDS.get(fault, 0)], range(_SEARCHED))
    assert any(run(seed, bundles, fault) for seed in seeds), f"{fault}: not found within {_SEARCHED} seeds"


def test_a_seed_replays(bundles: list[Path]) -> None:
    fault = "prices leave the price rules"
    assert run(2, bundles, fault) == run(2, bundles, fault)
