"""Choose products for a pricing study: best sellers that are substitutes, and what sells beside them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from .panel.aggregation import carried_forward, sales_panel, store_price_gaps, with_prices
from .schema import DataError
from .tables import Tables
from .weeks import WEEK, YEAR_WEEKS

MODELLED = 0.95
"""Share of a category's revenue whose products are in the market."""
MOST_MODELLED = 50
"""The most of them."""
# Standard deviation of the weekly log price that is needed to estimate a price response.
_LEAST_VARIATION = 0.05
# Median over weeks of the regular price's coefficient of variation within a week. Packaged goods
# are below 0.03; weighed or assembled goods have no price per unit and are above 0.2.
_MOST_SPREAD = 0.05
# A product that came later needs this many weeks since, and one without a sale in the last weeks is
# gone.
_SELECTION_WEEKS = 26
_LATELY = 4
# Largest ratio of a regular price to that of the category's best seller: the same kind and size.
_PRICE_FACTOR = 2.0
# Products whose weekly log prices are correlated above this are priced as one line, such as
# flavours of a brand; only its best seller is chosen.
_ONE_PRICE_LINE = 0.95
# A chain whose stores have prices of their own: fewer products than this share have one price, and its stores' prices in
# odd weeks are correlated above this with those in even weeks.
_MOST_ALIKE = 0.5
# A share that is reached but for rounding is reached.
_SHARE_ROUNDING = 1e-9
# What is said of many products, of one.
_SINGULAR = {
    "they have": "it has",
    "they are": "it is",
    "they do not sell": "it does not sell",
    "they cost": "it costs",
    "their": "its",
    "were chosen": "are priced",
}


class _Measured(NamedTuple):
    """What decides on products, one row each, and the log prices of some by week."""

    of_products: pd.DataFrame
    log_price: pd.DataFrame


def choose_products(
    tables: Tables, *, n_categories: int = 5, per_category: int = 6, min_weeks_share: float = 0.95
) -> pd.DataFrame:
    """Choose the best sellers of categories with substitutes whose prices vary.

    A candidate was sold in nearly all weeks since its first sale, and in the last ones; it has one
    price per unit within a week (unlike weighed goods), and its price varies over the weeks. It
    came at least 26 weeks ago, or, in a short history, in its first quarter. Within a category,
    candidates cost about as much as the best seller and are not priced as one line with a better
    seller; the best sellers by units are chosen. Categories with the largest revenue of these rank
    first; a product alone in its category is priced too.

    Args:
        tables: Canonical tables with products.
        n_categories: Largest number of categories of two products or more; a product alone in its category is priced
            where that earns more than the last of these.
        per_category: Largest number of products in each.
        min_weeks_share: Smallest share of weeks with a sale.

    Returns:
        One row per product, by the rank of the category and by units: `category`, `product`, `name`
        (where known), `units`, `revenue` (currency), `price` (median regular price, currency per
        unit), `weeks_share` and `price_variation` (standard deviation of the weekly log price).

    Raises:
        DataError: There is no product table, or no category qualifies.

    Example:
        >>> from repricer.data import load_tables
        >>> products = choose_products(load_tables("shop"), n_categories=3)  # doctest: +SKIP
    """
    _check_listed(tables)
    measured = _measures(tables.sales, min_weeks_share)
    return _chosen(tables, measured, n_categories, per_category, min_weeks_share)


def _chosen(
    tables: Tables, measured: _Measured, n_categories: int, per_category: int, min_weeks_share: float
) -> pd.DataFrame:
    """The products to price, as `choose_products` returns them."""
    assert tables.products is not None, "it was checked"
    measures, log_price = measured
    learnable = (measures["price_variation"] >= _LEAST_VARIATION) & (measures["spread"] <= _MOST_SPREAD)
    known = tables.products.filter(["category", "product", "name"]).dropna(subset="category")
    shown = measures[learnable].drop(columns=["spread", "new", "gone"])
    candidates = known.merge(shown, left_on="product", right_index=True)
    groups = [
        _pick(group, log_price, per_category)
        for _, group in candidates.sort_values("units", ascending=False).groupby("category")
    ]
    if not groups or _stores_alone_agree(tables.sales, measures):
        raise DataError(_why_none(tables.sales, measures, min_weeks_share))
    groups.sort(key=lambda group: group["revenue"].sum(), reverse=True)
    # A product alone in its category is no category of substitutes: it comes with those that earn less.
    several = [rank for rank, group in enumerate(groups) if len(group) > 1]
    last = several[n_categories - 1] + 1 if len(several) >= n_categories else len(groups)
    chosen = groups[:last] if len(several) else groups[:n_categories]
    return pd.concat(chosen, ignore_index=True)


def _check_listed(tables: Tables) -> None:
    if tables.products is None:
        raise DataError(
            "fit needs a product table; got tables without one; import them with --products, or with a column category in the sales"
        )


def reasons_not_chosen(tables: Tables, chosen: pd.DataFrame, *, min_weeks_share: float = 0.95) -> pd.Series:
    """Why each product of a shop that is in no market is not priced, by its id, best sellers first.

    Args:
        tables: Canonical tables.
        chosen: The products of a market: `product`, and `held` where some of them are not priced.
        min_weeks_share: As `choose_products` had it.

    Example:
        >>> reasons_not_chosen(tables, choose_products(tables)).iloc[0]  # doctest: +SKIP
        'their price hardly moves'
    """
    measured = _measures(tables.sales, min_weeks_share, chosen["product"])
    priced = chosen if "held" not in chosen else chosen[chosen["held"].isna()]
    return _reasons(tables, measured, priced, min_weeks_share).drop(chosen["product"], errors="ignore")


def _reasons(tables: Tables, measured: _Measured, priced: pd.DataFrame, min_weeks_share: float) -> pd.Series:
    """Why each product that is not priced is not, by its id, best sellers first."""
    measures, log_price = measured
    listed = pd.DataFrame({"product": measures.index, "category": ""}) if tables.products is None else tables.products
    category = measures.index.to_series().map(listed.drop_duplicates("product").set_index("product")["category"])
    faults = {
        "they have no category": category.isna(),
        "they are no longer sold": measures["gone"],
        "they are too new": measures["new"],
        "they do not sell nearly every week": ~(measures["weeks_share"] >= min_weeks_share),
        "their price hardly moves": ~(measures["price_variation"] >= _LEAST_VARIATION),
        "they have no one regular price in a week": ~(measures["spread"] <= _MOST_SPREAD),
    }
    if tables.products is not None:
        # What `_pick` does, one by one.
        taken = measures.index[measures.index.isin(priced["product"])]
        candidates = measures[measures.index.isin(taken) | ~np.any(list(faults.values()), axis=0)]
        here = category[candidates.index]
        units = candidates["units"]
        best = here.map(candidates.sort_values("units", ascending=False)["price"].groupby(here).first())

        def in_line(product: str) -> bool:
            better = taken[(here[taken] == here[product]) & (units[taken] >= units[product])]
            return bool((log_price[better].corrwith(log_price[product]) > _ONE_PRICE_LINE).any())

        beside = here.isin(here[taken]) & ~candidates.index.isin(taken)
        lines = {product: beside[product] and in_line(product) for product in candidates.index}
        far = f"{_PRICE_FACTOR:g} times as much as their category's best seller, or less than 1/{_PRICE_FACTOR:g}"
        faults |= {
            "other categories were chosen": ~here.isin(here[taken]),
            f"they cost over {far}": ~candidates["price"].between(best / _PRICE_FACTOR, best * _PRICE_FACTOR),
            "they are priced as one line with a better seller": pd.Series(lines, dtype=bool),
        }
    faulty = [fault.reindex(measures.index, fill_value=False) for fault in faults.values()]
    better_sold = "better sellers of their category were chosen"
    reason = pd.Series(np.select(faulty, list(faults), better_sold), measures.index)
    best_first = measures["units"].sort_values(ascending=False, kind="stable").index
    return reason[best_first].drop(priced["product"], errors="ignore")


def choose_market(
    tables: Tables,
    *,
    modelled: float = MODELLED,
    most: int = MOST_MODELLED,
    least_weeks: int = 16,
    sold_in: Mapping[str, pd.DataFrame] | None = None,
    n_categories: int = 5,
    per_category: int = 6,
    min_weeks_share: float = 0.95,
) -> pd.DataFrame:
    """The products of a market: those of `choose_products`, and what else sells in their categories, at its planned prices.

    Customers who leave a priced product mostly buy another of its category, and come from there: without it, they would seem
    to leave the shop. Products that are not priced come in by their revenue of the last year, until the market has this
    share of the revenue of all that still sells in their category, or lacks one product.

    Args:
        tables: Canonical tables with products.
        modelled: Share of a category's revenue to reach; 0 for the priced products alone.
        most: Largest number of products of a category, the priced ones among them.
        least_weeks: A product must have come so many weeks before the end of the sales.
        sold_in: The sales of each price zone that the market is fitted with, in all of which such a product must sell; by
            default those of the tables.
        n_categories: As for `choose_products`, like the next two.
        per_category: Largest number of priced products in each.
        min_weeks_share: Smallest share of weeks with a sale of a priced product.

    Returns:
        The priced products, category by category, each with the others behind them; `held` says why a product is not
        priced, in a clause, None where it is.

    Raises:
        ValueError: The share is not within [0, 1].
        DataError: There is no product table, or no category qualifies.

    Example:
        >>> choose_market(load_tables("shop"))["held"].dropna().iloc[0]  # doctest: +SKIP
        'its price hardly moves'
    """
    if not 0 <= modelled <= 1:
        raise ValueError(
            f"modelled must lie in [0, 1]; got {modelled:g}; give a share of the revenue, such as {MODELLED:g}"
        )
    _check_listed(tables)
    measured = _measures(tables.sales, min_weeks_share)
    priced = _chosen(tables, measured, n_categories, per_category, min_weeks_share).assign(held=None)
    if modelled == 0:
        return priced
    reasons = _reasons(tables, measured, priced, min_weeks_share)
    assert tables.products is not None, "it was checked"
    listed = tables.products.drop_duplicates("product").set_index("product")
    revenue = _last_year(tables, listed.index[listed["category"].isin(priced["category"])])
    places = [tables.sales] if sold_in is None else list(sold_in.values())
    there = functools.reduce(
        pd.Index.intersection, [_sold_throughout(each, revenue.index, least_weeks) for each in places]
    )
    parts = []
    for category, own in priced.groupby("category", sort=False):
        here = revenue[listed["category"].reindex(revenue.index) == category]
        sold = here.sort_values(ascending=False, kind="stable")
        others = sold[sold.index.isin(reasons.index) & sold.index.isin(there) & (sold > 0)]
        # The last product is the one that reaches the share.
        before = float(sold.reindex(own["product"]).sum()) + others.cumsum() - others
        count = int((before < modelled * sold.sum() * (1 - _SHARE_ROUNDING)).sum())
        # A rest of one product is itself.
        count += count == len(others) - 1
        held = others.index[: min(count, max(most - len(own), 0))]
        rows = listed.filter(["category", "name"]).loc[held].reset_index(names="product")
        parts += [own, rows.assign(revenue=others[held].to_numpy(), held=[_of_one(reasons[name]) for name in held])]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def revenue_shares(tables: Tables, products: pd.DataFrame, priced: Collection[str]) -> tuple[float, float]:
    """The shares of the revenue of its categories, over the last year, that a market models, and that it prices.

    Args:
        tables: Canonical tables with products.
        products: The products of the market: `product` and `category`.
        priced: Those whose price may move.

    Returns:
        Both as shares of what all products of these categories earned that still sell.

    Example:
        >>> revenue_shares(tables, products, products["product"])  # doctest: +SKIP
        (0.96, 0.96)
    """
    here = pd.Index(products["product"])
    if tables.products is not None:
        same = tables.products["category"].isin(products["category"])
        here = here.union(pd.Index(tables.products.loc[same, "product"]))
    revenue = _last_year(tables, here)
    whole = float(revenue.sum())
    if not whole > 0:
        return 0.0, 0.0
    modelled, moving = (float(revenue[revenue.index.isin(list(some))].sum()) for some in (products["product"], priced))
    return modelled / whole, moving / whole


def _last_year(tables: Tables, products: pd.Index) -> pd.Series:
    """The revenue of the last year of some products that were sold in the last weeks, currency."""
    shop = sales_panel(tables, list(products), by_store=False).sum("store")
    shop = shop.sel(week=shop["traffic"] > 0)
    sold = (shop["units"].isel(week=slice(-_LATELY, None)) > 0).any("week")
    revenue = shop["revenue"].isel(week=slice(-YEAR_WEEKS, None)).sum("week")
    return revenue.sel(product=sold).to_series().rename_axis("product")


def _sold_throughout(sales: pd.DataFrame, products: pd.Index, least_weeks: int) -> pd.Index:
    """The products that came long enough ago, and sold in the last weeks."""
    lines = sales.loc[sales["product"].isin(products) & (sales["units"] > 0)]
    days = lines["date"].groupby(lines["product"].astype(str)).agg(["min", "max"])
    end = sales["date"].max()
    return days.index[(days["min"] <= end - least_weeks * WEEK) & (days["max"] > end - _LATELY * WEEK)]


def _of_one(reason: str) -> str:
    """A reason of `reasons_not_chosen` as a clause on one product."""
    for many, one in _SINGULAR.items():
        reason = reason.replace(many, one)
    return reason


def _measures(sales: pd.DataFrame, min_weeks_share: float, priced: Collection[str] = ()) -> _Measured:
    """What decides on a product, one row each, and the log prices, by week and product, of those that sell nearly
    every week or are `priced`.

    For the others only `units`, `weeks_share`, NaN where they are too `new` or `gone`, and these two are known.
    """
    shop = sales_panel(Tables(sales), by_store=False).sum("store")
    # A week in which the shop was closed says nothing of a product.
    shop = shop.sel(week=shop["traffic"] > 0, product=shop["units"].any("week"))
    new, gone, weeks_share = _weeks_share(shop["units"])
    dense = weeks_share.index[(weeks_share >= min_weeks_share) | weeks_share.index.isin(list(priced))]
    own = with_prices(shop.sel(product=dense))
    price, regular = (carried_forward(own[name]) for name in ("price", "regular_price"))
    charged = price > 0
    log_price = xr.apply_ufunc(np.log, price.where(charged))
    known = {
        "revenue": own["revenue"].where(charged).sum("week"),
        "price": regular.where(charged).median("week"),
        "price_variation": log_price.std("week", ddof=1),
    }
    measures = pd.DataFrame({name: value.to_series() for name, value in known.items()}).reindex(weeks_share.index)
    measures.insert(0, "units", shop["units"].sum("week").to_series())
    measures.insert(3, "weeks_share", weeks_share)
    return _Measured(measures.assign(spread=_spread(sales, dense), new=new, gone=gone), log_price.to_pandas())


def _weeks_share(units: xr.DataArray) -> tuple[pd.Series, pd.Series, pd.Series]:
    """By product, whether it is too new, whether it is gone, and the share of the shop's open weeks in which it sold; NaN if
    it is either.
    """
    sold = units > 0
    weeks = units.sizes["week"]
    # A product that came later is judged from its first sale on; one that went is not priced.
    since = weeks - sold.argmax("week")
    gone = sold.isel(week=slice(None, None, -1)).argmax("week")
    new = since < min(_SELECTION_WEEKS, 0.75 * weeks)
    over = gone >= _LATELY
    share = (sold.sum("week") / since).where(~new & ~over)
    return new.to_series(), over.to_series(), share.to_series()


def _why_none(sales: pd.DataFrame, measures: pd.DataFrame, min_weeks_share: float) -> str:
    """Why there is no product to price: what is lacking, and what to do about it."""
    dense = measures.index[measures["weeks_share"] >= min_weeks_share]
    moving = measures.index[measures["price_variation"] >= _LEAST_VARIATION]
    one = moving[measures["spread"][moving] <= _MOST_SPREAD]
    got = (
        f"{len(measures)} product{'s' * (len(measures) > 1)}, of which {len(dense)} sell in {min_weeks_share:.0%} of the weeks, "
        f"{len(moving)} of these at varying prices, and {len(one)} of these at one regular price a week"
    )
    advice = "import a longer history, or products that sell every week"
    # Deals of many stores average out, so that a chain's mean price hardly moves.
    if _stores_alone_agree(sales, measures):
        advice = (
            f"the {sales['store'].nunique()} stores have prices of their own: fit them by zone (repricer fit --by zone), which "
            "makes a market of each group of stores with the same prices"
        )
    elif len(dense) and not len(moving) and _spread(sales, dense, "price_paid").median() > _MOST_SPREAD:
        advice = "prices are reduced in different stores at different times and average out: fit some stores alone"
    elif len(dense) and not len(moving):
        advice = "prices that never moved do not tell how customers respond: try some changes first"
    elif len(moving):
        advice = "weighed or assembled goods have no price per unit"
    return (
        "fit needs a product that sells nearly every week, at one price a week that varies over the weeks; "
        f"got {got}; {advice}"
    )


def _stores_alone_agree(sales: pd.DataFrame, measures: pd.DataFrame) -> bool:
    """Whether most products have no one regular price a week over all stores, and stores that are dear stay so."""
    spread = measures["spread"].dropna()
    if "store" not in sales or not (spread <= _MOST_SPREAD).mean() < _MOST_ALIKE:
        return False
    gaps = store_price_gaps(sales, list(spread.index))
    # Weighed goods differ from store to store too, by chance.
    halves = [gaps.isel(week=slice(first, None, 2)).mean("week") for first in (0, 1)]
    return bool(xr.corr(*halves) > _MOST_ALIKE)


def _spread(sales: pd.DataFrame, products: pd.Index, price: str = "regular_price") -> pd.Series:
    """Median over weeks of a price's coefficient of variation within a week, by default the regular price's."""
    lines = sales.loc[sales["product"].isin(products), ["product", "date", price]]
    weekly = lines.groupby(["product", pd.Grouper(key="date", freq="7D", origin="start")])[price]
    return (weekly.std(ddof=0) / weekly.mean()).groupby("product").median()


def _pick(group: pd.DataFrame, log_price: pd.DataFrame, most: int) -> pd.DataFrame:
    """The best sellers of a category (`group`, best first) at similar, independent prices."""
    best = group["price"].iloc[0]
    similar = group[group["price"].between(best / _PRICE_FACTOR, best * _PRICE_FACTOR)]
    correlation = log_price[similar["product"]].corr().to_numpy()
    picked: list[int] = []
    for i in range(len(similar)):
        picked += [i] * bool((correlation[i, picked] <= _ONE_PRICE_LINE).all())
    return similar.iloc[picked[:most]]
