"""The last decision of each market, for the page."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import NamedTuple

from ...decision import Decision
from ...market_state import MARKET

MOST_MARKETS = 100


class RecentDecision(NamedTuple):
    """A decision and the time it was made (UTC)."""

    time: datetime
    decision: Decision


class RecentDecisions:
    """Keeps the last decision of each of the last hundred markets, in memory only."""

    def __init__(self) -> None:
        self._lock, self._seen = threading.Lock(), OrderedDict[str, tuple[float, Decision]]()

    def add(self, decision: Decision) -> None:
        """Store a decision as the last one of its market."""
        market = decision.state.get("market", MARKET)
        with self._lock:
            self._seen[market] = (time.time(), decision)
            self._seen.move_to_end(market)
            if len(self._seen) > MOST_MARKETS:
                self._seen.popitem(last=False)

    @property
    def markets(self) -> dict[str, RecentDecision]:
        """The decisions by name of the market, the latest first."""
        with self._lock:
            latest = list(reversed(self._seen.items()))
        return {name: RecentDecision(datetime.fromtimestamp(at, UTC), one) for name, (at, one) in latest}
