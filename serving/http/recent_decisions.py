"""The last decision of each market, for the page: what a pricing manager looks at today."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import NamedTuple

from ..decision import Decision
from ..market_state import MARKET

_MARKETS = 100


class Seen(NamedTuple):
    """A decision and when it was given (UTC)."""

    time: datetime
    decision: Decision


class Recent:
    """Remembers the last hundred markets that asked, in memory alone."""

    def __init__(self) -> None:
        self._lock, self._seen = threading.Lock(), OrderedDict[str, tuple[float, Decision]]()

    def note(self, decision: Decision) -> None:
        """Keep a decision as its market's last one."""
        market = decision.state.get("market", MARKET)
        with self._lock:
            self._seen[market] = (time.time(), decision)
            self._seen.move_to_end(market)
            if len(self._seen) > _MARKETS:
                self._seen.popitem(last=False)

    @property
    def markets(self) -> dict[str, Seen]:
        """By name, the latest first."""
        with self._lock:
            latest = list(reversed(self._seen.items()))
        return {name: Seen(datetime.fromtimestamp(at, UTC), decision) for name, (at, decision) in latest}
