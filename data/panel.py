"""Sale lines to the weekly panel that every model is fitted on."""

from __future__ import annotations

import warnings

import pandas as pd
import polars as pl

from .panel_context import context_columns
from .schema import DataError
from .tables import Tables
from .weeks import Weeks, to_polars

_ENOUGH_WEEKS = 4
_SALES = ["date", "product", "units", "price_paid", "regular_price", "customer", "basket"]
_COLUMNS = ["units", "revenue", "price", "regular_price", "discount_share", "buyers", "traffic"]


def product_weeks(sales: pd.DataFrame | Tables, *, products: pd.DataFrame | None = None) -> pd.DataFrame:
    """Add sale lines up to one row for each product and week, on a complete grid.

    Weeks are 7-day blocks counted from the first date in `sales`. A last week that ends on an earlier
    weekday than all the others did (there must be four) is unfinished: it is left out, with a warning.

    Args:
        sales: canonical sales of the whole shop, or all its tables.
        products: canonical products, those of the tables if None; given, the panel holds those of them that were
            sold, with their `category`. A subset therefore gives a panel of the subset, with the traffic of the
            whole shop.

    Returns:
        Rows sorted by product and week, whatever the order of the sales, with columns

        - `product`, `week` (first day) and, with `products`, `category`;
        - `units` (0 where nothing was sold) and `revenue` (currency);
        - `price` and `regular_price` (currency per unit, weighted by units; a week without sales carries the
          last price forward; in weeks before the first sale they are NaN, for nothing later may tell them);
        - `discount_share`, the part of the regular price that was taken off, in [0, 1], NaN where prices are;
        - `buyers`, distinct customers (NaN where `sales` names none);
        - `traffic`, distinct baskets (or else sale lines) of the whole shop in that week;
        - what else `Tables` hold: `promotion`, `holiday`, `stockout`, `competitor_price`, `views`, `carts`,
          `rating` and a `signal_NAME` for each outside index, see `context_columns`.

    Raises:
        DataError: `sales` holds no rows.
    """
    tables = sales if isinstance(sales, Tables) else Tables(sales)
    products = tables.products if products is None else products
    if tables.sales.empty:
        raise DataError("sales must hold rows; got none; check which products and dates were picked")
    lines, weeks = _by_week(to_polars(tables.sales, _SALES))
    traffic = _traffic(lines)
    if products is not None:
        lines = lines.filter(pl.col("product").is_in(to_polars(products, ["product"])["product"].implode()))
    has_buyers = "customer" in lines and lines["customer"].null_count() < len(lines)
    grid = _grid(lines, weeks)
    panel = _with_prices(_complete(grid, _totals(lines), has_buyers)).join(
        traffic, on="week", how="left", maintain_order="left"
    )
    panel = panel.with_columns(pl.col("traffic").fill_null(0.0))
    extra = context_columns(tables, panel.select("product", "week"), weeks)
    names = ["product", "week", *_COLUMNS]
    if products is not None:
        category = to_polars(products, ["product", "category"]).unique("product", keep="first")
        panel = panel.join(category, on="product", how="left", maintain_order="left")
        names.insert(2, "category")
    panel = panel.select(names).hstack(extra).with_columns(weeks.first_days(panel["week"]))
    return panel.to_pandas()


def _by_week(lines: pl.DataFrame) -> tuple[pl.DataFrame, Weeks]:
    """Number the weeks, and leave an unfinished last one out."""
    weeks = Weeks.of(lines["date"])
    lines = lines.with_columns(week=weeks.number(pl.col("date")))
    last_days = (
        lines.group_by("week")
        .agg(pl.col("date").max())
        .sort("week")
        .select((pl.col("date") - weeks.first).dt.total_days() % 7)
    )
    *earlier, last = last_days.to_series()
    if len(earlier) < _ENOUGH_WEEKS or last >= min(earlier):
        return lines.drop("date"), weeks
    finished = lines.filter(pl.col("week") < weeks.count - 1).drop("date")
    warnings.warn(
        f"the week from {weeks.first_day(weeks.count - 1):%Y-%m-%d} ends after {last + 1} days and is left out "
        f"({len(lines) - len(finished):,} sale lines)",
        stacklevel=3,
    )
    return finished, Weeks(weeks.first, int(finished["week"].to_numpy().max()) + 1)


def _traffic(lines: pl.DataFrame) -> pl.DataFrame:
    visits = pl.len()
    if "basket" in lines:
        visits = pl.col("basket").drop_nulls().n_unique() + pl.col("basket").null_count()
    return lines.group_by("week").agg(visits.cast(pl.Float64).alias("traffic"))


def _totals(lines: pl.DataFrame) -> pl.DataFrame:
    """Units, revenue and buyers of the products and weeks with sales."""
    # Sorted before they are added up, numbers give the same sum to the last bit, whatever order they came in.
    sums = {
        "units": pl.col("units"),
        "revenue": pl.col("units") * pl.col("price_paid"),
        "regular_revenue": pl.col("units") * pl.col("regular_price"),
    }
    buyers = (
        pl.col("customer").drop_nulls().n_unique().cast(pl.Float64) if "customer" in lines else pl.lit(None, pl.Float64)
    )
    return lines.group_by("product", "week").agg(
        *(value.sort().sum().alias(name) for name, value in sums.items()), buyers.alias("buyers")
    )


def _grid(lines: pl.DataFrame, weeks: Weeks) -> pl.DataFrame:
    products = lines.select(pl.col("product").unique().sort())
    return products.join(pl.DataFrame({"week": weeks.numbers()}), how="cross", maintain_order="left_right")


def _complete(grid: pl.DataFrame, totals: pl.DataFrame, has_buyers: bool) -> pl.DataFrame:
    """Spread the totals over all products and weeks; what was not sold is 0."""
    panel = grid.join(totals, on=["product", "week"], how="left", maintain_order="left")
    zero = ["units", "revenue", "regular_revenue", *(["buyers"] if has_buyers else [])]
    return panel.with_columns(
        pl.col(zero).fill_null(0.0), pl.lit(None, pl.Float64).alias("buyers") if not has_buyers else []
    )


def _with_prices(panel: pl.DataFrame) -> pl.DataFrame:
    """Add prices and discounts; weeks without a sale take the price of the week before."""
    sold = pl.col("units") > 0
    panel = panel.with_columns(
        pl.when(sold).then(pl.col(value) / pl.col("units")).forward_fill().over("product").alias(name)
        for name, value in {"price": "revenue", "regular_price": "regular_revenue"}.items()
    )
    off = (1 - pl.col("price") / pl.col("regular_price")).clip(lower_bound=0).fill_nan(0.0)
    return panel.with_columns(discount_share=off)
