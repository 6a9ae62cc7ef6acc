"""The interface of every recommender: fit on sales, score products, list the best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .customer_features import require_columns

_BATCH = 256


@dataclass(frozen=True)
class Purchases:
    """Sale lines of named customers, as positions in an index of customers and one of products.

    Attributes:
        customers: sorted.
        products: sorted.
        lines: the L sale lines.
        row: (L,) position of each line's customer.
        column: (L,) position of each line's product.
    """

    customers: pd.Index
    products: pd.Index
    lines: pd.DataFrame
    row: NDArray[np.intp]
    column: NDArray[np.intp]

    @classmethod
    def of(cls, sales: pd.DataFrame) -> Self:
        """Index canonical sales; lines without a customer are ignored.

        Raises:
            ValueError: no line of `sales` has a customer.
        """
        lines = sales[sales["customer"].notna()]
        if lines.empty:
            raise ValueError("sales: a recommender needs lines with a customer; got none; import customer ids")
        row, customers = pd.factorize(lines["customer"], sort=True)
        column, products = pd.factorize(lines["product"], sort=True)
        return cls(customers, products, lines, row, column)

    def most_bought(self, n: int) -> Purchases:
        """Keep all customers, and the `n` products with the most lines."""
        if n >= len(self.products):
            return self
        lines = np.bincount(self.column, minlength=len(self.products))
        chosen = np.sort(np.argsort(-lines, kind="stable")[:n])
        position = np.full(len(self.products), -1)
        position[chosen] = np.arange(n)
        kept = position[self.column] >= 0
        return Purchases(
            self.customers, self.products[chosen], self.lines[kept], self.row[kept], position[self.column[kept]]
        )

    def weeks_ago(self) -> NDArray[np.float32]:
        """Whole weeks from each line to the last date; 0 for the last seven days."""
        date = self.lines["date"]
        return (date.max() - date).dt.days.to_numpy(np.float32) // 7

    def total(self, weight: NDArray[np.floating] | None = None) -> csr_array:
        """Sparse array customers x products: the sum of `weight` over lines, or the number of lines."""
        values = np.ones(len(self.row)) if weight is None else weight
        shape = (len(self.customers), len(self.products))
        # Conversion adds up the entries of one customer and product.
        return coo_array((values.astype(np.float32), (self.row, self.column)), shape=shape).tocsr()


class Recommender(BaseEstimator, ABC):
    """Scores every product for every customer, from what all customers bought.

    A subclass implements `_learn` and `_score`.

    Attributes:
        customers_: Index of the customers fitted, sorted.
        products_: Index of the products scored, sorted; the columns of `scores`.
        purchases_: sparse array customers x `products_`, number of sale lines.

    Example:
        >>> import numpy as np, pandas as pd
        >>> class Alphabetical(Recommender):
        ...     def _learn(self, purchases):
        ...         self.order_ = -np.arange(len(purchases.products), dtype=np.float32)
        ...     def _score(self, rows):
        ...         return np.tile(self.order_, (len(rows), 1))
        >>> sales = pd.DataFrame({"customer": ["ann", "bob"], "product": ["jam", "tea"]})
        >>> Alphabetical().fit(sales).recommend(["ann", "bob"], n=1)["product"].tolist()
        ['tea', 'jam']
    """

    needs: ClassVar[tuple[str, ...]] = ("customer", "product")
    """Columns of the sales that the model requires."""

    customers_: pd.Index
    products_: pd.Index
    purchases_: csr_array

    def fit(self, sales: pd.DataFrame) -> Self:
        """Fit on canonical sales; lines without a customer are ignored.

        Args:
            sales: at least `customer` and `product`; a subclass may need more.

        Raises:
            ValueError: `sales` lacks a column that the model needs, or no line has a customer.
        """
        require_columns(sales, *self.needs)
        purchases = Purchases.of(sales)
        self.customers_, self.products_ = purchases.customers, purchases.products
        self.purchases_ = purchases.total()
        self._learn(purchases)
        return self

    def scores(self, customers: Sequence[str] | pd.Index) -> NDArray[np.float32]:
        """Score all products for each customer.

        Args:
            customers: C customers.

        Returns:
            (C, products) scores in the order of `products_`; higher is better. Only the order
            within a row has a meaning, as models differ in scale.

        Raises:
            ValueError: a customer has no purchase in the sales fitted.
        """
        return self._score(self._rows(customers))

    def recommend(self, customers: Sequence[str] | pd.Index, *, n: int, filter_seen: bool = True) -> pd.DataFrame:
        """List the `n` best products of each customer.

        Args:
            customers: C customers.
            n: products per customer, at least 1; fewer are returned where fewer are left.
            filter_seen: leave out what the customer has already bought.

        Returns:
            `customer`, `rank` (from 1), `product` and `score`, in the order of `customers` and by
            rank.

        Raises:
            ValueError: `n` is below 1, or a customer has no purchase in the sales fitted.
        """
        if n < 1:
            raise ValueError(f"n must be 1 or more; got {n}; ask for at least one product")
        rows = self._rows(customers)
        return pd.concat([self._best(rows[part], n, filter_seen) for part in batches(len(rows))], ignore_index=True)

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
            # No customer is named: the message may reach a log.
            raise ValueError(
                f"customers must have bought something in the sales fitted; got {unknown.sum()} unknown of {len(rows)}; "
                "leave them out or recommend for their segment"
            )
        return rows

    @abstractmethod
    def _learn(self, purchases: Purchases) -> None:
        """Learn from the sale lines."""

    @abstractmethod
    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Score all products for the customers at `rows`, as a new array."""


def batches(n_customers: int) -> Iterator[slice]:
    """Split customers into parts whose dense scores of all products fit in memory."""
    return (slice(start, start + _BATCH) for start in range(0, max(n_customers, 1), _BATCH))
