"""The sales of a shop as one labelled data set over stores, weeks and products: the only place that adds up sale lines."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

from ..experiments import WHOLE_SHOP, with_experiments
from ..stray_dates import stray_dates
from ..tables import StoredTables, Tables
from ..weeks import WEEK, Weeks, period_of
from .regular_prices import regular_prices

_LINE_COLUMNS = ["date", "store", "product", "units", "price_paid", "regular_price", "unit_cost", "basket"]
_AXES = ["store", "week", "product"]
# A week is thin below this share of the usual traffic, which must be so many visits.
_THIN = 0.3
_LINES_IN_PARTS = 20
_ENOUGH_WEEKS = 4
# The products that sell most stand for all.
_BEST = 50


def sales_panel(
    tables: Tables,
    products: Sequence[str] | None = None,
    *,
    days: int = WEEK.days,
    first: date | None = None,
    by_store: bool = True,
) -> xr.Dataset:
    """Add up the sale lines of every store, week and product.

    Args:
        tables: The shop's tables. Lines with stray dates and an incomplete last week are left out, see `whole_weeks`.
        products: The products wanted; by default all.
        days: Length of a week: 7, or 1 for a panel of days.
        first: First day of any week; by default weeks begin with the first date of the sales.
        by_store: Whether to tell the stores apart; otherwise there is one, `WHOLE_SHOP`.

    Returns:
        Sums over the axes `store`, `week` (first day) and `product` (those that were sold), independent of the order of
        the lines, which can be added up over any axis; `with_prices` makes prices of them:

        - `units`, and `revenue`, currency;
        - `regular_revenue`, what the units would have cost at regular prices; where no line was sold below its regular
          price, these are those of `regular_prices`, store by store;
        - `cost`, currency, of the `costed_units`, whose unit cost the lines give; only where any do;
        - `unsold_rows` without units, and `unsold_price` and `unsold_regular`, the sums of their prices; only where any are;
        - `traffic`, by store and week: distinct baskets of all products; without baskets, sale lines.
        - of tables with experiments, what `with_experiments` adds, whose prices are the regular ones there, and
          `planned_revenue`, what the units would have cost at the planned regular prices, and `tested_units`.

        A week with far fewer visits than usual counts as closed, see `open_weeks`.

    Raises:
        DataError: There are no sales.

    Example:
        >>> sales = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "store": ["a", "b"], "product": "tea", "units": 3.0})
        >>> panel = sales_panel(Tables(sales.assign(price_paid=2.0, regular_price=2.5)))
        >>> panel.sum("store")["revenue"].sel(week="2024-01-01", product="tea").item()
        12.0
    """
    lines = tables.sale_lines(_LINE_COLUMNS)
    weeks = whole_weeks(lines, days, first)
    columns = lines.collect_schema()
    store = pl.col("store").cast(pl.String).fill_null(WHOLE_SHOP) if "store" in columns else pl.lit(WHOLE_SHOP)
    shop = pl.col("store") if by_store else pl.lit(WHOLE_SHOP).alias("store")
    traffic = []
    totals = []
    for rows in weeks.split(lines.with_columns(store=store), stored=isinstance(tables, StoredTables)):
        traffic.append(_visits(rows).with_columns(shop))
        wanted = rows if products is None else rows.filter(pl.col("product").is_in(list(products)))
        totals.append(_added_up(wanted.with_columns(shop)))
    sums = pl.concat(totals, how="diagonal").with_columns(pl.selectors.numeric().fill_null(0))
    panel = _labelled([pl.concat(traffic).group_by("store", "week").sum(), sums], weeks)
    if "cost" in panel and not panel["costed_units"].any():
        panel = panel.drop_vars(["cost", "costed_units"])
    panel = open_weeks(panel)
    priced = with_prices(panel)
    upper = (panel["upper_revenue"] / panel["units"].where(panel["units"] > 0)).fillna(priced["price"])
    listed = priced["regular_price"].to_numpy()
    panel = panel.drop_vars("upper_revenue")
    price = priced["price"]
    tested = None
    if tables.experiments is not None and by_store:
        panel = with_experiments(panel, price, tables.experiments)
        # The price of an experiment is the regular one there, however short it lasts, and nowhere else.
        tested = panel["tested_price"]
        price, upper = (each.where(np.isnan(tested)) for each in (price, upper))
    regular = regular_prices(price.to_numpy(), listed, days, upper.to_numpy())
    if tested is not None:
        regular = np.where(np.isnan(tested), regular, np.fmax(tested, priced["price"]))
        panel["tested_units"] = panel["units"].where(np.isfinite(tested), 0.0)
        panel = panel.assign(planned_revenue=(panel["units"] * panel["planned_price"].fillna(regular)).fillna(0.0))
    if regular is listed:
        return panel
    if "unsold_rows" in panel:
        panel["unsold_regular"] = (panel["unsold_rows"] * regular).fillna(0.0)
    return panel.assign(regular_revenue=(panel["units"] * regular).fillna(0.0))


def with_prices(panel: xr.Dataset) -> xr.Dataset:
    """A panel with `price`, `regular_price` and, where known, `unit_cost`: currency per unit, NaN without a sale.

    Where nothing was sold, the prices are those of rows without units, if there are any.

    Args:
        panel: As `sales_panel` returns it, or sums of it.

    Example:
        >>> sales = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "product": "tea", "units": [1.0, 3.0]})
        >>> panel = sales_panel(Tables(sales.assign(price_paid=[3.0, 2.0], regular_price=3.0)))
        >>> with_prices(panel)["price"].item()
        2.25
    """
    sold = panel["units"].where(panel["units"] > 0)
    found = {"price": panel["revenue"] / sold, "regular_price": panel["regular_revenue"] / sold}
    if "unsold_rows" in panel:
        unsold = panel["unsold_rows"].where(panel["unsold_rows"] > 0)
        found["price"] = found["price"].fillna(panel["unsold_price"] / unsold)
        found["regular_price"] = found["regular_price"].fillna(panel["unsold_regular"] / unsold)
    if "planned_revenue" in panel:
        found["planned_regular"] = panel["planned_revenue"] / sold
    if "cost" in panel:
        found["unit_cost"] = panel["cost"] / panel["costed_units"].where(panel["costed_units"] > 0)
    return panel.assign(found)


def open_weeks(panel: xr.Dataset) -> xr.Dataset:
    """A panel from its first week with a sale on; weeks with far fewer visits than usual, when it was closed, are empty.

    Args:
        panel: As `sales_panel` returns it, or some of its stores.

    Example:
        >>> south = open_weeks(panel.sel(store=["lyon", "nice"]))  # doctest: +SKIP
    """
    traffic = panel["traffic"].sum("store").to_series()
    panel = panel.sel(week=slice(traffic.index[traffic > 0][0], None))
    thin = thin_weeks(traffic)
    return panel.where(~panel["week"].isin(thin), 0.0) if len(thin) else panel


def thin_weeks(traffic: pd.Series) -> pd.DatetimeIndex:
    """The weeks with less than 30% of the usual traffic, in which a shop is taken to have been closed.

    Usual is the median of the 13 weeks with sales around one, of days on the same weekday; it must be 20 or more, as
    small numbers vary by chance.

    Args:
        traffic: By week or day.

    Example:
        >>> weeks = pd.date_range("2024-01-01", periods=9, freq="7D")
        >>> thin_weeks(pd.Series([90.0, 80, 95, 99, 12, 97, 90, 85, 91], weeks))[0]
        Timestamp('2024-01-29 00:00:00')
    """
    visits = traffic[traffic > 0]
    by_weekday = visits.groupby(pd.DatetimeIndex(visits.index).day_of_week)
    usual = by_weekday.transform(lambda own: own.rolling(13, center=True, min_periods=3).median())
    return pd.DatetimeIndex(visits.index[(visits < _THIN * usual) & (usual >= _LINES_IN_PARTS)])


def whole_weeks(lines: pl.LazyFrame, days: int = WEEK.days, first: date | None = None) -> Weeks:
    """The weeks of some sale lines, without stray dates and an incomplete last week, of which it warns.

    Args:
        lines: Sale lines.
        days: Length of a week.
        first: First day of any of them; by default the first date.

    Raises:
        DataError: There are none.

    Example:
        >>> days = pl.LazyFrame({"date": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 21), eager=True)})
        >>> whole_weeks(days.with_columns(pl.col("date").cast(pl.Datetime))).count
        3
    """
    date = pl.col("date")
    by_day = lines.group_by(date.dt.date()).agg(lines=pl.len()).collect(engine="streaming")
    for stray in stray_dates(by_day):
        warnings.warn(
            f"sales: left out {stray}; if it is a mistake, correct or delete it and import again", stacklevel=2
        )
        lines = lines.filter(date.dt.date() > stray.last if stray.early else date.dt.date() < stray.first)
    weeks = Weeks.of(lines, days, first)
    inside = lines.select("date", week=weeks.number(date)).filter(pl.col("week").is_between(0, weeks.count - 1))
    ends = inside.group_by("week").agg(pl.col("date").max(), pl.len()).sort("week").collect(engine="streaming")
    *earlier, last = ends.select((pl.col("date") - weeks.first).dt.total_days() % days).to_series()
    if len(earlier) < _ENOUGH_WEEKS or last >= min(earlier):
        return weeks
    warnings.warn(
        f"the week from {weeks.first_day(weeks.count - 1):%Y-%m-%d} ends after {last + 1} days and is left out "
        f"({ends['len'][-1]:,} sale lines)",
        stacklevel=2,
    )
    return replace(weeks, count=int(ends["week"][-2]) + 1)


def carried_forward(values: xr.DataArray) -> xr.DataArray:
    """Values over `week` and `product` (last axes), each as it was last known; NaN before that.

    Example:
        >>> prices = xr.DataArray([[np.nan], [2.0], [np.nan]], dims=("week", "product"))
        >>> carried_forward(prices).values.ravel().tolist()
        [nan, 2.0, 2.0]
    """
    known = np.where(np.isfinite(values), np.arange(values.sizes["week"])[:, None], 0)
    last = np.maximum.accumulate(known, axis=-2)
    return values.copy(data=np.take_along_axis(values.to_numpy(), last, axis=-2))


def store_price_gaps(sales: pd.DataFrame, products: Sequence[str] | None = None) -> xr.DataArray:
    """The log regular price by store, week and product less the mean of all stores in the same week, of the best sellers.

    Where the sales give no regular prices, it is the price paid: deals of the whole chain cancel out, while a regular price
    that is found store by store would differ by when each store's deals were.

    Args:
        sales: Canonical sale lines.
        products: The products from which the 50 best sellers are taken; by default all.

    Example:
        >>> sales = pd.DataFrame({"date": pd.Timestamp("2024-01-01"), "store": ["a", "b"], "product": "tea", "units": 3.0})
        >>> store_price_gaps(sales.assign(price_paid=2.0, regular_price=[2.0, 4.0])).values.ravel().round(2).tolist()
        [-0.35, 0.35]
    """
    tables = Tables(sales)
    units = sales_panel(tables, products, by_store=False)["units"].sum(["store", "week"]).to_series()
    given = (sales["regular_price"] > sales["price_paid"] * (1 + 1e-6)).any()
    prices = with_prices(sales_panel(tables, list(units.nlargest(_BEST).index)))
    price = prices["regular_price" if given else "price"]
    log = xr.apply_ufunc(np.log, price.where(price > 0))
    return log - log.mean("store")


def with_regular_prices(sales: pd.DataFrame, panel: xr.Dataset) -> pd.DataFrame:
    """Sale lines at the regular prices that their panel found, where they give none themselves.

    Args:
        sales: Canonical sale lines.
        panel: Their panel, as `sales_panel` returns it.

    Example:
        >>> weeks = pd.date_range("2024-01-01", periods=9, freq="7D")
        >>> paid = [2.0, 2.0, 2.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
        >>> sales = pd.DataFrame({"date": weeks, "product": "tea", "units": 3.0, "price_paid": paid, "regular_price": paid})
        >>> with_regular_prices(sales, sales_panel(Tables(sales)))["regular_price"].unique().tolist()
        [2.0]
    """
    here = sales["product"].isin(panel["product"].to_numpy()).to_numpy()
    own = sales[here]
    regular = sales["regular_price"].to_numpy(dtype=np.float64, copy=True)
    if (own["regular_price"] > own["price_paid"] * (1 + 1e-6)).any():
        return sales
    week = period_of(panel["week"])
    first = pd.Timestamp(panel["week"].to_numpy()[0])
    store = own["store"].astype(object).fillna(WHOLE_SHOP).astype(str) if "store" in own else WHOLE_SHOP
    places = own[["product"]].assign(store=store, week=first + (own["date"] - first) // week * week)
    known = with_prices(panel)["regular_price"].to_series().dropna()
    regular[here] = np.fmax(known.reindex(pd.MultiIndex.from_frame(places[_AXES])), regular[here])
    return sales.assign(regular_price=regular)


def _added_up(rows: pl.DataFrame) -> pl.DataFrame:
    """The sums of sale lines by store, week and product, whatever the order of the lines, to the last bit."""
    units = pl.col("units")
    values = {"units": units, "revenue": units * pl.col("price_paid")}
    values["regular_revenue"] = units * pl.coalesce("regular_price", "price_paid")
    mean = (values["revenue"].sum() / units.sum()).fill_nan(None).over(_AXES)
    # Of a price that moves within the week, the lower ones are reductions.
    values["upper_revenue"] = units * pl.max_horizontal("price_paid", mean)
    if "unit_cost" in rows:
        values["cost"] = units * pl.col("unit_cost").cast(pl.Float64)
        values["costed_units"] = pl.when(pl.col("unit_cost").is_not_null()).then(units)
    unsold = units == 0
    if rows.select(unsold.any()).item():
        values["unsold_rows"] = unsold.cast(pl.Float64)
        values["unsold_price"] = pl.when(unsold).then("price_paid")
        values["unsold_regular"] = pl.when(unsold).then(pl.coalesce("regular_price", "price_paid"))
    # In one order: sums of floats depend on it.
    rows = rows.select(*_AXES, **values).sort(*_AXES, *values)
    # The row number at which each store, week and product begins.
    begins = pl.struct(_AXES).rle_id().diff().fill_null(1).cast(pl.Boolean)
    first = rows.select(begins.arg_true()).to_series()
    sums = {name: np.add.reduceat(rows[name].fill_null(0.0).to_numpy(), first.to_numpy()) for name in values}
    return rows.select(_AXES)[first].with_columns(**{name: pl.Series(added) for name, added in sums.items()})


def _visits(rows: pl.DataFrame) -> pl.DataFrame:
    """The number of visits by store and week; a basket of several stores is a visit of the first, a row without units none."""
    rows = rows.filter(pl.col("units") > 0)
    if "basket" in rows:
        named = pl.col("basket").is_not_null()
        baskets = rows.filter(named).group_by("week", "basket").agg(pl.col("store").min())
        rows = pl.concat([part.select("store", "week") for part in (baskets, rows.filter(~named))])
    return rows.group_by("store", "week").agg(traffic=pl.len().cast(pl.Float64))


def _labelled(sums: list[pl.DataFrame], weeks: Weeks) -> xr.Dataset:
    """Sums by store, week and perhaps product as a data set; 0 where there is none."""
    days = weeks.first_days(weeks.numbers()).to_numpy()
    texts = ("store", "product")
    names = {axis: pl.concat([rows[axis] for rows in sums if axis in rows]).unique().sort() for axis in texts}
    labels = {axis: days if axis == "week" else names[axis].to_list() for axis in _AXES}
    found = {}
    for rows in sums:
        axes = [axis for axis in _AXES if axis in rows]
        at = [rows[axis].cast(pl.Enum(names[axis])).to_physical() if axis in names else rows[axis] for axis in axes]
        for name in rows.columns[len(axes) :]:
            values = np.zeros([len(labels[axis]) for axis in axes])
            values[tuple(index.to_numpy() for index in at)] = rows[name].to_numpy()
            found[name] = (axes, values)
    return xr.Dataset(found, labels)
