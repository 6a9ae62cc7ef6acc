"""Similarity of products by their attributes, which products without sales have too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer

from .recommender import Purchases, Recommender


class ContentBased(Recommender):
    """Scores a product by the similarity of category and name to what the customer buys.

    A product is the tf-idf vector of its category and the words of its name, of length 1; a
    customer is the sum of their products' vectors times log(1 + sale lines) (Pazzani and Billsus
    2007). All of `attributes` are scored, sold or not; a product sold without attributes scores 0.

    Args:
        attributes: canonical products: `product`, `category` and, where known, `name`.

    Example:
        >>> import pandas as pd
        >>> products = pd.DataFrame({"product": ["tea", "mate", "soap"], "category": ["drinks", "drinks", "care"]})
        >>> sales = pd.DataFrame({"customer": ["ann"], "product": ["tea"]})
        >>> ContentBased(products).fit(sales).recommend(["ann"], n=1)["product"].tolist()
        ['mate']
    """

    def __init__(self, attributes: pd.DataFrame):
        self.attributes = attributes

    def _learn(self, purchases: Purchases) -> None:
        self.products_ = purchases.products.union(pd.Index(self.attributes["product"].unique()), sort=True)
        positions = self.products_.get_indexer(purchases.products)
        wide = csr_array(
            (self.purchases_.data, positions[self.purchases_.indices], self.purchases_.indptr),
            shape=(len(purchases.customers), len(self.products_)),
        )
        wide.sort_indices()
        self.purchases_ = wide
        self._vectors = attribute_vectors(self.attributes, self.products_)
        self._tastes = wide.log1p() @ self._vectors

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (self._tastes[rows] @ self._vectors.T).toarray().astype(np.float32)


def attribute_vectors(attributes: pd.DataFrame, products: pd.Index) -> csr_array:
    """Return the tf-idf vectors of products, sparse (products, words), of length 1
    (0 without attributes).

    Raises:
        ValueError: a product has two rows in `attributes`.
    """
    if attributes["product"].duplicated().any():
        raise ValueError(
            f"attributes: a product has one row; got {attributes['product'].duplicated().sum()} rows too many; drop them"
        )
    category = attributes["category"].astype(str)
    words = attributes["name"].fillna("").str.lower().str.split() if "name" in attributes else [[]] * len(attributes)
    # A category is one token, whatever words it is written in.
    tokens = [[f"category={one}", *several] for one, several in zip(category, words, strict=True)]
    by_product = pd.Series(tokens, index=attributes["product"]).reindex(products)
    known = [value if isinstance(value, list) else [] for value in by_product]
    vectorizer: Any = TfidfVectorizer(analyzer=list, dtype=np.float32)  # pyright: ignore[reportArgumentType]
    return csr_array(vectorizer.fit(tokens).transform(known))
