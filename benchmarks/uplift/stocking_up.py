"""Customers who buy more than they use while a product is reduced, and less in the weeks after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .parameters import Array

_EXTRA, _MISSING = (1.5, 4.0), (0.6, 0.95)
_UNNOTICED, _LEAST = 0.05, 0.15
_WHEN = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class StockingUp:
    """How much customers put by, and when they use it.

    Attributes:
        extra: Extra units per unit that would be bought anyway, for each unit of reduction beyond 5%.
        missing: Share of them that is not bought in the three weeks after.

    Example:
        >>> reduction = np.array([[0.25], [0.0], [0.0]])
        >>> StockingUp(2.0, 0.5).units(np.full((3, 1), 100.0), reduction)[0].ravel().round(1).tolist()
        [140.0, 90.0, 94.0]
    """

    extra: float
    missing: float

    @classmethod
    def drawn(cls, random: Generator) -> StockingUp:
        """The customers of a shop."""
        return cls(random.uniform(*_EXTRA), random.uniform(*_MISSING))

    def units(self, wanted: Array, reduction: Array, stored: Array | None = None) -> tuple[Array, Array]:
        """(…, T, n) units bought, and (3, …, n) those that will be missing in each of the weeks that follow.

        Args:
            wanted: (…, T, n) units that would be bought if nobody had any at home.
            reduction: (…, T, n) share of the regular price.
            stored: (3, n) what is missing in the first three weeks; None for nothing.
        """
        batch, products = wanted.shape[:-2], wanted.shape[-1]
        bought, before = np.empty_like(wanted), stored
        stored = np.zeros((len(_WHEN), *batch, products))
        if before is not None:
            stored += before.reshape(len(_WHEN), *(1 for _ in batch), products)
        for week in range(wanted.shape[-2]):
            needed = np.maximum(wanted[..., week, :] - stored[0], _LEAST * wanted[..., week, :])
            extra = self.extra * np.clip(reduction[..., week, :] - _UNNOTICED, 0.0, None) * needed
            bought[..., week, :] = needed + extra
            later = np.stack([share * self.missing * extra for share in _WHEN])
            stored = later + np.concatenate([stored[1:], np.zeros_like(stored[:1])])
        return bought, stored
