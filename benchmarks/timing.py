"""How the benchmarks measure: one thread, CPU seconds, the median of five."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

REPEATS = 5


def rate(work: Callable[[], int], *, repeats: int = REPEATS) -> float:
    """Median of units of work per CPU second; `work` does some and says how many; the first call warms up."""
    work()
    rates = []
    for _ in range(repeats):
        started = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - started))
    return statistics.median(rates)


def median_seconds(call: Callable[[], object], count: int = 2000) -> float:
    """Of so many calls, after a hundred that warm up."""
    for _ in range(100):
        call()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
