"""Sale lines that can be read but hardly be meant: they are kept, and said."""

from __future__ import annotations

import polars as pl

# A price this many times a product's usual one, or less than one over it, is hardly meant.
_PRICE_FACTOR = 20.0
# The same for units of a line, where the usual number of products is sold singly.
_UNITS_FACTOR, _LEAST_UNITS = 500.0, 1000.0
# A line total is this close to the units times the price of one.
_SAME = 0.02
# Rows of one unit that tell a product's price, and share of the lines of several units that makes a
# pattern.
_SINGLES, _PATTERN = 3, 0.005
# So many lines of several products at one price are no accident.
_MANY = 100


def suspects(sales: pl.DataFrame) -> list[str]:
    """Notes on prices, units and line totals that look wrong.

    Args:
        sales: Good rows, in canonical columns.

    Example:
        >>> rows = {"product": ["milk"] * 5, "units": [1.0] * 5, "price_paid": [3.87, 3.87, 3.79, 3.87, 387.0]}
        >>> suspects(pl.DataFrame(rows))[0].split(";")[0]
        "prices far from the product's usual one: 1 row (387 for 'milk', usually 3.87)"
    """
    rows = sales.select("product", "units", "price_paid").with_columns(
        price=pl.col("price_paid").median().over("product"), usual=pl.col("units").median().over("product")
    )
    total = _line_totals(rows)
    ratio = pl.col("price_paid") / pl.col("price")
    far = rows.filter(
        ~total & (pl.col("price_paid") > 0) & ((ratio > _PRICE_FACTOR) | (ratio < 1 / _PRICE_FACTOR))
    ).sort(ratio.log().abs(), descending=True)
    many = rows.filter((pl.col("units") >= _LEAST_UNITS) & (pl.col("units") > _UNITS_FACTOR * pl.col("usual")))
    notes = _one_price(rows)
    if len(far):
        row = far.row(0, named=True)
        notes.append(
            f"prices far from the product's usual one: {_count(far)} ({row['price_paid']:g} for '{row['product']}', "
            f"usually {row['price']:g}); check the decimals of these lines"
        )
    if len(many):
        row = many.sort("units", descending=True).row(0, named=True)
        notes.append(
            f"far more units than a line of the product usually has: {_count(many)} ({row['units']:,.0f} of "
            f"'{row['product']}', usually {row['usual']:g}); check these lines"
        )
    if total.any():
        found = rows.filter(total)
        row = found.row(0, named=True)
        notes.append(
            f"lines of several units that cost as many times the price of one: {_count(found)} ({row['price_paid']:g} for "
            f"{row['units']:g} of '{row['product']}'); if price_paid holds line totals there, make them prices per unit, or "
            "declare price_paid a total in a mapping file"
        )
    return notes


def _one_price(rows: pl.DataFrame) -> list[str]:
    """A note where many lines of several products have the same price."""
    if len(rows) < _MANY or rows["product"].n_unique() == 1 or rows["price_paid"].n_unique() > 1:
        return []
    return [
        f"all {len(rows):,} lines have the price {rows['price_paid'][0]:g}, whatever the product; is another column the "
        "units, and this one their turnover?"
    ]


def _line_totals(rows: pl.DataFrame) -> pl.Series:
    """(rows,) whether a line of several units costs as many times what the product costs singly,
    where that is a pattern.
    """
    single = pl.when(pl.col("units") == 1).then(pl.col("price_paid"))
    marked = rows.with_columns(one=single.median().over("product"), singles=single.count().over("product"))
    several = (pl.col("units") > 1) & (pl.col("singles") >= _SINGLES) & (pl.col("one") > 0)
    total = several & ((pl.col("price_paid") / (pl.col("units") * pl.col("one")) - 1).abs() <= _SAME)
    flags = marked.select(total=total.fill_null(False), several=several.fill_null(False))
    if int(flags["total"].sum()) <= _PATTERN * int(flags["several"].sum()):
        return flags["total"] & False
    return flags["total"]


def _count(rows: pl.DataFrame) -> str:
    return f"{len(rows):,} row{'s' if len(rows) > 1 else ''}"
