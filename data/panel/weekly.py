"""From sale lines to the weekly panel that every model is fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl

from ..stray_dates import stray_dates
from ..tables import StoredTables, Tables
from ..weeks import WEEK, Weeks, to_polars
from .context import context_columns
from .regular_prices import regular_prices

_ENOUGH_WEEKS = 4
_THIN, _MANY = 0.3, 20
_SALES = ["date", "product", "units", "price_paid", "regular_price", "unit_cost", "customer", "basket"]
_PRICES = ["price", "regular_price"]
_COLUMNS = ["units", "revenue", "price", "regular_price", "discount_share", "buyers", "traffic"]


def product_weeks(
    sales: pd.DataFrame | Tables, *, products: pd.DataFrame | None = None, days: int = WEEK.days
) -> pd.DataFrame:
    """Aggregate sale lines to one row per product and week, on a complete grid.

    Weeks are 7-day blocks that start with the first date in `sales`. Thin ones (`thin_weeks`) count as closed. Lines
    with stray dates (`stray_dates`), and a last week that ends on an earlier weekday than each of at least four others
    and so is incomplete, are left out with a warning.

    Args:
        sales: Canonical sales of the whole shop, or all its tables.
        products: Canonical products; by default those of the tables. If there are any, the panel
            contains those that were sold, with their `category`; a subset gives a panel of the
            subset, with the traffic of the whole shop.
        days: Length of a week: 7, or 1 for a panel of days.

    Returns:
        Rows sorted by product and week, independent of the order of the sales, with columns

        - `product`, `week` (first day) and, with `products`, `category`;
        - `units` (0 if nothing was sold) and `revenue` (currency);
        - `price` and `regular_price` (currency per unit, weighted by units; the last price is
          carried forward to weeks without sales; NaN before the first sale, since later prices must
          not be used); where no line was sold below its regular price, the latter are those of
          `regular_prices`;
        - `discount_share`, the discount as a share of the regular price, in [0, 1]; NaN where
          prices are;
        - `unit_cost` (currency per unit, weighted by the units whose cost is known, carried forward
          like prices), if the sales give any;
        - `buyers`, the number of distinct customers (NaN if `sales` names none);
        - `traffic`, the number of distinct baskets (without them, sale lines) of the whole shop in
          that week; of days, at the share of an average weekday;
        - what the other tables say: `promotion`, `holiday`, `stockout`, `competitor_price`,
          `views`, `carts`, `rating` and one `signal_NAME` per external index, see
          `context_columns`.

    Raises:
        DataError: `sales` has no rows.

    Example:
        >>> sales = pd.DataFrame(
        ...     {
        ...         "date": pd.to_datetime(["2024-03-04", "2024-03-06", "2024-03-12"]),
        ...         "product": ["apple", "apple", "pear"],
        ...         "units": [1.0, 2.0, 1.0],
        ...         "price_paid": [0.5, 0.5, 0.8],
        ...         "regular_price": [0.5, 0.5, 1.0],
        ...     }
        ... )
        >>> product_weeks(sales)["units"].tolist()
        [3.0, 0.0, 0.0, 1.0]
    """
    tables = sales if isinstance(sales, Tables) else Tables(sales)
    products = tables.products if products is None else products
    lines = tables.sale_lines(_SALES)
    weeks = whole_weeks(lines, days)
    stored, ids = (
        isinstance(tables, StoredTables),
        [name for name in ("customer", "basket") if name in lines.collect_schema()],
    )
    if stored and ids:
        # Ids are only told apart: as numbers they take less memory. Two of ten million are the same with a
        # probability of 3e-6.
        lines = lines.with_columns(pl.when(pl.col(ids).is_not_null()).then(pl.col(ids).hash()))
    traffic, totals, given = _added_up(weeks.split(lines, stored=stored), products)
    thin = pl.col("week").is_in(thin_weeks(traffic, days))
    traffic, totals = traffic.filter(~thin), totals.filter(~thin)
    traffic = traffic if days == WEEK.days else _whatever_the_weekday(traffic)
    panel = _complete(totals, weeks, "customer" in given)
    del totals
    panel = _with_prices(panel if "unit_cost" in given else panel.drop("cost", "costed_units", strict=False), days)
    panel = panel.join(traffic, on="week", how="left", maintain_order="left")
    panel = panel.with_columns(pl.col("traffic").fill_null(0.0))
    extra = context_columns(tables, panel.select("product", "week"), weeks)
    names = ["product", "week", *_COLUMNS]
    if products is not None:
        category = to_polars(products, ["product", "category"]).unique("product", keep="first")
        panel = panel.join(category, on="product", how="left", maintain_order="left")
        names.insert(2, "category")
    if "unit_cost" in panel:
        names.insert(names.index("buyers"), "unit_cost")
    panel = panel.select(names).hstack(extra).with_columns(weeks.first_days(panel["week"]))
    return panel.to_pandas()


def whole_weeks(lines: pl.LazyFrame, days: int = WEEK.days) -> Weeks:
    """The weeks of some sale lines, without stray dates and an incomplete last week, of which it warns.

    Args:
        lines: Sale lines.
        days: Length of a week.

    Raises:
        DataError: There are none.

    Example:
        >>> days = pl.LazyFrame({"date": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 21), eager=True)})
        >>> whole_weeks(days.with_columns(pl.col("date").cast(pl.Datetime))).count
        3
    """
    weeks = _ordinary_weeks(lines, days)
    number = weeks.number(pl.col("date")).alias("week")
    ends = lines.select("date", number).filter(pl.col("week").is_between(0, weeks.count - 1)).group_by("week")
    ends = ends.agg(pl.col("date").max(), pl.len()).sort("week").collect(engine="streaming")
    *earlier, last = ends.select((pl.col("date") - weeks.first).dt.total_days() % days).to_series()
    if len(earlier) < _ENOUGH_WEEKS or last >= min(earlier):
        return weeks
    warnings.warn(
        f"the week from {weeks.first_day(weeks.count - 1):%Y-%m-%d} ends after {last + 1} days and is left out "
        f"({ends['len'][-1]:,} sale lines)",
        stacklevel=3,
    )
    return replace(weeks, count=int(ends["week"][-2]) + 1)


def thin_weeks(traffic: pl.DataFrame, days: int = WEEK.days) -> list[int]:
    """The weeks with less than 30% of the usual traffic, in which a shop is taken to have been closed.

    Usual is the median of the 13 weeks around one, of days on the same weekday; it must be 20 or more, as small numbers
    vary by chance.

    Args:
        traffic: `week` and `traffic`, or the number of sale lines.
        days: Length of a week.

    Example:
        >>> thin_weeks(pl.DataFrame({"week": range(9), "traffic": [90.0, 80, 95, 99, 12, 97, 90, 85, 91]}))
        [4]
    """
    visits = traffic.sort("week").to_pandas().set_index("week")["traffic"]
    weekday = visits.index.to_numpy() % (WEEK.days // days)
    usual = visits.groupby(weekday).transform(lambda own: own.rolling(13, center=True, min_periods=3).median())
    return visits.index[(visits < _THIN * usual) & (usual >= _MANY)].tolist()


def traffic_unit(tables: Tables) -> str:
    """What `traffic` counts: "baskets", without receipts "sale lines", or "rows" of sums by product, store and day.

    Args:
        tables: A shop's tables.

    Example:
        >>> row = {"date": pd.Timestamp("2024-03-04"), "product": "apple", "units": 20.0}
        >>> traffic_unit(Tables(pd.DataFrame([row]))), traffic_unit(Tables(pd.DataFrame([row, row])))
        ('rows', 'sale lines')
    """
    lines = tables.sale_lines(["date", "product", "store", "basket"])
    names = lines.collect_schema().names()
    if "basket" in names and not lines.select(pl.col("basket").is_null().all()).collect().item():
        return "baskets"
    keys = [name for name in names if name != "basket"]
    several = lines.group_by(keys).agg(pl.len()).select((pl.col("len") > 1).any())
    return "sale lines" if several.collect(engine="streaming").item() else "rows"


def _ordinary_weeks(lines: pl.LazyFrame, days: int) -> Weeks:
    """The weeks of some sale lines without stray dates."""
    date = pl.col("date")
    by_day = lines.group_by(date.dt.date()).agg(lines=pl.len()).collect(engine="streaming")
    for stray in stray_dates(by_day):
        warnings.warn(
            f"sales: left out {stray}; if it is a mistake, correct or delete it and import again", stacklevel=4
        )
        lines = lines.filter(date.dt.date() > stray.last if stray.early else date.dt.date() < stray.first)
    return Weeks.of(lines, days)


def _added_up(
    chunks: Iterator[pl.DataFrame], products: pd.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
    """The traffic, the totals of the products, and the optional columns that some of their lines give."""
    wanted = None if products is None else to_polars(products, ["product"])["product"].implode()
    traffic, totals, given = [], [], set[str]()
    for lines in chunks:
        traffic.append(_traffic(lines))
        if wanted is not None:
            lines = lines.filter(pl.col("product").is_in(wanted))
        optional = [column for column in ("customer", "unit_cost") if column in lines]
        given |= {column for column in optional if lines[column].null_count() < len(lines)}
        totals.append(_totals(lines))
    return pl.concat(traffic), pl.concat(totals), given


def _traffic(lines: pl.DataFrame) -> pl.DataFrame:
    visits = pl.len()
    if "basket" in lines:
        visits = pl.col("basket").drop_nulls().n_unique() + pl.col("basket").null_count()
    return lines.group_by("week").agg(visits.cast(pl.Float64).alias("traffic"))


def _whatever_the_weekday(traffic: pl.DataFrame) -> pl.DataFrame:
    """The traffic of days over the share of their weekday in it: the size of the market alone."""
    visits = pl.col("traffic")
    weekday = visits.mean().over(pl.col("week") % WEEK.days)
    return traffic.with_columns(visits * visits.mean() / weekday)


def _totals(lines: pl.DataFrame) -> pl.DataFrame:
    """Units, revenue and buyers of the products and weeks with sales."""
    # Sorting before adding makes the sums independent of the order of the rows, to the last bit.
    sums = {
        "units": pl.col("units"),
        "revenue": pl.col("units") * pl.col("price_paid"),
        "regular_revenue": pl.col("units") * pl.col("regular_price"),
    }
    if "unit_cost" in lines:
        known = pl.when(pl.col("unit_cost").is_not_null()).then(pl.col("units"))
        sums |= {"cost": known * pl.col("unit_cost").cast(pl.Float64), "costed_units": known}
    buyers = (
        pl.col("customer").drop_nulls().n_unique().cast(pl.Float64) if "customer" in lines else pl.lit(None, pl.Float64)
    )
    return lines.group_by("product", "week").agg(
        *(value.sort().sum().alias(name) for name, value in sums.items()), buyers.alias("buyers")
    )


def _complete(totals: pl.DataFrame, weeks: Weeks, has_buyers: bool) -> pl.DataFrame:
    """The totals of all products and weeks; 0 where nothing was sold."""
    names = totals["product"].unique().sort()
    panel = names.to_frame().join(pl.DataFrame({"week": weeks.numbers()}), how="cross", maintain_order="left_right")
    # Each to its place: a join would take as much memory again.
    place = totals["product"].cast(pl.Enum(names)).to_physical().cast(pl.Int64) * weeks.count + totals["week"]
    zero = ["units", "revenue", "regular_revenue", *(["buyers"] if has_buyers else [])]
    totals = totals if has_buyers else totals.with_columns(buyers=pl.lit(None, pl.Float64))
    for name in totals.columns[2:]:
        column = pl.repeat(0.0 if name in zero else None, len(panel), dtype=pl.Float64, eager=True).alias(name)
        panel.insert_column(panel.width, column.scatter(place, totals[name]))
    return panel.with_columns(pl.col(zero).fill_null(0.0))


def _with_prices(panel: pl.DataFrame, days: int) -> pl.DataFrame:
    """Add prices and discounts; weeks without a sale take the price of the previous week."""
    sold = pl.col("units") > 0
    panel = panel.with_columns(
        pl.when(sold).then(pl.col(value) / pl.col("units")).alias(name)
        for name, value in {"price": "revenue", "regular_price": "regular_revenue"}.items()
    )
    weeks = panel["week"].n_unique()
    paid, listed = (panel[name].fill_null(np.nan).to_numpy().reshape(-1, weeks).T for name in _PRICES)
    panel = panel.with_columns(regular_price=pl.Series(regular_prices(paid, listed, days).T.ravel()).fill_nan(None))
    panel = panel.with_columns(pl.col(_PRICES).forward_fill().over("product"))
    if "cost" in panel:
        # A sum over no known cost is 0 units, which is no price of 0.
        cost = pl.when(pl.col("costed_units") > 0).then(pl.col("cost") / pl.col("costed_units"))
        panel = panel.with_columns(cost.forward_fill().over("product").alias("unit_cost"))
    off = (1 - pl.col("price") / pl.col("regular_price")).clip(lower_bound=0).fill_nan(0.0)
    return panel.with_columns(discount_share=off)
