"""The panel of weeks and products that forecasters take, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd
import polars as pl
import xarray as xr

from ..tables import Tables
from ..weeks import DAY, WEEK, Weeks, period_of, to_polars
from .aggregation import carried_forward, sales_panel, with_prices
from .context import PRODUCT_WEEK, context_columns


def product_weeks(
    sales: pd.DataFrame | Tables,
    *,
    products: pd.DataFrame | None = None,
    days: int = WEEK.days,
    first: date | None = None,
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
        first: First day of any week; by default weeks begin with the first date of the sales.

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
        - `traffic`, the number of distinct baskets (without them, sale lines) of the whole shop in
          that week; of days, at the share of an average weekday;
        - what the other tables say: `promotion` (and `promotion: KIND` of several kinds), `holiday`, `stockout`, `competitor_price`,
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
    wanted = None if products is None else list(products["product"])
    return weekly_table(sales_panel(tables, wanted, days=days, first=first, by_store=False), tables, products)


def weekly_table(
    panel: xr.Dataset,
    tables: Tables,
    products: pd.DataFrame | None = None,
    kinds: Sequence[str] | None = None,
) -> pd.DataFrame:
    """What `product_weeks` returns, of a panel that is there already.

    Args:
        panel: As `sales_panel` returns it, of all stores or some, which are added up.
        tables: The tables of these stores.
        products: Products with their `category`.
        kinds: The kinds of promotions with a column each; by default those of the tables.

    Example:
        >>> weekly_table(sales_panel(tables), tables)["units"]  # doctest: +SKIP
    """
    shop = with_prices(panel.sum("store"))
    shop = shop.sel(product=shop["units"].any("week"))
    traffic = shop["traffic"].to_series()
    if period_of(panel["week"]) == DAY:
        # The size of the market alone: what is usual of a weekday is taken out.
        visits = traffic[traffic > 0]
        weekday = visits.groupby(pd.DatetimeIndex(visits.index).day_of_week).transform("mean")
        traffic = (visits * visits.mean() / weekday).reindex(traffic.index, fill_value=0.0)
    price, regular = (carried_forward(shop[name]) for name in ("price", "regular_price"))
    # What is given away has no discount.
    off = (1 - price / regular.where(regular > 0)).clip(min=0).where(regular != 0, 0.0)
    columns = {"units": shop["units"], "revenue": shop["revenue"], "price": price, "regular_price": regular}
    columns |= {"discount_share": off}
    if "planned_regular" in shop:
        columns |= {"planned_regular": carried_forward(shop["planned_regular"]), "tested": shop["tested_units"] > 0}
    if "unit_cost" in shop:
        columns["unit_cost"] = carried_forward(shop["unit_cost"])
    table = xr.Dataset(columns | {"traffic": ("week", traffic)}).to_dataframe(dim_order=PRODUCT_WEEK).reset_index()
    if products is not None:
        category = products.drop_duplicates("product").set_index("product")["category"]
        table.insert(2, "category", table["product"].map(category))
    weeks = Weeks.over(panel["week"])
    grid = to_polars(table, PRODUCT_WEEK).with_columns(week=weeks.number(pl.col("week")))
    return pd.concat([table, context_columns(tables, grid, weeks, kinds).to_pandas()], axis=1)


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
