"""The last answer that the service gave for each market."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

_MOST_KEPT = 10_000


class Known(NamedTuple):
    """An answer, and when it was given by the monotonic clock."""

    answer: dict[str, Any]
    given: float


class LastKnown:
    """Answers by market, of the last ten thousand markets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = OrderedDict[str | None, Known]()

    def keep(self, state: Mapping[str, Any], answer: dict[str, Any]) -> None:
        """Keep the answer to a state as the last one of its market."""
        market = state.get("market")
        with self._lock:
            self._answers[market] = Known(answer, time.monotonic())
            self._answers.move_to_end(market)
            if len(self._answers) > _MOST_KEPT:
                self._answers.popitem(last=False)

    def find(self, state: Mapping[str, Any]) -> Known | None:
        """The last answer for the market and the products of a state."""
        market = state.get("market")
        if not isinstance(market, str | None):
            return None
        with self._lock:
            known = self._answers.get(market)
        if known is None or _products(known.answer["prices"]) != _products(state.get("products")):
            return None
        return known


def _products(items: Any) -> set[Any] | None:
    """The names of the products of a state or an answer; None where it has none."""
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return None
    names = [item.get("product") for item in items]
    return set(names) if all(isinstance(name, str) for name in names) else None
