"""The weekly panel of the priced products: the past that models are fitted on, and the weeks to simulate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..data import Tables, choose_products, product_weeks
from .initial_stock import initial_stock
from .planned_weeks import planned_weeks
from .shop_rules import ShopRules

# Less history can tell no price response at all.
_LEAST_WEEKS = 12
# A quarter's seasonal terms and the backtest's origins need this much before the held-out weeks; with less
# history fewer weeks are held out, but never fewer than this share.
_ENOUGH_WEEKS, _LEAST_SHARE = 26, 0.25
_YEAR_WEEKS = 52
_NAMED = 5
_RECENT_WEEKS = 8
_WEEK = pd.Timedelta(days=7)


@dataclass(frozen=True)
class Split:
    """The weekly panel of the products, split into the past and the weeks to simulate.

    Attributes:
        products: One row per product: `product`, `name`, `category` and, where known, `unit_cost`.
        past: Panel rows before the split.
        future: Panel rows of the weeks to simulate; without units where these are still to come.
        sales: Sale lines of all products before the split.
        plan: How the prices of weeks to come are known, and what a short history leaves unknown, in sentences.
        zone_sales: Sale lines of all zones before the split, at this one's price level, with the zone as
            their store; None for one zone. Zones share their response to prices.
        initial_units: (N,) units that weeks to come start with, NaN where not known; None for past weeks.
    """

    products: pd.DataFrame
    past: pd.DataFrame
    future: pd.DataFrame
    sales: pd.DataFrame
    plan: tuple[str, ...] = ()
    zone_sales: pd.DataFrame | None = None
    initial_units: np.ndarray | None = None

    @property
    def weeks(self) -> pd.DatetimeIndex:
        """The T weeks to simulate."""
        return pd.DatetimeIndex(sorted(self.future["week"].unique()))

    @property
    def to_come(self) -> bool:
        """Whether the weeks to simulate come after the data."""
        return "units" not in self.future

    def grid(self, column: str) -> np.ndarray:
        """(T, N) values of a column in the future, in the order of `products`."""
        table = self.future.pivot(index="week", columns="product", values=column)
        return table[self.products["product"]].to_numpy(dtype=np.float64)

    def span(self) -> dict[str, str | int]:
        """First and last day of the weeks to simulate, and their number, for JSON."""
        weeks = self.weeks
        last = weeks[-1] + _WEEK - pd.Timedelta(days=1)
        return {"first_day": f"{weeks[0]:%Y-%m-%d}", "last_day": f"{last:%Y-%m-%d}", "weeks": len(weeks)}


def priced_products(tables: Tables, rules: ShopRules, **how_many: Any) -> pd.DataFrame:
    """The products to price: those of `choose_products` among what the rules leave.

    Args:
        tables: The shop's tables.
        rules: The shop's rules.
        how_many: Further arguments of `choose_products`.

    Raises:
        ScenarioError: A rule names what the tables do not have, or nothing is left to price.
        DataError: No category qualifies.

    Example:
        >>> priced_products(tables, ShopRules.of({"shop": {"categories": ["Bread"]}}))  # doctest: +SKIP
    """
    if tables.products is not None:
        rules.check(tables.products)
        tables = replace(tables, products=rules.chosen_from(tables.products))
    return choose_products(tables, **how_many)


def held_out(
    tables: Tables, products: pd.DataFrame, holdout_weeks: int, zone_sales: pd.DataFrame | None = None
) -> Split:
    """The last weeks of the data as the weeks to simulate.

    Args:
        tables: The shop's tables.
        products: The products to price.
        holdout_weeks: Number of last weeks; fewer where the history is short.
        zone_sales: Sale lines of all zones, as `Split` describes them.

    Raises:
        ValueError: The history is too short.
    """
    panel = product_weeks(tables, products=products)
    weeks = np.sort(panel["week"].unique())
    if len(weeks) < _LEAST_WEEKS:
        raise ValueError(f"sales must cover at least {_LEAST_WEEKS} weeks; got {len(weeks)}; add history")
    held = min(holdout_weeks, max(len(weeks) - _ENOUGH_WEEKS, int(_LEAST_SHARE * len(weeks))))
    start = weeks[-held]
    return Split(
        products=_described(products, tables),
        past=panel[panel["week"] < start],
        future=panel[panel["week"] >= start],
        sales=tables.sales[tables.sales["date"] < start],
        plan=(*_unknown(len(weeks), held, holdout_weeks), *_closed(panel)),
        zone_sales=None if zone_sales is None else zone_sales[zone_sales["date"] < start],
    )


def _unknown(weeks: int, held: int, asked: int) -> tuple[str, ...]:
    """What a history of some weeks cannot tell."""
    said = []
    if weeks < _YEAR_WEEKS:
        said.append(
            f"The sales cover {weeks} weeks, less than a year: no season of the year can be known, so forecasts have "
            "none and the posterior draws allow for one; price responses lean more on the priors."
        )
    if held < asked:
        said.append(
            f"The proof holds out the last {held} weeks rather than {asked}, to leave {weeks - held} to fit: it is weaker."
        )
    return tuple(said)


def _closed(panel: pd.DataFrame) -> tuple[str, ...]:
    """The weeks in which the shop sold nothing at all."""
    closed = panel.loc[panel["traffic"] == 0, "week"].unique()
    if not len(closed):
        return ()
    more = "the last from " if len(closed) > _NAMED else "from "
    named = ", ".join(f"{week:%Y-%m-%d}" for week in closed[-_NAMED:])
    return (
        f"The shop sold nothing in {len(closed)} of the weeks ({more}{named}): it is taken to have been closed, and these "
        "weeks are left out; the weeks to come are taken as open.",
    )


def weeks_to_come(tables: Tables, proof: Split, weeks: int, zone_sales: pd.DataFrame | None = None) -> Split:
    """The weeks after the data as the weeks to simulate, at the shop's planned prices.

    Args:
        tables: The shop's tables; `plan` overrides the usual pattern.
        proof: The split with the last weeks held out.
        weeks: Number of weeks.
        zone_sales: Sale lines of all zones, as `Split` describes them.

    Raises:
        ValueError: The plan has no row for these weeks and products.
    """
    panel = pd.concat([proof.past, proof.future])
    future, plan = planned_weeks(panel, tables, regular_price(panel), weeks)
    # Lines after the last complete week are in no panel.
    end = panel["week"].max() + _WEEK
    recent = panel[panel["week"] >= end - _RECENT_WEEKS * _WEEK]
    units, stock = initial_stock(tables, proof.products, end, recent.groupby("product")["units"].mean())
    sales = tables.sales[tables.sales["date"] < end]
    zone_sales = None if zone_sales is None else zone_sales[zone_sales["date"] < end]
    return Split(proof.products, panel, future, sales, (*proof.plan, *plan, *stock), zone_sales, units)


def regular_price(panel: pd.DataFrame) -> pd.Series:
    """The regular price at the end of a panel, by product."""
    recent = panel[panel["week"] >= np.sort(panel["week"].unique())[-_RECENT_WEEKS:][0]]
    return recent.groupby("product")["regular_price"].median()


def _described(products: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The products with a name (their id if they have none) and the unit cost from the tables."""
    rows = products.reset_index(drop=True)
    name = rows["name"] if "name" in rows else rows["product"]
    rows = rows.assign(name=name.fillna(rows["product"]))
    if tables.products is None or "unit_cost" not in tables.products or "unit_cost" in rows:
        return rows
    return rows.merge(tables.products[["product", "unit_cost"]], on="product", how="left")
