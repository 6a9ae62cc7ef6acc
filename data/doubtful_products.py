"""Stores that stand still, products that got a new id, and two packs under one id: they are named, and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from .weeks import Weeks

_CLOSED_WEEKS = 4
"""Weeks without a sale after which a store is taken for closed."""
_OPEN = 0.8
"""What sells in at least this share of the weeks in which it could counts as sold throughout."""
_GAP = 3
"""A new id begins at most so many weeks after the old one ends."""
_ID_WEEKS = 8
"""A product must sell in so many weeks before it is taken for an earlier one, or for two packs under one id."""
_ALIKE_PRICES = 0.01
"""Without names, prices of the two differ by this share at most."""
_VOLUME = 2.0
"""Without names, units a week differ by this factor at most."""
_TWO_PACK_RATIO = 1.4
"""Two prices of a week with this ratio are those of two packs."""
_TWO_PACK_WEEKS = 0.6
"""They are found in this share of the weeks with several lines."""
_STABLE = 0.1
"""Both stay within this share of their median."""
_FEWER = 0.2
"""Either has this share of the lines at least."""
NAMED = 3
"""Products or stores that a sentence names of many."""


def doubtful_products(sales: pl.LazyFrame, products: pl.LazyFrame | None = None) -> list[str]:
    """A sentence on closed stores, one on products that got a new id, and one on ids of two packs.

    Args:
        sales: Canonical sale lines.
        products: Canonical products, whose category and name tell which id follows which.

    Example:
        >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 6, 30), "1w", eager=True).cast(pl.Datetime)
        >>> rows = pl.LazyFrame({"date": [d for d in days for _ in "ab"], "price_paid": [2.0, 5.0] * len(days)})
        >>> doubtful_products(rows.with_columns(product=pl.lit("milk"), units=1.0))[0].split("; ")[0]
        'two price levels in the same weeks under one id: milk (2 and 5)'
    """
    sold = sales.filter(pl.col("units") > 0).with_columns(pl.col("product").cast(pl.String))
    weeks = Weeks.of(sold)
    sold = sold.with_columns(week=weeks.number(pl.col("date")))
    return [*_closed_stores(sold, weeks), *_new_ids(sold, products, weeks), *_two_packs(sold)]


def _closed_stores(sold: pl.LazyFrame, weeks: Weeks) -> Iterator[str]:
    """A sentence on the stores that sell nothing for weeks in which most others sell."""
    if "store" not in sold.collect_schema():
        return
    rows = sold.drop_nulls("store").select(pl.col("store").cast(pl.String), "week").unique()
    rows = rows.collect(engine="streaming")
    stores = rows["store"].n_unique()
    busy = rows.group_by("week").len().filter(2 * pl.col("len") >= stores)["week"].sort()
    if stores < 2 or busy.is_empty():
        return
    place = {week: number for number, week in enumerate(busy)}
    named = []
    for (store,), own in (
        rows.filter(pl.col("week").is_in(busy.implode())).sort("store").group_by("store", maintain_order=True)
    ):
        at = sorted(place[week] for week in own["week"])
        ends = [*at[1:], len(busy)]
        still, before = max((end - start - 1, start) for start, end in zip(at, ends, strict=True))
        elsewhere = len(busy) - at[0] - still
        if still >= _CLOSED_WEEKS and len(at) >= _OPEN * elsewhere:
            named.append(f"{store} ({still} weeks from {weeks.first_day(busy[before + 1]):%Y-%m-%d})")
    if named:
        yield (
            f"stores that sell nothing for weeks while most others sell: {_listed(named)}; they are taken to have been closed: "
            "add these sales if they are missing, and leave out stores that are closed for good"
        )


def _new_ids(sold: pl.LazyFrame, products: pl.LazyFrame | None, weeks: Weeks) -> Iterator[str]:
    """A sentence on the products that end where another one of their category and name begins."""
    columns = [] if products is None else products.collect_schema().names()
    if products is None or "category" not in columns:
        return
    usual = {"price": pl.col("price_paid").median(), "units": pl.col("units").sum()}
    spans = sold.group_by("product").agg(
        first=pl.col("week").min(), last=pl.col("week").max(), weeks=pl.col("week").n_unique(), **usual
    )
    name = (
        pl.col("name").cast(pl.String).str.strip_chars().str.to_lowercase()
        if "name" in columns
        else pl.lit(None, pl.String)
    )
    listed = products.select(pl.col("product").cast(pl.String), pl.col("category").cast(pl.String), name=name)
    dense = pl.col("weeks") >= _OPEN * (pl.col("last") - pl.col("first") + 1)
    # A name that many products share is that of a kind.
    kind = (pl.len().over("category", "name") > 2) & pl.col("name").is_not_null()
    named = listed.unique("product").filter(~kind)
    rows = spans.filter((pl.col("weeks") >= _ID_WEEKS) & dense).join(named, on="product")
    both = rows.join(rows, on="category", suffix="_new")
    wait = pl.col("first_new") - pl.col("last")
    nameless = pl.col("name").is_null() & pl.col("name_new").is_null()
    same_price = (pl.col("price_new") / pl.col("price") - 1).abs() <= _ALIKE_PRICES
    sales = (pl.col("units_new") / pl.col("weeks_new")) / (pl.col("units") / pl.col("weeks"))
    alike = (pl.col("name") == pl.col("name_new")) | (nameless & same_price & sales.is_between(1 / _VOLUME, _VOLUME))
    found = both.filter(wait.is_between(1, _GAP) & alike).sort("product", "product_new").collect()
    named = [
        f"{row['product']} ends and {row['product_new']} begins in the week from {weeks.first_day(row['first_new']):%Y-%m-%d}"
        for row in found.unique("product", keep="first", maintain_order=True).iter_rows(named=True)
    ]
    if named:
        yield (
            f"products that may have got a new id: {_listed(named)}; give both the same id, else the new one has no past and "
            "the old one no future"
        )


def _two_packs(sold: pl.LazyFrame) -> Iterator[str]:
    """A sentence on the products that are sold at two prices far apart in most weeks, in the same store."""
    keys = ["product", "week", *["store"] * ("store" in sold.collect_schema())]
    price = pl.col("price_paid").unique().sort()
    weekly = sold.filter(pl.col("price_paid") > 0).group_by(keys).agg(price=price, lines=pl.len())
    several = weekly.filter(pl.col("lines") > 1)
    step = pl.col("price").list.eval(pl.element() / pl.element().shift(1)).list.drop_nulls()
    ends = {"step": step.list.max(), "low": pl.col("price").list.min(), "high": pl.col("price").list.max()}
    apart = pl.col("step").fill_null(1.0) >= _TWO_PACK_RATIO
    steady = [(pl.col(end) / pl.col(end).filter(apart).median() - 1).abs() <= _STABLE for end in ("low", "high")]
    found = (
        several.with_columns(**ends)
        .group_by("product")
        .agg(
            weeks=pl.len(),
            share=(apart & pl.all_horizontal(steady)).mean(),
            low=pl.col("low").filter(apart).median(),
            high=pl.col("high").filter(apart).median(),
        )
        .filter((pl.col("weeks") >= _ID_WEEKS) & (pl.col("share") >= _TWO_PACK_WEEKS))
    )
    # A few lines at another price are those of coupons.
    cheap = pl.col("price_paid") < (pl.col("low") * pl.col("high")).sqrt()
    lines = sold.filter(pl.col("price_paid") > 0).join(found, on="product").group_by("product", "low", "high")
    both = lines.agg(cheap=cheap.mean()).filter(pl.col("cheap").is_between(_FEWER, 1 - _FEWER))
    rows: list[dict[str, Any]] = both.sort("product").collect(engine="streaming").to_dicts()
    if rows:
        named = [f"{row['product']} ({row['low']:.4g} and {row['high']:.4g})" for row in rows]
        yield (
            f"two price levels in the same weeks under one id: {_listed(named)}; if these are two packs, give each its own id"
        )


def _listed(named: list[str]) -> str:
    return ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
