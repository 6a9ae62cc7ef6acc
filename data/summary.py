"""Sales analysis: what was sold, when, at which prices, and which products make the revenue."""

from __future__ import annotations

from calendar import day_abbr, month_abbr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl

from ..atomic import whole_file
from .panel.aggregation import whole_weeks
from .panel.weekly import product_weeks
from .schema import DataError
from .tables import StoredTables, Tables
from .weeks import Weeks

_ABC_BOUNDS = (0.80, 0.95)
_TOP = 10
_HASHES = 5_000_000
"""Sale lines of which distinct ids are counted at once."""
_SUMMED = ["units", "price_paid", "regular_price"]
_FIGURES = ["revenue", "revenue_share", "units", "price", "discount_share"]
_SUFFIXES = (".png", ".svg", ".pdf")
_CATEGORIES_SHOWN = 10


@dataclass(frozen=True)
class SalesSummary:
    """The sales of a period.

    Attributes:
        first_day: First day of the period.
        last_day: Last day of the period.
        weeks: Number of 7-day weeks, without an incomplete last one.
        lines: Number of sale lines.
        baskets: Number of distinct baskets; None if the sales do not name them.
        customers: Number of distinct customers; None if the sales do not name them.
        products: Number of distinct products.
        revenue: Revenue, in currency.
        units: Units sold.
        average_transaction_price: Revenue per unit, in currency.
        discount_share: Discounts as a share of the regular value of everything sold; where the sales give no regular
            price above a price paid, regular prices are those of `product_weeks`.
        price_index: By week, the cost of the whole period's units at that week's prices, relative
            to the first week (a fixed-basket, or Lowe, index; ILO et al., Consumer Price Index
            Manual 2020, chapter 2). Prices of weeks without a sale are those of `product_weeks`.
        weekly: By week, `revenue`, `units` and `discount_share`.
        abc: Number of products and share of revenue by class: the best sellers that make up 80% of
            the revenue are A, the next up to 95% are B, the rest are C; a product that crosses a
            bound belongs to the better class.
        seasonality: By calendar month, revenue per day relative to that of the whole period.
        weekdays: The same by day of the week; Monday is 1.
        top_products: The ten best sellers by revenue: `product`, `name` where known, `revenue`,
            `revenue_share`, `units`, `price` (currency per unit) and `discount_share`.
        categories: The same by category, with its number of `products`; None without a product
            table.
        stockouts: By week, the number of products that were sold out on some day; None without a
            stock table.
        promoted_units_share: Share of the units sold in weeks with a promotion of their product;
            None without a promotion table.

    Example:
        >>> summary = sales_summary(load_tables(Path("shop")))  # doctest: +SKIP
        >>> summary.average_transaction_price  # doctest: +SKIP
        2.21
    """

    first_day: pd.Timestamp
    last_day: pd.Timestamp
    weeks: int
    lines: int
    baskets: int | None
    customers: int | None
    products: int
    revenue: float
    units: float
    average_transaction_price: float
    discount_share: float
    price_index: pd.Series
    weekly: pd.DataFrame
    abc: pd.DataFrame
    seasonality: pd.Series
    weekdays: pd.Series
    top_products: pd.DataFrame
    categories: pd.DataFrame | None
    stockouts: pd.Series | None
    promoted_units_share: float | None

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain data for JSON."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    """Plain data for JSON: rows of numbered tables, else by label."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if not isinstance(value, pd.Series | pd.DataFrame):
        return value
    if isinstance(value, pd.DataFrame) and isinstance(value.index, pd.RangeIndex):
        return value.to_dict("records")
    by_label = value.to_dict("index") if isinstance(value, pd.DataFrame) else value.to_dict()
    return {_plain(label): row for label, row in by_label.items()}


class SalesTotals(NamedTuple):
    """The totals of `SalesSummary`, with the same names.

    Example:
        >>> totals = SalesTotals(weeks=2, revenue=30.0, units=12.0, discount_share=0.25)
        >>> totals.revenue / totals.units
        2.5
    """

    weeks: int
    revenue: float
    units: float
    discount_share: float


def sales_totals(tables: Tables) -> SalesTotals:
    """The totals of the sales of a shop, without what `sales_summary` works out by product.

    Args:
        tables: Canonical tables.

    Raises:
        DataError: There are no sales.

    Example:
        >>> day = pd.Timestamp("2024-03-04")
        >>> row = {"date": day, "product": "apple", "units": 2.0, "price_paid": 0.25, "regular_price": 0.5}
        >>> sales_totals(Tables(pd.DataFrame([row])))
        SalesTotals(weeks=1, revenue=0.5, units=2.0, discount_share=0.5)
    """
    lines = tables.sale_lines(["date", *_SUMMED])
    sums = [value.sum().alias(name) for name, value in _money().items()]
    units, revenue, regular = lines.select(sums).collect(engine="streaming").row(0)
    return SalesTotals(whole_weeks(lines).count, revenue, units, float(1 - revenue / regular) if regular else 0.0)


def sales_summary(tables: Tables) -> SalesSummary:
    """Summarise the sales of a shop.

    Args:
        tables: Canonical tables.

    Example:
        >>> day = pd.Timestamp("2024-03-04")
        >>> row = {"date": day, "product": "apple", "units": 2.0, "price_paid": 0.5, "regular_price": 0.5}
        >>> sales_summary(Tables(pd.DataFrame([row]))).revenue
        1.0
    """
    lines = tables.sale_lines(["date", "product", *_SUMMED])
    by_product, daily, count = _added_up(lines, stored=isinstance(tables, StoredTables))
    # Events of customers are in no figure of the summary.
    panel = product_weeks(replace(tables, behaviour=None))
    if (by_product["regular_revenue"] <= by_product["revenue"]).all():
        by_product = _at_regular_prices(by_product, panel)
    total, units, regular = by_product[["revenue", "units", "regular_revenue"]].sum()
    return SalesSummary(
        first_day=daily.index[0],
        last_day=daily.index[-1],
        weeks=panel["week"].nunique(),
        lines=count,
        baskets=_distinct(tables, "basket", count),
        customers=_distinct(tables, "customer", count),
        products=len(by_product),
        revenue=float(total),
        units=float(units),
        average_transaction_price=float(total / units),
        discount_share=float(1 - total / regular) if regular else 0.0,
        price_index=_price_index(panel),
        weekly=_weekly(panel),
        abc=_abc(by_product["revenue"]),
        seasonality=_cycle(daily, pd.DatetimeIndex(daily.index).month, "month").rename("seasonality"),
        weekdays=_cycle(daily, pd.DatetimeIndex(daily.index).day_of_week + 1, "weekday").rename("weekdays"),
        top_products=_top(by_product, tables.products),
        categories=_categories(by_product, tables.products),
        stockouts=panel.groupby("week")["stockout"].sum() if "stockout" in panel else None,
        promoted_units_share=_promoted(panel),
    )


def _at_regular_prices(by_product: pd.DataFrame, panel: pd.DataFrame) -> pd.DataFrame:
    """The totals with the regular value of the panel, which knows regular prices where the sales give none."""
    value = panel["units"] * panel["regular_price"]
    sums = panel.assign(value=value).groupby("product")[["value", "revenue"]].sum()
    # The panel leaves out an incomplete last week and stray dates.
    ratio = (sums["value"] / sums["revenue"]).where(sums["revenue"] > 0).reindex(by_product.index).fillna(1.0)
    return by_product.assign(regular_revenue=by_product["revenue"] * ratio)


def _added_up(lines: pl.LazyFrame, *, stored: bool) -> tuple[pd.DataFrame, pd.Series, int]:
    """Units and revenues by product, revenue by day, and the number of sale lines."""
    money = _money()
    # Sorting before adding makes the sums independent of the order of the rows, to the last bit.
    sums = [value.sort().sum().alias(name) for name, value in money.items()]
    products = []
    days = []
    count = 0
    for chunk in Weeks.of(lines).split(lines, stored=stored):
        count += len(chunk)
        products.append(chunk.group_by("product", "week").agg(sums))
        days.append(chunk.group_by("date").agg(sums[1]))
    by_week = pl.concat(products).sort("product", "week").to_pandas()
    daily = pl.concat(days).sort("date").to_pandas().set_index("date")["revenue"]
    return by_week.groupby("product")[list(money)].sum(), daily.asfreq("D", fill_value=0.0), count


def _money() -> dict[str, pl.Expr]:
    units, paid, regular = map(pl.col, _SUMMED)
    return {"units": units, "revenue": units * paid, "regular_revenue": units * regular}


def _distinct(tables: Tables, column: str, lines: int) -> int | None:
    """The number of distinct ids; those of a share of the values at a time, of which each is in one."""
    ids = tables.sale_lines([column])
    if not ids.collect_schema().names():
        return None
    # Two of ten million ids have the same hash with a probability of 3e-6.
    hashed = pl.col(column).drop_nulls().hash()
    shares = -(-lines // _HASHES)
    counts = (
        ids.select(hashed.alias("id")).filter(pl.col("id") % shares == share).select(pl.col("id").n_unique())
        for share in range(shares)
    )
    return sum(int(count.collect(engine="streaming").item()) for count in counts)


def _price_index(panel: pd.DataFrame) -> pd.Series:
    basket = panel.groupby("product")["units"].transform("sum")
    # Before its first sale, a product has the price of that sale: the basket is fixed.
    cost = (panel.groupby("product")["price"].bfill() * basket).groupby(panel["week"]).sum()
    return (cost / cost.iloc[0]).rename("price_index")


def _weekly(panel: pd.DataFrame) -> pd.DataFrame:
    money = panel.assign(regular_revenue=panel["units"] * panel["regular_price"])
    weekly = money.groupby("week")[["revenue", "units", "regular_revenue"]].sum()
    return weekly[["revenue", "units"]].assign(discount_share=_discount_share(weekly))


def _discount_share(totals: pd.DataFrame) -> pd.Series:
    """Discounts as a share of the regular value; 0 if that is zero."""
    return (1 - totals["revenue"] / totals["regular_revenue"]).where(totals["regular_revenue"] > 0, 0.0)


def _described(totals: pd.DataFrame) -> pd.DataFrame:
    """Shares and prices of `revenue`, `units` and `regular_revenue`, best seller first."""
    share = totals["revenue"] / totals["revenue"].sum()
    price = totals["revenue"] / totals["units"]
    described = totals.assign(revenue_share=share, price=price, discount_share=_discount_share(totals))
    return described.sort_values("revenue", ascending=False, kind="stable").drop(columns="regular_revenue")


def _top(by_product: pd.DataFrame, products: pd.DataFrame | None) -> pd.DataFrame:
    top = _described(by_product).head(_TOP)[_FIGURES].reset_index()
    if products is not None and "name" in products:
        name = products.drop_duplicates("product").set_index("product")["name"]
        top.insert(1, "name", top["product"].map(name).fillna(top["product"]))
    return top


def _categories(by_product: pd.DataFrame, products: pd.DataFrame | None) -> pd.DataFrame | None:
    if products is None:
        return None
    category = products.drop_duplicates("product").set_index("product")["category"]
    groups = by_product.groupby(category.reindex(by_product.index))
    return _described(groups.sum().assign(products=groups.size()))[["products", *_FIGURES]].reset_index()


def _promoted(panel: pd.DataFrame) -> float | None:
    if "promotion" not in panel:
        return None
    return float(panel["units"].where(panel["promotion"] > 0, 0.0).sum() / panel["units"].sum())


def _abc(revenue: pd.Series) -> pd.DataFrame:
    best_first = revenue.sort_values(ascending=False)
    before = best_first.cumsum().shift(fill_value=0.0) / best_first.sum()
    # Rounding puts a product that starts exactly at a bound into the next class.
    classes = np.select([before.round(12) < bound for bound in _ABC_BOUNDS], ["A", "B"], default="C")
    table = best_first.groupby(classes).agg(["size", "sum"]).reindex(["A", "B", "C"], fill_value=0)
    return pd.DataFrame({"products": table["size"], "revenue_share": table["sum"] / best_first.sum()})


def _cycle(daily: pd.Series, step: pd.Index, name: str) -> pd.Series:
    """Revenue per day in each step of a cycle, relative to that of the whole period."""
    return (daily.groupby(step).mean() / daily.mean()).rename_axis(name)


# A plot of the sales summary.


def check_plot_path(path: Path) -> None:
    """Check that a plot can be written to this file, before the work for it is done.

    Args:
        path: The file.

    Raises:
        DataError: Its ending is not .png, .svg or .pdf.

    Example:
        >>> check_plot_path(Path("sales.png"))
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"the plot file must end in {', '.join(_SUFFIXES)}; got {path.name}; rename it")


def plot_summary(summary: SalesSummary, path: Path) -> None:
    """Plot revenue, units, discounts, prices, the largest categories (or else the best
    sellers) and seasons.

    Args:
        summary: What to plot.
        path: The file to write, or to replace: .png, .svg or .pdf.

    Raises:
        DataError: The file has another ending.

    Example:
        >>> plot_summary(sales_summary(tables), Path("sales.png"))  # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    check_plot_path(path)
    figure = Figure(figsize=(15, 12), layout="constrained")
    axes = figure.subplots(3, 2)
    weekly = summary.weekly
    lines = {
        "revenue per week (currency)": weekly["revenue"],
        "units per week": weekly["units"],
        "price index (first week = 1)": summary.price_index,
        "discount on the regular price (%)": 100 * weekly["discount_share"],
    }
    for place, (title, values) in zip(axes.flat, lines.items(), strict=False):
        place.plot(weekly.index, values, marker="." if len(weekly) < 20 else None)
        place.set_title(title)
        place.set_ylim(bottom=None if values is summary.price_index else 0.0)
        place.tick_params(axis="x", labelrotation=30)
    axes[1, 1].set_ylim(top=max(5.0, 110 * weekly["discount_share"].max()))
    # Where a product was sold out, units are below demand.
    if summary.stockouts is not None and (out := summary.stockouts > 0).any():
        axes[0, 1].plot(weekly.index[out], weekly["units"][out], "x", label="a product sold out")
        axes[0, 1].legend()
    if summary.categories is not None:
        shown = "largest categories"
        best = summary.categories.head(_CATEGORIES_SHOWN)
        labels = best["category"]
    else:
        shown = "best sellers"
        best = summary.top_products
        labels = best["name" if "name" in best else "product"]
    # A bar chart is drawn from the bottom up: the first one goes last.
    axes[2, 0].barh([str(label)[:40] for label in labels][::-1], best["revenue"].tolist()[::-1])
    axes[2, 0].set_title(f"revenue of the {shown} (currency)")
    axes[2, 1].bar([month_abbr[month] for month in summary.seasonality.index], summary.seasonality.tolist())
    axes[2, 1].bar([day_abbr[day - 1] for day in summary.weekdays.index], summary.weekdays.tolist())
    axes[2, 1].axhline(1.0, color="black", linewidth=0.8)
    axes[2, 1].set_title("revenue per day by month and by weekday (mean = 1)")
    axes[2, 1].tick_params(axis="x", labelrotation=90)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))
