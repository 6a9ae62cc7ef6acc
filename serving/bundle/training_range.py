"""The range of what a policy saw while its market was simulated, and whether a served market leaves it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import Catalogue, feature_names
from .files import RANGE, BundleError

_SLACK = 0.05
ALARM_SHARE, ALARM_ROWS, _MEMORY = 0.05, 100, 1000


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Lowest and highest value of each moving feature, (F,) each, in the order of `names`."""

    names: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def outside(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which features lie beyond the range by more than 5% of its width.

        Args:
            features: (E, N, F or more) of `product_features`, whose first F columns are those of `names`.

        Returns:
            (E, N, F) booleans.
        """
        seen = features[..., : len(self.names)]
        slack = _SLACK * (self.high - self.low) + 1e-4
        return (seen < self.low - slack) | (seen > self.high + slack)


def read_range(document: dict[str, Any], catalogue: Catalogue) -> TrainingRange:
    """The range of a document; BundleError, KeyError or ValueError where it is none."""
    names = tuple(feature_names(catalogue, fixed=False))
    low, high = (np.array(document[key], dtype=np.float64) for key in ("low", "high"))
    if tuple(document["features"]) != names or low.shape != (len(names),) or not (low <= high).all():
        raise BundleError(f"{RANGE} must hold a range of {', '.join(names)}; got another; export it again")
    return TrainingRange(names, low, high)


class DriftAlarm:
    """Share of the last thousand products (or so) that were seen outside the training range, feature by feature.

    It forgets exponentially. The alarm is on where more than `ALARM_SHARE` of at least `ALARM_ROWS` lay outside.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._lock = names, threading.Lock()
        self._rows, self._outside = 0.0, np.zeros(len(names))

    def see(self, outside: NDArray[np.bool_]) -> None:
        """Count markets of products, (E, N, F)."""
        flat = outside.reshape(-1, len(self._names))
        with self._lock:
            kept = (1 - 1 / _MEMORY) ** len(flat)
            self._rows = kept * self._rows + len(flat)
            self._outside = kept * self._outside + flat.sum(axis=0)

    @property
    def shares(self) -> dict[str, float]:
        """Share outside the range by feature."""
        with self._lock:
            return dict(zip(self._names, (self._outside / max(self._rows, 1.0)).round(4).tolist(), strict=True))

    @property
    def alarms(self) -> list[str]:
        """Features that raise the alarm."""
        if self._rows < ALARM_ROWS:
            return []
        return [name for name, share in self.shares.items() if share > ALARM_SHARE]
