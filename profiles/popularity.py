"""Popularity and the customer's own purchases: the baselines to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .recommender import Purchases, Recommender

# Below one purchase: popular products only follow those that the customer bought.
_FILL = 1e-3


class Popularity(Recommender):
    """Scores a product by the number of customers who bought it, the same for everyone.

    Attributes:
        buyers_: (products,) distinct customers of each product.

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({"customer": list("aabbc"), "product": ["tea", "jam", "tea", "jam", "tea"]})
        >>> Popularity().fit(sales).recommend(["c"], n=2, filter_seen=False)["product"].tolist()
        ['tea', 'jam']
    """

    def _learn(self, purchases: Purchases) -> None:
        self.buyers_ = self.purchases_.count_nonzero(axis=0).astype(np.float32)

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return np.tile(self.buyers_, (len(rows), 1))


class OwnFrequency(Recommender):
    """Scores a product by how often the customer bought it, and the others by popularity.

    A sale line counts 2^(-weeks ago / half-life): habits change, so recent purchases say more about
    the next.

    Args:
        half_life_weeks: weeks after which a purchase counts half; None: all count alike.

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({
        ...     "date": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-03-01"]),
        ...     "customer": "ann",
        ...     "product": ["tea", "tea", "jam"],
        ... })
        >>> recent = OwnFrequency(half_life_weeks=2).fit(sales)
        >>> recent.recommend(["ann"], n=2, filter_seen=False)["product"].tolist()
        ['jam', 'tea']
    """

    needs: ClassVar[tuple[str, ...]] = ("customer", "product", "date")

    def __init__(self, *, half_life_weeks: float | None = None):
        self.half_life_weeks = half_life_weeks

    def _learn(self, purchases: Purchases) -> None:
        if self.half_life_weeks is not None and not self.half_life_weeks > 0:
            raise ValueError(f"half_life_weeks must be above 0, or None; got {self.half_life_weeks}")
        buyers = self.purchases_.count_nonzero(axis=0)
        self._fill = (_FILL * buyers / buyers.max()).astype(np.float32)
        half_life = np.inf if self.half_life_weeks is None else self.half_life_weeks
        self._counts = purchases.total(0.5 ** (purchases.weeks_ago() / half_life))

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._counts[rows].toarray() + self._fill
