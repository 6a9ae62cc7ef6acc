"""The guards of a trial: figures of the newer bundle beside the active one, each with a limit."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...bundle.training_range import ALARM_SHARE, DriftAlarm
from ...predictor import PriceAnswer

LIMITS = {"price_move": 0.15, "clipped": 0.2, "drift": ALARM_SHARE, "errors": 0.01, "money": 0.99}
"""The largest allowed value of each guard."""
MEANINGS = {
    "price_move": "mean difference between the prices of the two bundles in the same states, as a share",
    "clipped": "share of prices that a price rule changed by more than rounding, above that of the active bundle",
    "drift": "share of products outside the training range by the worst feature, where the active bundle has no alarm",
    "errors": "share of states that the newer bundle could not price",
    "money": "confidence that its markets earn less than the others, each against its own past",
}
_WINDOW, _LEAST = 3000.0, 300.0
"""Products, in the last of which and from how many on the guards judge."""
_LEAST_ERRORS = 3.0
_ROUNDING = ("price_ladder", "outside_charged", "max_discount", "segment_spread", "paid_floor")


class Guards:
    """What is known about a newer bundle, in about the last three thousand products."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._lock, self._drift = threading.Lock(), DriftAlarm(names)
        # Products, moves, clipped prices of the newer and of the active bundle; states, errors.
        self._sums = np.zeros(6)
        self._alarms: list[str] = []
        self._money = 0.0
        self.stopped: tuple[str, str] | None = None
        """The guard that ended the trial, and why."""

    def compare(
        self,
        active: Sequence[PriceAnswer],
        newer: Sequence[PriceAnswer | None],
        outside: NDArray[np.bool_] | None,
        alarms: Iterable[str],
    ) -> None:
        """Add answers of both bundles to the same states, and judge.

        Args:
            active: The answers of the active bundle.
            newer: Those of the newer one; None where it had none.
            outside: (E, N, F) which features lie outside the newer bundle's range, of the states
                that it read.
            alarms: The features for which the active bundle has an alarm too.
        """
        if outside is not None:
            self._drift.add(outside)
        pairs = [(one, other) for one, other in zip(active, newer, strict=True) if other is not None]
        prices = [(a.price, b.price) for one, other in pairs for a, b in zip(one.prices, other.prices, strict=True)]
        both = np.array(prices).reshape(-1, 2)
        added = (
            len(both),
            np.abs(both[:, 1] / both[:, 0] - 1).sum(),
            sum(_clipped(other) for _, other in pairs),
            sum(_clipped(one) for one, _ in pairs),
            len(active),
            len(active) - len(pairs),
        )
        products = max(len(both), sum(len(one.prices) for one in active))
        with self._lock:
            self._sums = (1 - 1 / _WINDOW) ** products * self._sums + added
            self._alarms = [name for name in self._drift.alarms if name not in set(alarms)]
        self._judge()

    def earned(self, confidence: float) -> None:
        """Take the confidence, in [0, 1], that the markets of the newer bundle earn less."""
        self._money = confidence
        self._judge()

    @property
    def values(self) -> dict[str, float]:
        """The present value of each guard."""
        products, moves, clipped, before, states, errors = self._sums.tolist()
        shares = self._drift.shares
        found = {
            "price_move": moves / max(products, 1),
            "clipped": (clipped - before) / max(products, 1),
            "drift": max((shares[name] for name in self._alarms), default=0.0),
            "errors": errors / max(states, 1) if errors >= _LEAST_ERRORS else 0.0,
            "money": self._money,
        }
        return {name: round(value, 4) for name, value in found.items()}

    def _judge(self) -> None:
        enough = self._sums[0] >= _LEAST
        for name, value in self.values.items():
            ready = enough or name in ("errors", "money")
            if ready and value > LIMITS[name] and self.stopped is None:
                self.stopped = name, f"{MEANINGS[name]}: {value:.3g}, at most {LIMITS[name]:.3g} is allowed"


def _clipped(answer: PriceAnswer) -> int:
    return sum(any(change.rule not in _ROUNDING for change in price.trail) for price in answer.prices)
