"""How the benchmarks measure: one thread, CPU seconds, the median of five."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

REPEATS = 5


class SkippedError(Exception):
    """A benchmark needs what this machine lacks; the message says what."""


def rates(*works: Callable[[], int], repeats: int = REPEATS) -> list[float]:
    """Median units of work per CPU second of several works in turns, so that what else the machine does meets all of them;
    a work returns how many it did.
    """
    for work in works:
        work()
    found: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, each in zip(works, found, strict=True):
            started = time.process_time()
            done = work()
            each.append(done / (time.process_time() - started))
    return [statistics.median(each) for each in found]


def median_seconds(call: Callable[[], object], count: int = 2000) -> float:
    """Median seconds of a call, over `count` calls after a warm-up of a hundred."""
    for _ in range(100):
        call()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def row_of(what: str, per_second: float, baseline: float, unit: str) -> dict[str, Any]:
    """A row of the table that `repricer bench` prints."""
    return {"what": what, "per_second": per_second, "ratio": per_second / baseline, "unit": unit}
