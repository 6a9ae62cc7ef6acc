"""Columns of the panel from the optional tables: promotions, stock, signals, behaviour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import pandas as pd
import polars as pl
import xarray as xr

from ..schema import COMPETITOR_PRICE, HOLIDAY
from ..tables import Tables
from ..weeks import WEEK, Weeks, to_polars
from .promotion_kinds import PROMOTION, column_of, kind_of, of_price_alone, shown_kinds

PRODUCT_WEEK = ["product", "week"]
"""What tells the rows of a weekly table apart."""
# Weeks without a sale after which a store is taken for closed.
_STAYS = 4
_Rows = TypeVar("_Rows", pl.DataFrame, pl.LazyFrame)


def context_columns(
    tables: Tables, grid: pl.DataFrame, weeks: Weeks, kinds: Sequence[str] | None = None
) -> pl.DataFrame:
    """The optional columns of the panel, in the order of `grid` (`product`, `week` number).

    Known in advance:

    - `promotion`, the share of the shop's stores in which the product was promoted, other than by its price alone, on
      some day of the week (1 if a row names neither store nor share); the shop's stores are those that sell in that week: in
      the sales, from a store's first to its last, or on where that is in the last four weeks; otherwise those in
      the promotions; with several kinds of promotions, the same of each `KIND` as `promotion: KIND`;
    - `holiday`, the number of holidays in the week.

    Not known in advance:

    - `stockout`, whether the product was counted as sold out on some day of the week, in some
      store; `units` is then a lower bound of demand;
    - `competitor_price`, currency per unit: the last known one (the mean of several on the same
      day), carried forward; NaN before the first;
    - `views` and `carts`, the number of events, and `rating`, the week's mean rating, carried
      forward;
    - `signal_NAME`, the weekly mean of the index NAME, carried forward; the same for all products.

    Args:
        tables: The shop's tables, or those of some of its stores.
        grid: The rows.
        weeks: The weeks.
        kinds: The kinds of promotions with a column each; by default those of the tables, `shown_kinds`.
    """
    kinds = shown_kinds(tables.promotions) if kinds is None else kinds
    found = [*_promotion(tables, grid, weeks, kinds), *_stockout(tables, grid, weeks)]
    found += [*_signals(tables, grid, weeks), *_behaviour(tables, grid, weeks)]
    return pl.DataFrame(found)


def context_ahead(
    tables: Tables,
    products: list[str],
    first: pd.Timestamp,
    weeks: int,
    days: int = WEEK.days,
    kinds: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The promotions and holidays of weeks to come that the tables hold already.

    Args:
        tables: The shop's tables.
        products: Ids of the products.
        first: First day of the first week.
        weeks: Number of weeks.
        days: Length of a week; 1 for a panel of days.
        kinds: As for `context_columns`.

    Returns:
        One row per product and week: `product`, `week` and, where the tables hold any, `promotion` (and that of its kinds)
        and `holiday`, as in the panel, and `discount`, the mean discount of the promotions over stores and
        days; NaN where there is none after the last that begins.

    Example:
        >>> holiday = pd.DataFrame({"date": [pd.Timestamp("2024-01-09")], "name": ["holiday"], "value": [1.0]})
        >>> tables = Tables(pd.DataFrame({"product": ["tea"]}), signals=holiday)
        >>> context_ahead(tables, ["tea"], pd.Timestamp("2024-01-01"), 3)["holiday"].tolist()
        [0.0, 1.0, nan]
    """
    ahead = Weeks(first.to_pydatetime(), weeks, days)
    grid = pl.DataFrame({"product": products}).join(pl.DataFrame({"week": ahead.numbers()}), how="cross")
    signals = None if tables.signals is None else tables.signals[tables.signals["name"] == HOLIDAY]
    tables = Tables(tables.sales, promotions=tables.promotions, signals=signals)
    kinds = shown_kinds(tables.promotions) if kinds is None else kinds

    def known(columns: Iterator[pl.Series], table: pd.DataFrame | None, start: str) -> list[pl.Series]:
        """The columns, without the zeros after the last row of their table begins."""
        return [
            column.set((column == 0) & (grid["week"] > _last_week(table, start, ahead)), None) for column in columns
        ]

    promoted = known(_promotion(tables, grid, ahead, kinds, ahead=True), tables.promotions, "start_date")
    holidays = known(_signals(tables, grid, ahead), signals, "date")
    return pl.DataFrame([grid["product"], *ahead.first_days(grid["week"]).to_frame(), *promoted, *holidays]).to_pandas()


def context_by_store(tables: Tables, panel: xr.Dataset, stores: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """Displays and stock-outs in each of several groups of stores, where the tables tell them apart.

    Args:
        tables: The shop's tables.
        panel: Their panel, as `sales_panel` returns it, of whose weeks and products they are wanted.
        stores: The stores of each group.

    Returns:
        `promotion` (and that of its kinds) and `stockout`, as in the table of `product_weeks`, where there are such tables, over `store` (the
        name of the group), `week` and `product`; empty where none of them names a store.

    Example:
        >>> day = pd.Timestamp("2024-01-01")
        >>> shown = pd.DataFrame({"start_date": [day], "product": ["tea"], "store": ["a"]})
        >>> panel = xr.Dataset(coords={"week": [day], "product": ["tea"]})
        >>> shop = Tables(pd.DataFrame({"store": ["a", "b"], "date": day}), promotions=shown)
        >>> context_by_store(shop, panel, {"a": ["a"], "b": ["b"]})["promotion"].values.ravel().tolist()
        [1.0, 0.0]
    """
    given = {name: table for name in ("promotions", "stock") if (table := getattr(tables, name)) is not None}
    if not any("store" in table and table["store"].notna().any() for table in given.values()):
        return xr.Dataset()
    weeks = Weeks.over(panel["week"])
    keys = panel[PRODUCT_WEEK].to_dataframe(dim_order=PRODUCT_WEEK).index
    grid = to_polars(keys.to_frame(index=False), PRODUCT_WEEK).with_columns(week=weeks.number(pl.col("week")))
    found = {}
    days = tables.sale_lines(["store", "date"]).unique().collect(engine="streaming").to_pandas()
    kinds = shown_kinds(tables.promotions)
    for group, names in stores.items():
        own = {
            name: table[table["store"].isin(names) | table["store"].isna()] if "store" in table else table
            for name, table in given.items()
        }
        here = Tables(days[days["store"].isin(names)], **own)
        columns = pl.DataFrame([*_promotion(here, grid, weeks, kinds), *_stockout(here, grid, weeks)])
        # A data set made of a table has its labels in sorted order.
        found[group] = columns.to_pandas().set_index(keys).to_xarray().reindex_like(panel[PRODUCT_WEEK])
    return xr.concat(found.values(), pd.Index(found, name="store"), join="exact").transpose("store", "week", "product")


def _last_week(table: pd.DataFrame | None, column: str, weeks: Weeks) -> int:
    """Number of the last week with a date in this column."""
    assert table is not None, "the column was made from this table"
    return int((table[column].max() - weeks.first).days // weeks.days)


def _promotion(
    tables: Tables, grid: pl.DataFrame, weeks: Weeks, kinds: Sequence[str], *, ahead: bool = False
) -> Iterator[pl.Series]:
    """The columns `promotion` and of its kinds and, of weeks to come, `discount`, for those of the past are in the prices."""
    if tables.promotions is None:
        return
    columns = ["start_date", "end_date", "product", "store", "store_share", "discount", "kind"]
    rows = to_polars(tables.promotions, columns)
    week_long = pl.col("start_date") + pl.duration(days=6)
    end = pl.coalesce("end_date", week_long) if "end_date" in rows else week_long
    rows = rows.with_columns(
        end=end,
        first=weeks.number(pl.col("start_date")).clip(lower_bound=0),
        last=weeks.number(end).clip(upper_bound=weeks.count - 1),
    ).filter((pl.col("first") <= pl.col("last")) & pl.col("product").is_in(grid["product"].unique().implode()))
    rows = rows.with_columns(week=pl.int_ranges("first", pl.col("last") + 1, dtype=pl.Int32)).explode("week")
    open_ = _open_stores(tables, rows, weeks, weeks.count * (not ahead))
    shown = rows.filter(~of_price_alone()) if "kind" in rows else rows
    parts = {PROMOTION: shown} | {kind: shown.filter(kind_of() == kind) for kind in kinds}
    for kind, own in parts.items():
        yield _onto(grid, _over_stores(open_, own, pl.lit(1.0)), "share").fill_null(0.0).alias(column_of(kind))
    if ahead and "discount" in rows:
        # Day by day, as several promotions may follow one another in a week.
        before, until = ((pl.col(day) - weeks.first).dt.total_days() for day in ("start_date", "end"))
        begin = pl.col("week") * weeks.days
        day = pl.int_ranges(pl.max_horizontal(before, begin), pl.min_horizontal(until, begin + weeks.days - 1) + 1)
        daily = _over_stores(open_, rows.with_columns(day=day).explode("day"), pl.col("discount").fill_null(0.0), "day")
        off = daily.group_by(PRODUCT_WEEK).agg(pl.col("share").sum() / weeks.days)
        yield _onto(grid, off, "share").fill_null(0.0).alias("discount")


def _over_stores(open_: pl.DataFrame | None, rows: pl.DataFrame, value: pl.Expr, *day: str) -> pl.DataFrame:
    """The mean of a value of promotions over the stores open, by product and week (and day), as `share`."""
    keys = [*PRODUCT_WEEK, *day]
    rows = rows.with_columns(value=value)
    named = pl.col("store").is_not_null() if "store" in rows else pl.lit(False)
    share = pl.col("store_share").fill_null(1.0) if "store_share" in rows else pl.lit(1.0)
    whole = rows.filter(~named).group_by(keys).agg((share * pl.col("value")).max().alias("share"))
    if open_ is None:
        return whole
    rows = rows.with_columns(pl.col("store").cast(pl.String))
    here = rows.join(open_, on=["store", "week"]).group_by([*keys, "store", "stores"]).agg(pl.col("value").max())
    counted = here.group_by(keys).agg((pl.col("value").sum() / pl.col("stores").first()).alias("share"))
    # Both may describe the same stores, so only the larger of the two shares is certain.
    return pl.concat([whole, counted]).group_by(keys).agg(pl.col("share").max())


def _open_stores(tables: Tables, rows: pl.DataFrame, weeks: Weeks, end: int) -> pl.DataFrame | None:
    """The `store`s of the sales before the week `end` that are open in each `week`, and the number of `stores` in it."""
    if "store" not in rows:
        return None
    lines = tables.sale_lines(["store", "date"])
    if "store" in lines.collect_schema():
        lines = lines.filter(pl.col("store").is_not_null()).with_columns(week=weeks.number(pl.col("date")))
        lines = lines.filter(pl.col("week") < end).group_by("store")
        open_ = lines.agg(first=pl.col("week").min(), last=pl.col("week").max()).collect(engine="streaming")
    else:
        open_ = pl.DataFrame()
    if open_.is_empty():
        open_ = rows.select("store").drop_nulls().unique().with_columns(first=0, last=end)
    # A store without a sale for some weeks may be small rather than closed.
    stays = pl.col("last") >= end - _STAYS * WEEK.days // weeks.days
    until = pl.when(stays).then(weeks.count - 1).otherwise(pl.col("last"))
    open_ = open_.with_columns(week=pl.int_ranges(pl.col("first").clip(lower_bound=0), until + 1, dtype=pl.Int32))
    store = pl.col("store").cast(pl.String)
    stores = pl.len().over("week")
    return open_.explode("week").drop_nulls("week").select(store, "week", stores=stores)


def _stockout(tables: Tables, grid: pl.DataFrame, weeks: Weeks) -> Iterator[pl.Series]:
    lines = tables.lines("stock", ["date", "product", "on_hand"])
    if lines is None:
        return
    sold_out = _with_week(lines, weeks).group_by(PRODUCT_WEEK).agg((pl.col("on_hand") <= 0).any().alias("stockout"))
    yield _onto(grid, sold_out.collect(engine="streaming"), "stockout").fill_null(False)


def _signals(tables: Tables, grid: pl.DataFrame, weeks: Weeks) -> Iterator[pl.Series]:
    if tables.signals is None:
        return
    rows = _with_week(to_polars(tables.signals, ["date", "name", "value", "product"]), weeks)
    for name in rows["name"].unique().sort():
        own = rows.filter(pl.col("name") == name)
        if name == HOLIDAY:
            holidays = own.filter(pl.col("value").fill_null(1.0) != 0)
            days = holidays.group_by("week").agg(pl.col("date").n_unique().cast(pl.Float64))
            yield _onto(grid, days, "date", on=["week"]).fill_null(0.0).alias(HOLIDAY)
        elif name == COMPETITOR_PRICE:
            last = own.filter(pl.col("date") == pl.col("date").max().over(PRODUCT_WEEK))
            prices = last.group_by(PRODUCT_WEEK).agg(pl.col("value").sort().mean())
            yield _carried(grid, prices, by="product").alias(COMPETITOR_PRICE)
        else:
            yield _carried(grid, own.group_by("week").agg(pl.col("value").sort().mean())).alias(f"signal_{name}")


def _behaviour(tables: Tables, grid: pl.DataFrame, weeks: Weeks) -> Iterator[pl.Series]:
    lines = tables.lines("behaviour", ["date", "product", "event", "value"])
    if lines is None:
        return
    rows = _with_week(lines, weeks).collect()
    if "value" not in rows:
        rows = rows.with_columns(value=pl.lit(None, pl.Float64))
    for event, column in (("view", "views"), ("cart", "carts")):
        own = rows.filter(pl.col("event") == event)
        if len(own):
            counts = own.group_by(PRODUCT_WEEK).agg(pl.col("value").fill_null(1.0).sort().sum())
            yield _onto(grid, counts, "value").fill_null(0.0).alias(column)
    stars = rows.filter(pl.col("event").is_in(["rating", "review"]) & pl.col("value").is_not_null())
    if len(stars):
        yield _carried(grid, stars.group_by(PRODUCT_WEEK).agg(pl.col("value").sort().mean()), by="product").alias(
            "rating"
        )


def _with_week(rows: _Rows, weeks: Weeks) -> _Rows:
    """Add the number of the week; rows after the last week are dropped."""
    return rows.with_columns(week=weeks.number(pl.col("date"))).filter(pl.col("week") < weeks.count)


def _onto(grid: pl.DataFrame, values: pl.DataFrame, column: str, on: list[str] = PRODUCT_WEEK) -> pl.Series:
    return grid.join(values, on=on, how="left", maintain_order="left")[column]


def _carried(grid: pl.DataFrame, values: pl.DataFrame, by: str | None = None) -> pl.Series:
    """For each row, the `value` of the latest week up to its own, even before the grid."""
    rows = grid.with_row_index().sort("week")
    joined = rows.join_asof(values.sort("week"), on="week", by=by, check_sortedness=False)
    return joined.sort("index")["value"]
