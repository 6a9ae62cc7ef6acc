"""From good rows to a canonical table: completed and sorted, with a count of every change."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import polars as pl

Changes = Counter[str]
"""How many rows were changed, by what is said of them; the number goes where the braces are."""


_NO_COST = "rows with unit_cost 0, taken as unknown: {}; of what costs nothing, the product table says so"


def clean(rows: pl.DataFrame, name: str, changes: Changes) -> pl.DataFrame:
    """Complete and sort good rows of the table `name`; add to `changes` what was changed."""
    if name == "sales":
        rows = _clean_sales(rows, changes)
    elif name == "customers":
        traits = [column for column in rows.columns if column != "customer" and not column.startswith("_")]
        rows = rows.with_columns(_as_numbers(rows[column]) for column in traits)
    day = next((column for column in ("date", "start_date") if column in rows), None)
    return rows if day is None or rows[day].is_sorted() else rows.sort(day, maintain_order=True)


def _clean_sales(sales: pl.DataFrame, changes: Changes) -> pl.DataFrame:
    changes["rows with price_paid 0, kept as given away: {}"] += int((sales["price_paid"] == 0).sum())
    if "unit_cost" in sales:
        free = (sales["unit_cost"] == 0).fill_null(False)
        changes[_NO_COST] += int(free.sum())
        sales = sales.with_columns(unit_cost=pl.when(~free).then("unit_cost"))
    if "regular_price" not in sales:
        changes["no column regular_price; price_paid is used instead"] = 1
        sales = sales.insert_column(
            sales.get_column_index("price_paid") + 1, sales["price_paid"].alias("regular_price")
        )
    for what, rows in {
        "missing": sales["regular_price"].is_null(),
        "below price_paid": (sales["regular_price"] < sales["price_paid"]).fill_null(False),
    }.items():
        changes[f"rows with regular_price {what}, set to price_paid: {{}}"] += int(rows.sum())
    return sales.with_columns(regular_price=pl.max_horizontal("price_paid", "regular_price"))


def _as_numbers(trait: pl.Series) -> pl.Series:
    """A customer trait as numbers, if all its values are numbers."""
    numbers = trait.cast(pl.String).cast(pl.Float64, strict=False)
    if numbers.null_count() != trait.null_count():
        return trait
    whole = (numbers.drop_nulls() % 1 == 0).all() and not numbers.null_count()
    return numbers.cast(pl.Int64) if whole else numbers


def to_pandas(columns: list[pl.Series]) -> pd.DataFrame:
    """A pandas table of `columns`; the list is emptied, so that none is in memory twice."""
    table: dict[str, pd.Series] = {}
    while columns:
        column = columns.pop(0)
        if column.dtype == pl.Categorical:
            column = column.cast(pl.String)
        elif column.dtype.is_temporal():
            column = column.cast(pl.Datetime("ns"))
        table[column.name] = column.to_pandas()
    return pd.DataFrame(table, copy=False)
