"""Item-item nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from .recommender import Purchases, Recommender

_WEIGHTINGS = ("cosine", "tf-idf", "bm25")


class ItemItem(Recommender):
    """Scores a product by its similarity to the products that a customer buys.

    Sarwar, Karypis, Konstan and Riedl (2001). The package `implicit` computes the similarities from
    log(1 + sale lines). A product's score is the sum, over the customer's products, of log(1 + sale
    lines) times their similarity to it.

    Args:
        neighbours: products that contribute to the score of a product.
        weighting: how customers are weighted before similarities are taken: `cosine` (all alike),
            `tf-idf` or `bm25` (those who buy many products count less).

    Attributes:
        similarity_: sparse array, products bought x products scored, 0 on the diagonal.

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({"customer": list("aabbc"), "product": ["tea", "jam", "tea", "jam", "tea"]})
        >>> ItemItem().fit(sales).recommend(["c"], n=1)["product"].tolist()
        ['jam']
    """

    def __init__(self, *, neighbours: int = 50, weighting: str = "cosine"):
        self.neighbours = neighbours
        self.weighting = weighting

    def _learn(self, purchases: Purchases) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be 1 or more; got {self.neighbours}; ask for at least one")
        if self.weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(_WEIGHTINGS)}; got {self.weighting!r}")
        self._weights = self.purchases_.log1p()
        implicit = _implicit()
        # A product is its own nearest neighbour, which is not counted.
        model = implicit.ItemItemRecommender(K=self.neighbours + 1)
        model.fit(_by_customer(self._weights, self.weighting, implicit), show_progress=False)
        similarity = csr_array(model.similarity.T, dtype=np.float32)
        similarity.setdiag(0.0)
        similarity.eliminate_zeros()
        self.similarity_ = similarity

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (self._weights[rows] @ self.similarity_).toarray()


def _by_customer(weights: csr_array, weighting: str, implicit: Any) -> csr_matrix:
    """Weight the customers (rows) and scale every product to length 1; BM25 stays as it is."""
    by_product = csr_matrix(weights.T)
    if weighting == "bm25":
        return csr_matrix(implicit.bm25_weight(by_product, K1=1.2, B=0.75).T)
    weighted = implicit.tfidf_weight(by_product) if weighting == "tf-idf" else by_product
    return csr_matrix(implicit.normalize(weighted).T)


def _implicit() -> Any:
    try:
        from implicit import nearest_neighbours
    except ImportError as error:
        raise ImportError(
            "implicit is not installed; install the extra it belongs to: pip install 'repricer[train]'"
        ) from error
    return nearest_neighbours
