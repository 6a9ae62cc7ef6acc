"""Recommenders: fit on sales, score products, list the best.

Popularity and the customer's own purchases are the baselines to beat; EASE^R learns from what all customers bought;
attributes score products without sales too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs
from scipy.sparse import coo_array, csr_array
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from .customer_features import require_columns

_BATCH = 256
# Below one purchase: popular products only follow those that the customer bought.
_FILL = 1e-3


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
            ValueError: `sales` lacks one of these columns, or no line has a customer.
        """
        require_columns(sales, *self.needs)
        purchases = Purchases.of(sales)
        self.customers_ = purchases.customers
        self.products_ = purchases.products
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
        # The best alone are sorted, as there may be thousands of products: by number, and then by score, so that
        # products of equal scores stay in order.
        best = np.sort(np.argpartition(-scores, n - 1, axis=1)[:, :n], axis=1)
        by_score = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, by_score, axis=1)
        columns = {
            "customer": np.repeat(self.customers_[rows], best.shape[1]),
            "rank": np.tile(np.arange(1, best.shape[1] + 1), len(rows)),
            "product": self.products_[best.ravel()],
            "score": np.take_along_axis(scores, best, axis=1).ravel(),
        }
        return pd.DataFrame(columns).loc[np.isfinite(columns["score"])]

    def _rows(self, customers: Sequence[str] | pd.Index) -> NDArray[np.intp]:
        check_is_fitted(self)
        rows = self.customers_.get_indexer(pd.Index(customers))
        if (unknown := rows < 0).any():
            # No customer is named: the message may reach a log.
            must = "customers must have bought something in the sales fitted"
            fix = "leave them out or recommend for their segment"
            raise ValueError(f"{must}; got {unknown.sum()} unknown of {len(rows)}; {fix}")
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
        date = purchases.lines["date"]
        half_life = self.half_life_weeks or np.inf
        weeks_ago = (date.max() - date).dt.days.to_numpy(np.float32) // 7
        self._counts = purchases.total(0.5 ** (weeks_ago / half_life))

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self._counts[rows].toarray() + self._fill


class Ease(Recommender):
    """Embarrassingly shallow autoencoder (Steck 2019): the best linear item-item model,
    in closed form.

    With X the array of log(1 + sale lines), B minimises ‖X - XB‖² + λ‖B‖² under diag(B) = 0: with
    P = (XᵀX + λI)⁻¹, B_ij = -P_ij / P_jj (equation 8). A product scores x·B_j.

    B is dense, 4 bytes x products², and the time grows with products³. Of a larger catalogue, only
    the `max_products` with the most sale lines take part (6,000: .14 GB, and three times that while
    it is fitted).

    Args:
        regularisation: λ, in squared log counts; a larger one relies on strong similarity only.
        max_products: most products in the model.

    Attributes:
        weights_: B, (products, products).

    Example:
        >>> import pandas as pd
        >>> sales = pd.DataFrame({"customer": list("aabbc"), "product": ["tea", "jam", "tea", "jam", "tea"]})
        >>> Ease(regularisation=1.0).fit(sales).recommend(["c"], n=1)["product"].tolist()
        ['jam']
    """

    def __init__(self, *, regularisation: float = 1000.0, max_products: int = 6_000):
        self.regularisation = regularisation
        self.max_products = max_products

    def _learn(self, purchases: Purchases) -> None:
        if not self.regularisation > 0 or self.max_products < 1:
            got = f"{self.regularisation} and {self.max_products}"
            raise ValueError(f"regularisation must be above 0 and max_products 1 or more; got {got}")
        # The most bought, in their usual order.
        chosen = np.sort(np.argsort(-self.purchases_.sum(axis=0), kind="stable")[: self.max_products])
        self.products_ = self.products_[chosen]
        self.purchases_ = self.purchases_[:, chosen]
        self._logs = self.purchases_.log1p()
        self.weights_ = _weights((self._logs.T @ self._logs).toarray(), self.regularisation)

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        # Dense: with hundreds of products per customer, BLAS is faster than a sparse product.
        return self._logs[rows].toarray() @ self.weights_


def _weights(gram: NDArray[np.float32], regularisation: float) -> NDArray[np.float32]:
    """Compute B from XᵀX by Cholesky, in place: a third of the time and memory of a general inverse."""
    gram = np.asfortranarray(gram)
    diagonal = np.diag_indices_from(gram)
    gram[diagonal] += regularisation
    lapack: Any = get_lapack_funcs(("potrf", "potri"), (gram,))
    potrf, potri = lapack
    factor, failed = potrf(gram, lower=True, overwrite_a=True, clean=True)
    if failed:
        raise ValueError("regularisation must make XᵀX + λI positive definite; raise it")
    inverse: Any = potri(factor, lower=True, overwrite_c=True)[0]
    # Only the lower triangle is filled.
    for j in range(len(inverse)):
        inverse[j, j + 1 :] = inverse[j + 1 :, j]
    inverse /= -inverse[diagonal]
    inverse[diagonal] = 0
    return inverse


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
        entries = (self.purchases_.data, positions[self.purchases_.indices], self.purchases_.indptr)
        wide = csr_array(entries, shape=(len(purchases.customers), len(self.products_)))
        wide.sort_indices()
        self.purchases_ = wide
        self._vectors = attribute_vectors(self.attributes, self.products_)
        self._tastes = wide.log1p() @ self._vectors

    def _score(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return (self._tastes[rows] @ self._vectors.T).toarray().astype(np.float32)


def attribute_vectors(attributes: pd.DataFrame, products: pd.Index) -> csr_array:
    """Return the tf-idf vectors of products, sparse (products, words), of length 1.

    A product without attributes has a vector of zeros.

    Raises:
        ValueError: a product has two rows in `attributes`.
    """
    if attributes["product"].duplicated().any():
        must = "attributes: a product has one row"
        raise ValueError(f"{must}; got {attributes['product'].duplicated().sum()} rows too many; drop them")
    category = attributes["category"].astype(str)
    words = attributes["name"].fillna("").str.lower().str.split() if "name" in attributes else [[]] * len(attributes)
    # A category is one token, whatever words it is written in.
    tokens = [[f"category={name}", *own_words] for name, own_words in zip(category, words, strict=True)]
    # NaN where a product has no attributes.
    by_product = pd.Series(tokens, index=attributes["product"]).reindex(products)
    token_lists = [value if isinstance(value, list) else [] for value in by_product]
    vectorizer: Any = TfidfVectorizer(analyzer=list, dtype=np.float32)  # pyright: ignore[reportArgumentType]
    return csr_array(vectorizer.fit(tokens).transform(token_lists))


# Accuracy of recommendations: recall and NDCG on purchases made after the fit.


def recall_at_k(recommended: pd.DataFrame, relevant: pd.DataFrame, *, k: int) -> float:
    """Return the mean share of customers' relevant products among the first `k` recommended.

    The hits of a customer with r relevant products are divided by min(k, r), the most that can be
    reached (as in Liang, Krishnan, Hoffman and Jebara 2018).

    Args:
        recommended: `customer`, `rank` (from 1) and `product`, as `Recommender.recommend` returns.
        relevant: `customer` and `product`, each pair once; the mean is over its customers.
        k: ranks that count.

    Raises:
        ValueError: `relevant` is empty or `k` below 1.

    Example:
        >>> import pandas as pd
        >>> listed = pd.DataFrame({"customer": "ann", "rank": [1, 2, 3], "product": ["tea", "jam", "soap"]})
        >>> bought = pd.DataFrame({"customer": ["ann", "ann"], "product": ["jam", "rice"]})
        >>> recall_at_k(listed, bought, k=3)
        0.5
    """
    possible = _relevant_counts(relevant, k)
    hits = _hits(recommended, relevant, k).groupby("customer").size()
    return float((hits.reindex(possible.index, fill_value=0) / possible).mean())


def ndcg_at_k(recommended: pd.DataFrame, relevant: pd.DataFrame, *, k: int) -> float:
    """Return the customers' mean normalised discounted cumulative gain of the first `k` products.

    A hit at rank r gains 1 / log2(1 + r); the best possible order scores 1 (Järvelin and Kekäläinen
    2002).

    Args:
        recommended: as for `recall_at_k`.
        relevant: as for `recall_at_k`.
        k: ranks that count.

    Raises:
        ValueError: `relevant` is empty or `k` below 1.

    Example:
        >>> import pandas as pd
        >>> listed = pd.DataFrame({"customer": "ann", "rank": [1, 2], "product": ["tea", "jam"]})
        >>> ndcg_at_k(listed, pd.DataFrame({"customer": ["ann"], "product": ["jam"]}), k=2)  # doctest: +ELLIPSIS
        0.63...
    """
    possible = _relevant_counts(relevant, k)
    hits = _hits(recommended, relevant, k)
    gained = (1 / np.log2(1 + hits["rank"])).groupby(hits["customer"]).sum()
    best = np.cumsum(1 / np.log2(1 + np.arange(1, k + 1)))
    return float((gained.reindex(possible.index, fill_value=0.0) / best[possible - 1]).mean())


def rank_on_later_sales(
    recommenders: Mapping[str, Recommender],
    sales: pd.DataFrame,
    *,
    test_from: str | pd.Timestamp,
    k: int = 20,
    min_purchases: int = 1,
    new_only: bool = False,
) -> pd.DataFrame:
    """Fit each model on the sales before a day, and score it on the purchases from that day on.

    All purchases are compared with lists of all products; purchases that are new to the customer
    with lists without what the customer had bought before. Only customers and products that occur
    before `test_from` count, since no purchase-based model can score others. The models are left
    fitted on the earlier sales.

    Args:
        recommenders: models by name.
        sales: canonical sales with customers.
        test_from: first day of the test.
        k: ranks that count.
        min_purchases: least number of sale lines that a customer must have in the test, of products
            that occur before.
        new_only: leave out the lists of all products, which take as long again.

    Returns:
        One row per `model`: `recall`, `ndcg` and the number of `customers` for all purchases;
        `recall_new`, `ndcg_new` and `customers_new` for the new ones (NaN and 0 where none is new).

    Raises:
        ValueError: no customer buys both before and after `test_from`.

    Example:
        >>> import pandas as pd
        >>> from repricer.profiles import Ease
        >>> days = pd.to_datetime(["2024-01-01"] * 5 + ["2024-02-01"])
        >>> sales = pd.DataFrame({"date": days, "customer": list("aabbcc")})
        >>> sales["product"] = ["tea", "jam", "tea", "jam", "tea", "jam"]
        >>> rank_on_later_sales({"ease": Ease(regularisation=1.0)}, sales, test_from="2024-02-01", k=1)["recall_new"]
        model
        ease    1.0
        Name: recall_new, dtype: float64
    """
    require_columns(sales, "customer", "date", "product")
    before = sales["date"] < pd.Timestamp(test_from)
    everything, fresh = _relevant(sales, before, min_purchases)
    if everything.empty:
        raise ValueError(f"sales: no customer to test on; got test_from {test_from}; choose a day between sales")
    rows: dict[str, dict[str, float]] = {}
    for name, recommender in recommenders.items():
        recommender.fit(sales[before])
        rows[name] = {} if new_only else _figures(recommender, everything, k, filter_seen=False, suffix="")
        rows[name] |= _figures(recommender, fresh, k, filter_seen=True, suffix="_new")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _relevant(sales: pd.DataFrame, before: pd.Series, min_purchases: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs of customer and product bought in the test: all of them, and the new ones."""
    pairs = ["customer", "product"]
    earlier = sales.loc[before, pairs].dropna().drop_duplicates()
    later = sales.loc[~before, pairs].dropna()
    # Unique values: `isin` would convert the text of all earlier pairs one by one.
    known = [later[name].isin(earlier[name].unique()) for name in pairs]
    later = later[known[0] & known[1]]
    later = later[later.groupby("customer")["product"].transform("size") >= min_purchases].drop_duplicates()
    seen = pd.MultiIndex.from_frame(later).isin(pd.MultiIndex.from_frame(earlier))
    return later, later[~seen]


def _figures(
    recommender: Recommender, relevant: pd.DataFrame, k: int, *, filter_seen: bool, suffix: str
) -> dict[str, float]:
    customers = pd.Index(relevant["customer"].unique())
    recall = ndcg = np.nan
    if len(customers):
        listed = recommender.recommend(customers, n=k, filter_seen=filter_seen)
        recall = recall_at_k(listed, relevant, k=k)
        ndcg = ndcg_at_k(listed, relevant, k=k)
    return {f"recall{suffix}": recall, f"ndcg{suffix}": ndcg, f"customers{suffix}": len(customers)}


def _relevant_counts(relevant: pd.DataFrame, k: int) -> pd.Series:
    if k < 1 or relevant.empty:
        raise ValueError(f"k must be 1 or more and relevant hold rows; got k {k} and {len(relevant)} rows")
    return relevant.groupby("customer").size().clip(upper=k)


def _hits(recommended: pd.DataFrame, relevant: pd.DataFrame, k: int) -> pd.DataFrame:
    return recommended[recommended["rank"] <= k].merge(relevant, on=["customer", "product"])
