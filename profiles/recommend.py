"""Which products a customer, or a segment of customers, is likely to want."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, vstack
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .features import require_columns

_BATCH = 256
_PRODUCTS_AT_ONCE = 500


class Recommender(BaseEstimator, ABC):
    """Score every product for every customer from what all customers bought.

    A model learns in `_learn` and scores in `_score`; the rest is the same for all of them.

    Attributes:
        customers_: Index of the customers fitted, sorted.
        products_: Index of the products fitted, sorted; the columns of `scores`.
        purchases_: sparse array customers x products, number of sale lines.
    """

    customers_: pd.Index
    products_: pd.Index
    purchases_: csr_array

    def fit(self, sales: pd.DataFrame) -> Self:
        """Fit on canonical sales; lines without a customer are passed over.

        Raises:
            ValueError: `sales` has no column `customer`, or names no customer at all.
        """
        require_columns(sales, "customer", "product")
        lines = sales[["customer", "product"]].dropna()
        if lines.empty:
            raise ValueError("sales: a recommender needs lines with a customer; got none; import customer ids")
        rows, self.customers_ = pd.factorize(lines["customer"], sort=True)
        columns, self.products_ = pd.factorize(lines["product"], sort=True)
        shape = (len(self.customers_), len(self.products_))
        # Conversion adds up the entries of one customer and product.
        self.purchases_ = coo_array((np.ones(len(lines), np.float32), (rows, columns)), shape=shape).tocsr()
        self._learn(self.purchases_)
        return self

    def scores(self, customers: Sequence[str] | pd.Index) -> NDArray[np.float32]:
        """Score all products for `customers`: array customers x `products_`, more is better.

        Only the order of a row has a meaning; models differ in scale.

        Raises:
            ValueError: a customer has no purchase in the sales fitted.
        """
        return self._score(self._rows(customers))

    def recommend(self, customers: Sequence[str] | pd.Index, *, n: int, filter_seen: bool = True) -> pd.DataFrame:
        """List the `n` best products of each customer.

        Args:
            customers: whom to recommend to.
            n: products a customer, at least 1; fewer come back where fewer are left.
            filter_seen: leave out what the customer has already bought.

        Returns:
            Columns `customer`, `rank` (from 1), `product` and `score`, by customer as given and rank.

        Raises:
            ValueError: `n` is below 1, or a customer has no purchase in the sales fitted.
        """
        if n < 1:
            raise ValueError(f"n must be 1 or more; got {n}; ask for at least one product")
        rows = self._rows(customers)
        return pd.concat([self._best(rows[part], n, filter_seen) for part in _batches(len(rows))], ignore_index=True)

    def _best(self, rows: NDArray[np.intp], n: int, filter_seen: bool) -> pd.DataFrame:
        scores = self._score(rows)
        if filter_seen:
            scores[self.purchases_[rows].nonzero()] = -np.inf
        n = min(n, scores.shape[1])
        best = np.sort(np.argpartition(-scores, n - 1, axis=1)[:, :n], axis=1)
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        table = pd.DataFrame(
            {
                "customer": np.repeat(self.customers_[rows], n),
                "rank": np.tile(np.arange(1, n + 1), len(rows)),
                "product": self.products_[best.ravel()],
                "score": np.take_along_axis(scores, best, axis=1).ravel(),
            }
        )
        return table[np.isfinite(table["score"])]

    def _rows(self, customers: Sequence[str] | pd.Index) -> NDArray[np.intp]:
        check_is_fitted(self)
        rows = self.customers_.get_indexer(pd.Index(customers))
        if (unknown := rows < 0).any():
            raise ValueError(
                f"customers must have bought something in the sales fitted; got {unknown.sum()} unknown, the first "
                f"{pd.Index(customers)[unknown][0]!r}; leave them out or recommend for their segment"
            )
        return rows

    @abstractmethod
    def _learn(self, purchases: csr_array) -> None:
        """Learn from the sparse counts customers x products."""

    @abstractmethod
    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Score all products for the customers at `rows`, as a new array."""


class Popularity(Recommender):
    """Score a product by the number of customers who bought it: the same for everyone.

    Attributes:
        buyers_: distinct customers of each product.
    """

    def _learn(self, purchases: csr_array) -> None:
        self.buyers_ = purchases.count_nonzero(axis=0).astype(np.float32)

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return np.tile(self.buyers_, (len(rows), 1))


class ItemItem(Recommender):
    """Score a product by its likeness to what the customer buys: nearest neighbours among products.

    With x_i the column of product i in the array of log(1 + sale lines), the likeness of i and j is the
    cosine with shrinkage, x_i · x_j / (‖x_i‖ ‖x_j‖ + shrinkage), kept for the nearest `neighbours` of each j and
    0 elsewhere; a product's score is the sum of its likeness to each product bought, times that product's
    log(1 + lines) (Sarwar, Karypis, Konstan, Riedl 2001; shrinkage as in Bell and Koren 2007).

    Args:
        neighbours: products that a product's score draws on.
        shrinkage: holds down likeness that rests on few buyers, in squared log counts.

    Attributes:
        likeness_: sparse array products bought x products scored.
    """

    def __init__(self, *, neighbours: int = 50, shrinkage: float = 20.0):
        self.neighbours = neighbours
        self.shrinkage = shrinkage

    def _learn(self, purchases: csr_array) -> None:
        if self.neighbours < 1 or self.shrinkage < 0:
            raise ValueError(
                f"neighbours must be 1 or more and shrinkage 0 or more; got {self.neighbours} and {self.shrinkage}"
            )
        self._weights = purchases.log1p()
        by_product = self._weights.T.tocsr()
        norms = np.sqrt(by_product.power(2).sum(axis=1))
        nearest = []
        for start in range(0, len(norms), _PRODUCTS_AT_ONCE):
            block = slice(start, start + _PRODUCTS_AT_ONCE)
            likeness = by_product[block] @ self._weights
            own = start + np.repeat(np.arange(likeness.shape[0]), np.diff(likeness.indptr))
            likeness.data /= norms[own] * norms[likeness.indices] + self.shrinkage
            likeness.data[own == likeness.indices] = 0
            nearest.append(_largest(likeness, self.neighbours))
        self.likeness_ = vstack(nearest, format="csr").T.tocsr()

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (self._weights[rows] @ self.likeness_).toarray()


def segment_affinity(recommender: Recommender, labels: pd.Series, products: Sequence[str] | pd.Index) -> pd.DataFrame:
    """Average the scores of a segment's customers: DataFrame segments x `products`, more is better.

    Args:
        recommender: fitted.
        labels: customer -> segment, such as `Segmentation.labels_`.
        products: the products of the market.

    Raises:
        ValueError: a product or a customer is not in the sales that `recommender` was fitted on.
    """
    check_is_fitted(recommender)
    wanted = pd.Index(products, name="product")
    columns = recommender.products_.get_indexer(wanted)
    if (unknown := columns < 0).any():
        raise ValueError(
            f"products must occur in the sales fitted; got {unknown.sum()} unknown, the first "
            f"{wanted[unknown][0]!r}; choose among `products_`"
        )
    scores = [recommender.scores(labels.index[part])[:, columns] for part in _batches(len(labels))]
    affinity = pd.DataFrame(np.concatenate(scores), columns=wanted).groupby(labels.to_numpy()).mean()
    return affinity.rename_axis("segment")


def segment_candidates(affinity: pd.DataFrame, n: int) -> pd.DataFrame:
    """Mark the `n` products of highest affinity in each segment: booleans segments x products.

    Of products alike in affinity the first wins, so that every segment has exactly `n`.

    Raises:
        ValueError: `n` is not between 1 and the number of products.
    """
    if not 1 <= n <= affinity.shape[1]:
        raise ValueError(f"n must lie between 1 and the {affinity.shape[1]} products; got {n}")
    return affinity.rank(axis="columns", method="first", ascending=False) <= n


def _batches(n_customers: int) -> Iterator[slice]:
    """Cut customers into parts, whose dense scores over all products fit in memory."""
    return (slice(start, start + _BATCH) for start in range(0, max(n_customers, 1), _BATCH))


def _largest(table: csr_array, n: int) -> csr_array:
    """Keep the `n` largest entries of each row of `table`."""
    kept = [
        start + (np.argpartition(-table.data[start:end], n - 1)[:n] if end - start > n else np.arange(end - start))
        for start, end in itertools.pairwise(table.indptr)
    ]
    bounds = np.r_[0, np.minimum(np.diff(table.indptr), n).cumsum()]
    chosen = np.concatenate(kept)
    return csr_array((table.data[chosen], table.indices[chosen], bounds), shape=table.shape)
