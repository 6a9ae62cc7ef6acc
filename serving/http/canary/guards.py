"""The guards of a trial: figures of the newer bundle beside the active one, each with a limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...predictor import PriceAnswer

LIMITS = {"price_move": 0.15, "errors": 0.01, "money": 0.99}
"""The largest allowed value of each guard."""
MEANINGS = {
    "price_move": "mean difference between the prices of the two bundles in the same states, as a share",
    "errors": "share of states that the newer bundle could not price",
    "money": "confidence that its markets earn less than the others, each against its own past",
}


@dataclass(frozen=True)
class GuardRules:
    """How much the guards must have seen before they judge, and how far back they look.

    Attributes:
        window: Products, in about the last of which `price_move` and `errors` judge.
        least_products: From so many on, `price_move` judges.
        least_errors: From so many on, `errors` judges.
        least_markets: Of each arm, from so many on `money` judges; two at least.
        money_decisions: The last decisions before a trial, and of it, that `money` reads: 20,000 take a few seconds.
        money_seconds: Between two looks at what the markets of a newer bundle earn.

    Example:
        >>> GuardRules().least_markets
        10
    """

    window: int = 3_000
    least_products: int = 300
    least_errors: float = 3.0
    least_markets: int = 10
    money_decisions: int = 20_000
    money_seconds: float = 300.0


class Guards:
    """What is known about a newer bundle.

    Args:
        rules: What they judge by.
    """

    def __init__(self, rules: GuardRules) -> None:
        self._lock = threading.Lock()
        self._rules = rules
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
            self._sums = (1 - 1 / self._rules.window) ** products * self._sums + added
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
        wrong = errors / max(states, 1) if errors >= self._rules.least_errors else 0.0
        found = {"price_move": moves / max(products, 1), "errors": wrong, "money": self._money}
        return {name: None if value is None else round(value, 4) for name, value in found.items()}

    def _judge(self) -> None:
        for name, value in self.values.items():
            ready = self._sums[0] >= self._rules.least_products or name != "price_move"
            if ready and value is not None and value > LIMITS[name] and self.stopped is None:
                self.stopped = name, f"{MEANINGS[name]}: {value:.3g}, at most {LIMITS[name]:.3g} is allowed"
