"""The guards of a trial: figures of the newer bundle beside the active one, each with a limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ...predictor import PriceAnswer

LIMITS = {"price_move": 0.15, "errors": 0.01, "money": 0.99}
"""The largest allowed value of each guard."""
MEANINGS = {
    "price_move": "mean difference between the prices of the two bundles in the same states, as a share",
    "errors": "share of states that the newer bundle could not price",
    "money": "confidence that its markets earn less than the others, each against its own past",
}
WINDOW, _LEAST_PRODUCTS_JUDGED = 3000, 300
"""Products, in the last of which and from how many on the guards judge."""
_LEAST_ERRORS = 3.0


class Guards:
    """What is known about a newer bundle, in about the last three thousand products."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Products, moves of their prices; states, errors.
        self._sums = np.zeros(4)
        self._money: float | None = None
        self.stopped: tuple[str, str] | None = None
        """The guard that ended the trial, and why."""

    def compare(self, active: Sequence[PriceAnswer], newer: Sequence[PriceAnswer | None]) -> None:
        """Add answers of both bundles to the same states, and judge.

        Args:
            active: The answers of the active bundle.
            newer: Those of the newer one; None where it had none.
        """
        pairs = [(one, other) for one, other in zip(active, newer, strict=True) if other is not None]
        prices = [(a.price, b.price) for one, other in pairs for a, b in zip(one.prices, other.prices, strict=True)]
        both = np.array(prices).reshape(-1, 2)
        moves = np.abs(both[:, 1] / both[:, 0] - 1).sum()
        products = max(len(both), sum(len(one.prices) for one in active))
        with self._lock:
            added = len(both), moves, len(active), len(active) - len(pairs)
            self._sums = (1 - 1 / WINDOW) ** products * self._sums + added
        self._judge()

    def earned(self, confidence: float | None) -> None:
        """Take the confidence, in [0, 1], that the markets of the newer bundle earn less; None where nothing can be
        judged.
        """
        self._money = confidence
        self._judge()

    @property
    def values(self) -> dict[str, float | None]:
        """The present value of each guard; None where it cannot judge."""
        products, moves, states, errors = self._sums.tolist()
        wrong = errors / max(states, 1) if errors >= _LEAST_ERRORS else 0.0
        found = {"price_move": moves / max(products, 1), "errors": wrong, "money": self._money}
        return {name: None if value is None else round(value, 4) for name, value in found.items()}

    def _judge(self) -> None:
        for name, value in self.values.items():
            ready = self._sums[0] >= _LEAST_PRODUCTS_JUDGED or name != "price_move"
            if ready and value is not None and value > LIMITS[name] and self.stopped is None:
                self.stopped = name, f"{MEANINGS[name]}: {value:.3g}, at most {LIMITS[name]:.3g} is allowed"
