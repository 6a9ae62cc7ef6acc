"""Sales analysis: what was sold, when, at which prices, and which products carry the revenue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from .panel import product_weeks
from .tables import Tables

_ABC_BOUNDS = (0.80, 0.95)


@dataclass(frozen=True)
class SalesSummary:
    """The sales of a period.

    Attributes:
        first_day, last_day: the period.
        weeks: 7-day weeks in it, an unfinished last one left out.
        lines, baskets, customers, products: distinct counts; None where the sales do not name them.
        revenue: currency. units: units sold. average_transaction_price: currency per unit, their quotient.
        discount_share: the part of the regular value of everything sold that was taken off.
        price_index: by week, what the units of the whole period cost at that week's prices, over the same in
            the first week (a fixed-basket, or Lowe, index; ILO et al., Consumer Price Index Manual 2020,
            chapter 2). Prices of weeks without a sale are those of `product_weeks`.
        abc: number of products and share of revenue by class: the best sellers up to 80% of the revenue are
            A, the next up to 95% are B, the rest C; the product that crosses a bound is in the better class.
        seasonality: by calendar month, revenue a day over the period's revenue a day.
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
    abc: pd.DataFrame
    seasonality: pd.Series

    def to_dict(self) -> dict[str, Any]:
        """Give the summary as plain data, fit for JSON."""
        return asdict(self) | {
            "first_day": f"{self.first_day:%Y-%m-%d}",
            "last_day": f"{self.last_day:%Y-%m-%d}",
            "price_index": {f"{week:%Y-%m-%d}": value for week, value in self.price_index.items()},
            "abc": self.abc.to_dict("index"),
            "seasonality": self.seasonality.to_dict(),
        }


def sales_summary(tables: Tables) -> SalesSummary:
    """Summarise the sales of `tables`."""
    sales = tables.sales
    revenue = sales["units"] * sales["price_paid"]
    panel = product_weeks(sales)
    total, units = float(revenue.sum()), float(sales["units"].sum())
    return SalesSummary(
        first_day=sales["date"].min(),
        last_day=sales["date"].max(),
        weeks=panel["week"].nunique(),
        lines=len(sales),
        baskets=_distinct(sales, "basket"),
        customers=_distinct(sales, "customer"),
        products=sales["product"].nunique(),
        revenue=total,
        units=units,
        average_transaction_price=total / units,
        discount_share=_discount_share(sales, total),
        price_index=_price_index(panel),
        abc=_abc(revenue.groupby(sales["product"]).sum()),
        seasonality=_seasonality(revenue.groupby(sales["date"]).sum()),
    )


def _distinct(sales: pd.DataFrame, column: str) -> int | None:
    return sales[column].nunique() if column in sales else None


def _discount_share(sales: pd.DataFrame, revenue: float) -> float:
    regular = float((sales["units"] * sales["regular_price"]).sum())
    return 1 - revenue / regular if regular else 0.0


def _price_index(panel: pd.DataFrame) -> pd.Series:
    basket = panel.groupby("product")["units"].transform("sum")
    cost = (panel["price"] * basket).groupby(panel["week"]).sum()
    return (cost / cost.iloc[0]).rename("price_index")


def _abc(revenue: pd.Series) -> pd.DataFrame:
    best_first = revenue.sort_values(ascending=False)
    before = best_first.cumsum().shift(fill_value=0.0) / best_first.sum()
    # Rounding keeps a product that starts exactly on a bound out of the class that the bound closes.
    classes = np.select([before.round(12) < bound for bound in _ABC_BOUNDS], ["A", "B"], default="C")
    table = best_first.groupby(classes).agg(["size", "sum"]).reindex(["A", "B", "C"], fill_value=0)
    return pd.DataFrame({"products": table["size"], "revenue_share": table["sum"] / best_first.sum()})


def _seasonality(daily: pd.Series) -> pd.Series:
    daily = daily.asfreq("D", fill_value=0.0)
    return (
        (daily.groupby(pd.DatetimeIndex(daily.index).month).mean() / daily.mean())
        .rename_axis("month")
        .rename("seasonality")
    )
