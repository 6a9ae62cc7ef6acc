"""What is known of a customer and a product together: the inputs of the blend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array

from .recommend import Purchases, Recommender

_HALF_LIVES = (3, 10, 30)
_DEMAND_WEEKS = 4
_STORE_WEEKS = 16
Columns = dict[str, NDArray[Any]]


class PairFeatures:
    """Features of pairs of customer and product, from the sale lines before one day.

    Counts are given per week or over a fixed number of weeks, so that they mean the same whatever the length of the
    history: the blend learns on a shorter one than it scores with. What the sales do not hold leaves its features out.

    Args:
        history: the sale lines.
        end: the last day of the history.
        taste: recommender fitted on the history, over its products; gives the candidates and their taste scores.
        second_taste: another one, whose scores are features as well.
        categories: product -> category, or None.
        segments: customer -> segment, or None.
        demand: product -> units expected per week, or None; where it says nothing, the mean of the last four weeks.
    """

    def __init__(
        self,
        history: Purchases,
        end: pd.Timestamp,
        taste: Recommender,
        second_taste: Recommender,
        *,
        categories: pd.Series | None,
        segments: pd.Series | None,
        demand: pd.Series | None,
    ):
        self._taste, self._second_taste = taste, second_taste
        self.counts = history.total()
        self._age = history.weeks_ago(end)
        self._weeks = float(self._age.max() + 1)
        self._pairs = self._own_pairs(history)
        self._own = self._own_features()
        self._product = self._product_features(history, demand)
        self._customer = self._customer_features(history)
        self._learn_prices(history)
        self._learn_categories(history, categories)
        self._learn_stores(history)
        self._learn_segments(history, segments)

    def bought(self, rows: NDArray[np.intp], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Columns]:
        """The products that each customer of `rows` has bought, `most` of them at most, the recently frequent first.

        Returns positions in `rows`, positions of products, and the features of each pair.
        """
        start, end = self.counts.indptr[rows], self.counts.indptr[rows + 1]
        i = np.repeat(np.arange(len(rows)), end - start)
        at = np.arange(len(i)) + np.repeat(start - np.r_[0, np.cumsum(end - start)[:-1]], end - start)
        order = np.lexsort((-self._own["decayed_10"][at], i))
        first = np.repeat(np.r_[0, np.cumsum(end - start)[:-1]], end - start)
        kept = np.sort(order[np.arange(len(i)) - first < most])
        i, at = i[kept], at[kept]
        p = self.counts.indices[at].astype(np.intp)
        scores = self._taste._score(rows)
        second = self._second_taste._score(rows)
        own = {name: values[at] for name, values in self._own.items()}
        return i, p, {"taste": scores[i, p], "second_taste": second[i, p]} | own | self._shared(rows, i, p)

    def candidates(self, rows: NDArray[np.intp], n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Columns]:
        """The `n` products of the best taste score that each customer has not bought; returns as `bought`."""
        scores = self._taste._score(rows)
        scores[self.counts[rows].nonzero()] = -np.inf
        n = min(n, scores.shape[1])
        best = np.argpartition(-scores, n - 1, axis=1)[:, :n]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        value = np.take_along_axis(scores, best, axis=1)
        i = np.repeat(np.arange(len(rows)), n)
        known = np.isfinite(value.ravel())
        mean = np.where(np.isfinite(value), value, 0).mean(axis=1)
        p = best.ravel()
        second = np.take_along_axis(self._second_taste._score(rows), best, axis=1)
        second_mean = np.abs(second).mean(axis=1)
        columns = {
            "taste": value.ravel(),
            "taste_rank": np.tile(np.arange(n, dtype=np.float32), len(rows)),
            "taste_relative": value.ravel() / np.maximum(mean[i], 1e-6),
            "taste_level": mean[i],
            "second_taste": second.ravel(),
            "second_taste_relative": second.ravel() / np.maximum(second_mean[i], 1e-6),
        }
        columns = {name: column[known] for name, column in columns.items()}
        i, p = i[known], p[known]
        return i, p, columns | self._shared(rows, i, p)

    def _shared(self, rows: NDArray[np.intp], i: NDArray[np.intp], p: NDArray[np.intp]) -> Columns:
        u = rows[i]
        columns = {name: values[p] for name, values in self._product.items()}
        columns |= {name: values[u] for name, values in self._customer.items()}
        if self._price is not None:
            columns |= {"price": self._price[p], "relative_price": self._price[p] - self._usual_price[u]}
        if self._category is not None:
            group = self._category[p]
            columns |= {name: table[rows].toarray()[i, group] for name, table in self._tastes.items()}
            columns |= {name: values[p] for name, values in self._within.items()}
            columns["category_expected"] = columns["category_recent"] * columns["share_of_category_recent"]
        if self._visits is not None:
            reach = (self._visits[rows] @ self._sold).toarray()[i, p]
            columns |= {"store_share": reach, "store_lift": np.log((reach + 0.002) / (self._reach[p] + 0.002))}
        if self._segment is not None:
            columns["segment_lift"] = self._lift[self._segment[u], p]
        return columns

    def _own_pairs(self, history: Purchases) -> pd.DataFrame:
        """A row for each pair in the order of the sparse counts: first, last week and number of weeks bought in."""
        lines = pd.DataFrame({"row": history.row, "column": history.column, "age": self._age}).drop_duplicates()
        ages = lines.groupby(["row", "column"], sort=True)["age"].agg(["min", "max", "size"]).reset_index()
        for half_life in _HALF_LIVES:
            ages[f"decayed_{half_life}"] = history.total(0.5 ** (self._age / half_life)).data
        return ages

    def _own_features(self) -> Columns:
        pairs = self._pairs
        gap = (pairs["max"] - pairs["min"]) / (pairs["size"] - 1).clip(lower=1)
        columns = {
            "lines_per_week": self.counts.data / self._weeks,
            "weeks_since_last": pairs["min"],
            "weeks_since_first": pairs["max"],
            "weeks_bought_share": pairs["size"] / self._weeks,
            "due": pairs["min"] / gap.clip(lower=0.5),
            **{name: pairs[name] for name in (f"decayed_{h}" for h in _HALF_LIVES)},
        }
        return {name: np.asarray(values, np.float32) for name, values in columns.items()}

    def _product_features(self, history: Purchases, demand: pd.Series | None) -> Columns:
        pairs, n = self._pairs, len(history.products)

        def count(chosen: pd.Series) -> NDArray[np.float32]:
            return np.bincount(pairs["column"][chosen], minlength=n).astype(np.float32)

        units = history.lines["units"].to_numpy() if "units" in history.lines else np.ones(len(history.row))
        recent = self._age < _DEMAND_WEEKS
        expected = np.bincount(history.column[recent], weights=units[recent], minlength=n) / _DEMAND_WEEKS
        if demand is not None:
            handed = demand.reindex(history.products).to_numpy(dtype=np.float64)
            expected = np.where(np.isnan(handed), expected, handed)
        buyers = count(pairs["size"] > 0)
        columns = {
            "demand": np.log1p(expected),
            "buyers_per_week": buyers / self._weeks,
            **{f"buyers_{weeks}": count(pairs["min"] < weeks) for weeks in (2, 4, 8)},
            **{f"new_buyers_{weeks}": count(pairs["max"] < weeks) for weeks in (4, 8)},
            "product_lines_per_week": self.counts.sum(axis=0) / self._weeks,
            "repeat_rate": count(pairs["size"] > 1) / np.maximum(buyers, 1),
        }
        return {name: np.asarray(values, np.float32) for name, values in columns.items()}

    def _customer_features(self, history: Purchases) -> Columns:
        pairs, n = self._pairs, len(history.customers)
        recent = np.bincount(history.row[self._age < 8], minlength=n)
        new = np.bincount(pairs["row"][pairs["max"] < 8], minlength=n)
        columns = {
            "customer_lines_per_week": self.counts.sum(axis=1) / self._weeks,
            "customer_products_per_week": np.diff(self.counts.indptr) / self._weeks,
            "customer_lines_8": recent,
            "customer_new_products_8": new,
        }
        return {name: np.asarray(values, np.float32) for name, values in columns.items()}

    def _learn_prices(self, history: Purchases) -> None:
        self._price = None
        if "price_paid" not in history.lines:
            return
        paid = pd.Series(history.lines["price_paid"].to_numpy()).groupby(history.column).median()
        price = paid.clip(lower=0.01).reindex(range(len(history.products)))
        self._price = np.log(price.fillna(price.median()).to_numpy(np.float32))
        logs = self.counts @ self._price
        self._usual_price = logs / np.maximum(self.counts.sum(axis=1), 1)

    def _learn_categories(self, history: Purchases, categories: pd.Series | None) -> None:
        self._category = None
        if categories is None:
            return
        group = pd.factorize(categories.reindex(history.products).fillna(""))[0]
        self._category = group
        n = len(group)
        member = coo_array((np.ones(n, np.float32), (np.arange(n), group))).tocsr()
        recent = history.total(0.5 ** (self._age / 10))
        lines = self.counts @ member
        products = self.counts.sign() @ member
        self._tastes: dict[str, Any] = {
            "category_lines": lines / self._weeks,
            "category_recent": recent @ member,
            "category_products": products / self._weeks,
            "category_share": lines.multiply(1 / np.maximum(self.counts.sum(axis=1), 1)[:, None]).tocsr(),
        }
        total, late, buyers = self.counts.sum(axis=0), self._product["buyers_8"], self.counts.count_nonzero(axis=0)
        self._within = {
            "share_of_category": total / np.maximum(member.T @ total, 1)[group],
            "share_of_category_recent": late / np.maximum(member.T @ late, 1)[group],
            "share_of_category_buyers": buyers / np.maximum(lines.count_nonzero(axis=0), 1)[group],
        }

    def _learn_stores(self, history: Purchases) -> None:
        self._visits = None
        if "store" not in history.lines or history.lines["store"].isna().all():
            return
        store, names = pd.factorize(history.lines["store"])
        known, recent = store >= 0, self._age < _STORE_WEEKS
        visits = coo_array(
            (np.ones(known.sum(), np.float32), (history.row[known], store[known])),
            shape=(len(history.customers), len(names)),
        ).tocsr()
        self._visits = visits.multiply(1 / np.maximum(visits.sum(axis=1), 1)[:, None]).tocsr().astype(np.float32)
        part = pd.DataFrame({"store": store, "row": history.row, "column": history.column})[known & recent]
        part = part.drop_duplicates()
        customers = part.groupby("store")["row"].nunique().reindex(range(len(names)), fill_value=0).to_numpy() + 1
        weight = (1 / customers[part["store"]]).astype(np.float32)
        shape = (len(names), len(history.products))
        self._sold = coo_array((weight, (part["store"], part["column"])), shape=shape).tocsr()
        buyers = part[["row", "column"]].drop_duplicates()["column"]
        self._reach = np.bincount(buyers, minlength=len(history.products)) / len(history.customers)

    def _learn_segments(self, history: Purchases, segments: pd.Series | None) -> None:
        self._segment = None
        if segments is None:
            return
        # Customers without a segment are one of their own.
        segment = pd.factorize(segments.reindex(history.customers))[0] + 1
        self._segment = segment
        n = len(segment)
        member = coo_array((np.ones(n, np.float32), (segment, np.arange(n)))).tocsr()
        bought = self.counts.sign()
        share = (member @ bought).toarray() / np.maximum(np.bincount(segment), 1)[:, None]
        self._lift = np.log((share + 1e-3) / (bought.sum(axis=0) / n + 1e-3)).astype(np.float32)
