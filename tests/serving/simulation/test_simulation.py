"""Two services in a virtual world: what must hold, holds for every seed; and each planted fault is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from .runs import own_bundles, run

_SEEDS = 5
_FINDS = {
    "a start activates an older bundle": 8,
    "a rollback is a toggle": 3,
    "a start activates a bundle that was taken back": 2,
    "a certificate survives a change of bundle": 3,
    "a retry after a 503 is recorded twice": 1,
    "a price is answered before it is on disk": 2,
    "an outcome counts twice": 1,
    "the kill switch is followed at the start only": 1,
    "a switch that is not recorded is thrown": 1,
    "the money guard reads the last decisions alone": 9,
    "the money guard judges without grounds": 1,
    "the money guard leaves out markets that earned nothing": 12,
    "the guards forget at a restart": 1,
    "a stale approval is accepted": 1,
    "who decided is taken from the file": 2,
    "who decided is taken from the request": 1,
    "prices leave the price rules": 1,
    "rotation deletes up to the highest old row": 64,
    "a trial starts by a clock": 74,
}
"""Seeds that find them; acceptance searches 2,000."""


@pytest.fixture(scope="module")
def bundles() -> list[Path]:
    return own_bundles()


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_what_must_hold_holds(seed: int, bundles: list[Path]) -> None:
    found = run(seed, bundles)
    assert not found, f"seed {seed}: {found}"


@pytest.mark.parametrize("fault", _FINDS)
def test_a_planted_fault_is_found(fault: str, bundles: list[Path]) -> None:
    assert run(_FINDS[fault], bundles, fault)


def test_a_seed_replays(bundles: list[Path]) -> None:
    fault = "prices leave the price rules"
    assert run(2, bundles, fault) == run(2, bundles, fault)
