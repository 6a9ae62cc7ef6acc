"""What is popular, and what a customer has always bought: the models that others have to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .recommend import Purchases, Recommender

# Below one purchase, so that the popular only fill up what the customer's own purchases leave open.
_FILL = 1e-3


class Popularity(Recommender):
    """Score a product by the number of customers who bought it: the same for everyone.

    Attributes:
        buyers_: distinct customers of each product.
    """

    def _learn(self, history: Purchases) -> None:
        self.buyers_ = self.purchases_.count_nonzero(axis=0).astype(np.float32)

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return np.tile(self.buyers_, (len(rows), 1))


class OwnFrequency(Recommender):
    """Score a product by how often the customer bought it; what they never bought follows by its popularity.

    A sale line counts 2^(-weeks ago / half-life): habits change, so a late purchase says more about the next.

    Args:
        half_life_weeks: weeks after which a purchase counts half; None counts all alike.
    """

    needs: ClassVar[tuple[str, ...]] = ("customer", "product", "date")

    def __init__(self, *, half_life_weeks: float | None = None):
        self.half_life_weeks = half_life_weeks

    def _learn(self, history: Purchases) -> None:
        if self.half_life_weeks is not None and not self.half_life_weeks > 0:
            raise ValueError(f"half_life_weeks must be above 0, or None; got {self.half_life_weeks}")
        buyers = self.purchases_.count_nonzero(axis=0)
        self._fill = (_FILL * buyers / buyers.max()).astype(np.float32)
        half_life = np.inf if self.half_life_weeks is None else self.half_life_weeks
        self._counts = history.total(0.5 ** (history.weeks_ago() / half_life))

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._counts[rows].toarray() + self._fill
