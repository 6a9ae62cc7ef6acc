"""Seeds of the simulation, from their start to their violations: `python -m repricer.tests.serving.simulation.runs
--first 7 --count 1` replays seed 7.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from repricer.scenarios import spec_from_table
from repricer.serving import export
from repricer.serving.bundle.files import own_key_paths
from repricer.tests.serving.conftest import TABLE, make_run

from .actions import story
from .checker import violations
from .faults import FAULTS
from .world import World, loaded, newer_bundles

_PIECE = 20
"""Seeds that a process runs before it reports."""


def run(seed: int, bundles: list[Path], fault: str | None = None) -> list[str]:
    """What a seed violates; the same seed gives the same history.

    Args:
        seed: Draws all that happens.
        bundles: As `newer_bundles` makes them.
        fault: One of `FAULTS`, put back.
    """
    found = list[str]()

    async def checked(world: World) -> None:
        await story(world)
        found.extend(violations(world))

    for path in bundles:  # they are verified without the fault
        loaded(path)
    with (
        tempfile.TemporaryDirectory(prefix="simulation-", dir=_memory()) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        if fault is not None:
            FAULTS[fault](patch)
        World(seed, bundles, Path(folder)).live(checked)
    return found


def _memory() -> str | None:
    """Where files are in memory, so that no history waits for a disk; None where that is nowhere."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@functools.cache
def own_bundles() -> list[Path]:
    """Bundles of the market of the tests, made once a process: some with the same prices, some with others, within the
    same rules and beyond them.
    """
    folder = Path(tempfile.mkdtemp(prefix="simulation-bundles-"))
    spec = spec_from_table(TABLE)
    dearer = spec.with_changes(prices={"floor": [2.6, 3.9, 6.5], "max_change": None})
    runs = {"plain": make_run(spec, product_wise=True), "other": make_run(spec, product_wise=True, seed=18)}
    runs["dearer"] = replace(runs["plain"], spec=dearer)
    made = {name: export(run, folder / name) for name, run in runs.items()}
    order = [made[name] for name in ("plain", "other", "plain", "dearer", "dearer")]
    return newer_bundles(order, own_key_paths(made["plain"])[0], folder)


def broken(first: int, count: int) -> Iterator[tuple[int, list[str]]]:
    """Seeds that violate something, with what, searched by a process a core."""
    bundles = own_bundles()
    pieces = [range(at, min(at + _PIECE, first + count)) for at in range(first, first + count, _PIECE)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for found in pool.map(_piece, pieces, itertools.repeat(bundles)):
            yield from found


def _piece(seeds: range, bundles: list[Path]) -> list[tuple[int, list[str]]]:
    logging.disable(logging.CRITICAL)
    gc.freeze()  # the libraries, which no collection need look through
    found = [(seed, run(seed, bundles)) for seed in seeds]
    return [(seed, lines) for seed, lines in found if lines]


def main() -> None:
    """Search some seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    count = 0
    for seed, lines in broken(arguments.first, arguments.count):
        count += 1
        print(f"seed {seed}:", *lines, sep="\n  ", flush=True)
    print(f"{count} of {arguments.count} seeds violate something")


if __name__ == "__main__":
    main()
