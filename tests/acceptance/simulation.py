"""Two services in a virtual world: 2,000 histories, and what planted faults do to them."""

from __future__ import annotations

import logging
import sys

from repricer.tests.serving.simulation.faults import FAULTS
from repricer.tests.serving.simulation.runs import broken, own_bundles, run

from .checks import check

_SEEDS = 2_000


@check("serving", f"of {_SEEDS:,} virtual histories of two services, those that violate something", "==", 0)
def histories() -> float:
    count = 0
    for seed, lines in broken(0, _SEEDS):
        count += 1
        print(f"simulation: seed {seed}: {lines}", file=sys.stderr)
    return count


def _planted(fault: str) -> None:
    @check("serving", f"planted fault, {fault}: histories until it is found", "<=", _SEEDS)
    def measure() -> float:
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            return next((seed + 1 for seed in range(_SEEDS) if run(seed, own_bundles(), fault)), float("inf"))
        finally:
            logging.disable(level)


for _fault in FAULTS:
    _planted(_fault)
