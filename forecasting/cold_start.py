"""Products that a shop has not sold yet: how many units a week, and what they are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data import DataError, Tables, product_weeks, sales_panel
from .models.newcomers import LEAST_PRODUCTS, Newcomers
from .product_vectors import meaning_vectors, nearest, product_texts, word_vectors, words_of

TEXTS = {"words": word_vectors, "meaning": meaning_vectors}
"""How texts become vectors, by name."""
MOST_PRODUCTS = 1000
_WEEKS_ON_SALE = 12
_SHARE_ON_SALE = 0.5
_NEEDED = ("product", "category", "regular_price")


class NewProducts(NamedTuple):
    """What is expected of new products.

    Attributes:
        units: one row per product: `product`, `mean`, and quantiles of a week's units (`q0.1`, `q0.5`, `q0.9`).
        nearest: as `nearest` returns.
        known: established products, with their median `regular_price`.
        weights: how far each table of vectors is used; 0 where it tells nothing beside category and price.
        unseen: words of a new product's texts that no established product has, by product.
    """

    units: pd.DataFrame
    nearest: pd.DataFrame
    known: pd.DataFrame
    weights: dict[str, float]
    unseen: dict[str, list[str]]


def forecast_new(
    tables: Tables, new: pd.DataFrame, *, text: str | None = "words", vectors: pd.DataFrame | None = None
) -> NewProducts:
    """Forecast a week's units of new products at their regular prices, in the week after the tables.

    Args:
        new: `product`, `category`, `regular_price` (currency per unit) and, optionally, `name` and `text`.
        text: of `TEXTS`; None uses no texts.
        vectors: a shop's own, one row per product, known and new (`own_vectors`).

    Raises:
        DataError: a column or the product table is missing, a product is not new or given twice, a price
            is not above 0, or fewer than five products are established.

    Example:
        >>> from repricer.data import load_tables
        >>> forecast_new(load_tables("shop"), pd.read_csv("new.csv", dtype=str)).units  # doctest: +SKIP
    """
    new = _checked(new, tables)
    panel, known = established(tables)
    both = pd.concat([known, new], ignore_index=True)
    texts = product_texts(both)
    blocks = {text: TEXTS[text](texts)} if text else {}
    if vectors is not None:
        shared = int(known["product"].isin(vectors.index).sum())
        if shared < LEAST_PRODUCTS:
            raise DataError(
                f"vectors must be of {LEAST_PRODUCTS} established products or more; got {shared}; check the ids"
            )
        blocks["vectors"] = vectors.reindex(both["product"])
    model = Newcomers(list(blocks.values())).fit(panel)
    week = new.assign(week=model.last_week_ + model.period_, price=new["regular_price"])
    units = model.predict(week, quantiles=(0.1, 0.5, 0.9)).drop(columns="week")
    found = nearest(known, new, list(blocks.values()))
    heard = {word for description in texts[: len(known)] for word in words_of(description)}
    new_texts = texts[len(known) :].items()
    unseen = {product: sorted(set(words_of(description)) - heard) for product, description in new_texts}
    return NewProducts(
        new[["product"]].merge(units, on="product"),
        found,
        known,
        dict(zip(blocks, model.weights_, strict=True)),
        {str(product): words for product, words in unseen.items() if words},
    )


def established(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The weekly panel of the products that a new one is compared with, and these products.

    They came 12 weeks ago or more and were sold in at least half of the weeks since; the best sellers of them.

    Returns:
        Panel, and product table with the median `regular_price`.

    Raises:
        DataError: there is no product table, or too few products are established.
    """
    if tables.products is None:
        raise DataError("new products need the table of products; got sales only; import products too")
    units = sales_panel(tables, list(tables.products["product"]), by_store=False)["units"].sum("store")
    sold = units > 0
    since = sold.sizes["week"] - sold.argmax("week")
    lasts = sold.any("week") & (since >= _WEEKS_ON_SALE) & (sold.sum("week") >= _SHARE_ON_SALE * since)
    lasting = units.sum("week").to_series()[lasts.to_series()]
    if len(lasting) < LEAST_PRODUCTS:
        raise DataError(
            f"new products need {LEAST_PRODUCTS} that sell since {_WEEKS_ON_SALE} weeks, in half of them; got {len(lasting)}; "
            "import a longer history"
        )
    best = lasting.nlargest(MOST_PRODUCTS).index
    products = tables.products[tables.products["product"].isin(best)].reset_index(drop=True)
    panel = product_weeks(tables, products=products)
    price = panel[panel["regular_price"] > 0].groupby("product")["regular_price"].median()
    products = products.assign(regular_price=products["product"].map(price)).dropna(subset=["regular_price"])
    return panel[panel["product"].isin(products["product"])], products


def _checked(new: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    missing = [name for name in _NEEDED if name not in new]
    if missing:
        raise DataError(
            f"new products must have {', '.join(_NEEDED)}; got no {missing[0]} among {', '.join(map(str, new))}; add it"
        )
    prices = pd.to_numeric(new["regular_price"], errors="coerce")
    wrong = ~((prices > 0) & np.isfinite(prices))
    faults: Mapping[str, tuple[pd.Series, str]] = {
        "regular_price must be above 0": (wrong, "regular_price"),
        "product and category must be given": (new["product"].isna() | new["category"].isna(), "product"),
        "a product must be named once": (new["product"].duplicated(), "product"),
        "a product must not have been sold": (new["product"].isin(tables.sales["product"]), "product"),
    }
    for rule, (faulty, column) in faults.items():
        if faulty.any():
            raise DataError(f"new products: {rule}; got {new[column][faulty].iloc[0]!r}; fix or leave out that row")
    if new.empty:
        raise DataError("new products: at least one is needed; got none; add a row")
    kept = new.filter([*_NEEDED, "name", "text"]).reset_index(drop=True)
    texts = {name: kept[name].astype(str) for name in ("product", "category")}
    return kept.assign(**texts, regular_price=prices.to_numpy(float))
