"""How often a caller may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_CALLERS = 10_000


class RateLimit:
    """A token bucket per caller; a request takes as many tokens as it costs, if there is one.

    A bucket may go below zero: what costs more than is left is answered, and the caller waits
    until the debt is paid.

    The last ten thousand callers are remembered; any other starts with a full bucket.

    Args:
        per_second: Tokens that a bucket regains each second.
        burst: Tokens of a full bucket.
        clock: Returns the time in seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, cost: float = 1.0) -> float:
        """Take `cost` tokens; returns 0 if there was one, otherwise the seconds until the next."""
        now = self._clock()
        tokens, before = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - before) * self._rate)
        granted = tokens >= 1
        self._buckets[caller] = (tokens - granted * cost, now)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate
