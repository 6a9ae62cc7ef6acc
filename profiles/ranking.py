"""Accuracy of recommendations: recall and NDCG on purchases made after the fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .customer_features import require_columns
from .recommenders import Recommender


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
    rows = {}
    for name, recommender in recommenders.items():
        recommender.fit(sales[before])
        rows[name] = {
            **({} if new_only else _figures(recommender, everything, k, filter_seen=False, suffix="")),
            **_figures(recommender, fresh, k, filter_seen=True, suffix="_new"),
        }
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
        recall, ndcg = recall_at_k(listed, relevant, k=k), ndcg_at_k(listed, relevant, k=k)
    return {f"recall{suffix}": recall, f"ndcg{suffix}": ndcg, f"customers{suffix}": len(customers)}


def _relevant_counts(relevant: pd.DataFrame, k: int) -> pd.Series:
    if k < 1 or relevant.empty:
        raise ValueError(f"k must be 1 or more and relevant hold rows; got k {k} and {len(relevant)} rows")
    return relevant.groupby("customer").size().clip(upper=k)


def _hits(recommended: pd.DataFrame, relevant: pd.DataFrame, k: int) -> pd.DataFrame:
    return recommended[recommended["rank"] <= k].merge(relevant, on=["customer", "product"])
