"""From good rows to a canonical table: completed and sorted, with a note of every change."""

from __future__ import annotations

import pandas as pd
import polars as pl


def clean(rows: pl.DataFrame, name: str, notes: list[str]) -> pl.DataFrame:
    """Complete and sort the good rows of the table `name`; add to `notes` what was changed."""
    if name == "sales":
        rows = _clean_sales(rows, notes)
    elif name == "customers":
        rows = rows.with_columns(_as_numbers(rows[column]) for column in rows.columns if column != "customer")
    day = next((column for column in ("date", "start_date") if column in rows), None)
    return _in_order(rows, day, notes) if day else rows


def _clean_sales(sales: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    free = (sales["price_paid"] == 0).sum()
    if free:
        notes.append(f"rows with price_paid 0, kept as given away: {free:,}")
    if "regular_price" not in sales:
        notes.append("no column regular_price; price_paid is used instead")
        sales = sales.insert_column(
            sales.get_column_index("price_paid") + 1, sales["price_paid"].alias("regular_price")
        )
    for what, rows in {
        "missing": sales["regular_price"].is_null(),
        "below price_paid": (sales["regular_price"] < sales["price_paid"]).fill_null(False),
    }.items():
        if rows.any():
            notes.append(f"rows with regular_price {what}, set to price_paid: {rows.sum():,}")
    return sales.with_columns(regular_price=pl.max_horizontal("price_paid", "regular_price"))


def _in_order(rows: pl.DataFrame, day: str, notes: list[str]) -> pl.DataFrame:
    late = (rows[day] < rows[day].cum_max()).sum()
    if not late:
        return rows
    notes.append(f"rows out of date order, sorted: {late:,}")
    return rows.sort(day, maintain_order=True)


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
