"""How often one caller may ask: a bucket of tokens that fills at a steady rate.

Written out because it is a dozen lines: the libraries for it hook into every route and cost more time than an answer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_CALLERS = 10_000


class RateLimit:
    """per_second: tokens that come back each second; burst: tokens of a full bucket. One token a request.

    It knows the last ten thousand callers; one that was forgotten starts with a full bucket.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a token: 0 where there was one, otherwise the seconds until there is."""
        now = self._clock()
        tokens, before = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - before) * self._rate)
        granted = tokens >= 1
        self._buckets[caller] = (tokens - granted, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > _CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._rate
