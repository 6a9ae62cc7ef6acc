"""The range of the features in simulation, and an alarm for served markets that leave it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import Catalogue, feature_names
from ...pricing.features import MOST_COVER, feature_constants
from ...pricing.wording import feature_words
from .files import RANGE, BundleError

_SLACK, _LEAST = 0.05, 1e-4
ALARM_SHARE, ALARM_ROWS, _WINDOW = 0.05, 100, 1000


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Lowest and highest value of each feature that changes, (F,) each, in the order of `names`."""

    names: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def unlimited_stock(self) -> bool:
        """Whether stock never limited sales in simulation."""
        return bool(self.low[self.names.index("log_stock_cover")] >= MOST_COVER)

    def most_stock(self, catalogue: Catalogue) -> NDArray[np.float64]:
        """(N,) most units on hand in the first period, with none on order, whose features lie within the range."""
        c, most = feature_constants(catalogue), np.full(catalogue.num_products, np.inf)
        for name, high in zip(self.names, self.high, strict=True):
            if high < MOST_COVER and name.startswith(("log_stock_cover", "log_position_cover", "log_cover[")):
                forecast = c.log_ahead[0] if name == "log_stock_cover" else c.log_now[0]
                most = np.minimum(most, np.expm1(high + forecast))
        return np.maximum(most, 0.0)

    def outside(
        self, features: NDArray[np.float32], *, slack: float = _SLACK, least: float = _LEAST
    ) -> NDArray[np.bool_]:
        """Which features lie beyond the range.

        Args:
            features: (E, N, F or more) of `product_features`, whose first F columns are those of
                `names`.
            slack: Share of its width that they may lie beyond it.
            least: How far they may lie beyond it in any case.

        Returns:
            (E, N, F) booleans.
        """
        seen = features[..., : len(self.names)]
        allowed = slack * (self.high - self.low) + least
        return (seen < self.low - allowed) | (seen > self.high + allowed)

    def warnings(self, outside: NDArray[np.bool_], products: Sequence[str]) -> list[str]:
        """One line for each feature of a market that lies outside the range.

        Args:
            outside: (N, F) booleans, one market of `outside`.
            products: N names.
        """
        said = []
        for f in np.flatnonzero(outside.any(axis=0)):
            where = np.flatnonzero(outside[:, f])
            more = f" and {len(where) - 1} more" if len(where) > 1 else ""
            words = feature_words(self.names[f])
            said.append(f"{words} ({products[where[0]]!r}{more}) lies outside the training range")
        return said


def read_range(document: dict[str, Any], catalogue: Catalogue) -> TrainingRange:
    """The range of a document. Raises BundleError, KeyError or ValueError for a wrong one."""
    names = tuple(feature_names(catalogue, fixed=False))
    low, high = (np.array(document[key], dtype=np.float64) for key in ("low", "high"))
    if tuple(document["features"]) != names or low.shape != (len(names),) or not (low <= high).all():
        raise BundleError(f"{RANGE} must hold a range of {', '.join(names)}; got another; export it again")
    return TrainingRange(names, low, high)


class DriftAlarm:
    """Share of about the last thousand products that were outside the training range, by feature.

    The share is an exponential average. The alarm is on while more than `ALARM_SHARE` of at least
    `ALARM_ROWS` products are outside.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._lock = names, threading.Lock()
        self._rows, self._outside = 0.0, np.zeros(len(names))

    def add(self, outside: NDArray[np.bool_]) -> None:
        """Add markets of products, (E, N, F) booleans."""
        flat = outside.reshape(-1, len(self._names))
        self.count(len(flat), flat.sum(axis=0))

    def count(self, products: int, outside: NDArray[np.int64]) -> None:
        """Add products, and how many of them are outside, (F,)."""
        with self._lock:
            kept = (1 - 1 / _WINDOW) ** products
            self._rows = kept * self._rows + products
            self._outside = kept * self._outside + outside

    def __reduce__(self) -> tuple[type[DriftAlarm], tuple[tuple[str, ...]]]:
        """Another process counts for itself."""
        return DriftAlarm, (self._names,)

    @property
    def shares(self) -> dict[str, float]:
        """Share outside the range, by feature."""
        with self._lock:
            return dict(zip(self._names, (self._outside / max(self._rows, 1.0)).round(4).tolist(), strict=True))

    @property
    def alarms(self) -> list[str]:
        """Features whose alarm is on."""
        if self._rows < ALARM_ROWS:
            return []
        return [name for name, share in self.shares.items() if share > ALARM_SHARE]
