"""The weekly panel of the priced products: the past that models are fitted on, and the weeks to simulate."""

from __future__ import annotations

from calendar import day_name
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..data import DataError, Tables, choose_market, choose_products, context_by_store, sales_panel, with_prices
from ..data.panel.aggregation import WHOLE_SHOP, with_regular_prices
from ..data.panel.charged import REGULAR_LEVEL, as_charged, with_charged, without_common_prices
from ..data.panel.promotion_kinds import PROMOTION, column_of, kinds_in, kinds_in_words, shown_kinds
from ..data.panel.regular_prices import apart_from_envelope
from ..data.panel.weekly import weekly_table
from ..data.product_selection import MODELLED
from ..data.weeks import DAY, PERIODS, WEEK, YEAR_WEEKS, name_of, period_of, periods_in_a_week
from ..pricing.planned_deals import DEAL
from .demand.sales_grids import MOST_STORES
from .initial_stock import initial_stock
from .planned_weeks import planned_weeks
from .promotion_kinds import PromotionKinds
from .shop_rules import ShopRules
from .zones import Zone, at_price_level, zone_panel, zone_tables

# Less history can tell no price response at all; days tell more of it than weeks.
_LEAST_WEEKS = {"week": 12, "day": 8}
# By day a market of twelve weeks would have 84 periods: too long to train on as quickly.
DEFAULT_WEEKS = {"week": 12, "day": 4}
"""Weeks of a market, and weeks held out, by period."""
# A quarter's seasonal terms and the backtest's origins need this much before the held-out weeks; with less
# history fewer weeks are held out, but never fewer than this share.
_ENOUGH_WEEKS = 26
_LEAST_SHARE = 0.25
# Weeks before the held-out ones that a product must have been sold in to be in a market.
_NEW_WEEKS = 4
# The share of prices from which a column of regular prices that differs from what was charged needs a word.
_APART = 0.05
_NAMED = 5
_MOST_SERIES = 100
_RECENT_WEEKS = 8
# A regular price that held this long, but for rounding, is the current one; means over stores or days vary.
_HELD_WEEKS = 2
_SAME = 1e-6
# One that differs by more from that of the last week was another: the shop moved it since.
_MOVED = 0.01
# One that fell by more in the last week alone is a deal that nobody called one.
_FALL = 0.1
_LONG_CLOSURE = 4 * WEEK
# Below this share of the regular price a price is a deal.


@dataclass(frozen=True)
class Split:
    """The weekly panel of the products, split into the past and the weeks to simulate.

    Attributes:
        products: One row per product: `product`, `name`, `category` and, where known, `unit_cost` and `vat`.
        past: Panel rows before the split.
        future: Panel rows of the weeks to simulate; without units where these are still to come.
        sales: Sale lines of all products before the split.
        plan: How the prices of weeks to come are known, and what a short history leaves unknown, in sentences.
        initial_units: (N,) units that weeks to come start with, NaN where not known; None for past weeks.
        closed: Weekdays, 0 is Monday, on which a shop that is taken by day never sold anything.
        stores: The sales of every store of the shop, as `data.with_prices` returns them; of a few stores with the
            displays and stock-outs of each, where the tables tell them apart.
        zones: The same of every price zone, at the price level of the one that is fitted; None without zones.
        kinds: How the kinds of promotions count in all of these.
        zone: The price zone that is fitted; None for all stores.
    """

    products: pd.DataFrame
    past: pd.DataFrame
    future: pd.DataFrame
    sales: pd.DataFrame
    plan: tuple[str, ...] = ()
    initial_units: np.ndarray | None = None
    closed: tuple[int, ...] = ()
    stores: xr.Dataset | None = None
    zones: xr.Dataset | None = None
    kinds: PromotionKinds = PromotionKinds()
    zone: Zone | None = None

    @property
    def past_stores(self) -> xr.Dataset | None:
        """The sales before the split of every store that sold any of the products."""
        return self._sold_before(self.stores)

    @property
    def past_places(self) -> xr.Dataset | None:
        """The sales of every zone, otherwise of every store, before the split; None where the sales tell none apart."""
        found = self._sold_before(self.stores if self.zones is None else self.zones)
        names = () if found is None else found.indexes["store"]
        return found if len(names) > 1 and WHOLE_SHOP not in names else None

    def _sold_before(self, panel: xr.Dataset | None) -> xr.Dataset | None:
        if panel is None:
            return None
        past = panel.sel(week=slice(None, self.past["week"].max()))
        return past.sel(store=past["units"].any(["week", "product"]))

    @property
    def weeks(self) -> pd.DatetimeIndex:
        """The T weeks to simulate."""
        return pd.DatetimeIndex(sorted(self.future["week"].unique()))

    @property
    def to_come(self) -> bool:
        """Whether the weeks to simulate come after the data."""
        return "units" not in self.future

    @property
    def period(self) -> pd.Timedelta:
        """The length of a week, which is a day for a panel of days."""
        return period_of(self.past["week"])

    @property
    def per_week(self) -> int:
        """The number of these weeks in a calendar week."""
        return WEEK // self.period

    def grid(self, column: str) -> np.ndarray:
        """(T, N) values of a column in the future, in the order of `products`."""
        return grid_of(self.future, column, self.products["product"])

    def span(self) -> dict[str, str | int]:
        """First and last day of the weeks or days to simulate, and their number, for JSON."""
        weeks = self.weeks
        unit = name_of(self.period)
        last = weeks[-1] + self.period - pd.Timedelta(days=1)
        days = {"first_day": f"{weeks[0]:%Y-%m-%d}", "last_day": f"{last:%Y-%m-%d}"}
        return {"period": unit, **days, f"{unit}s": len(weeks)}


def sales_by_store(split: Split) -> pd.DataFrame | None:
    """Sales by store (or zone), product and week, for forecasters that use them; None where the sales name no stores.

    Of more than 100 stores, some are taken together.
    """
    places = split.past_places
    if places is None:
        return None
    if places.sizes["store"] > _MOST_SERIES:
        series = np.arange(places.sizes["store"]) % _MOST_SERIES
        places = with_prices(places.assign_coords(store=series).groupby("store").sum())
    told_apart = (PROMOTION, "stockout", *map(column_of, kinds_in(split.past)))
    given, known = ([name for name in told_apart if name in told] for told in (places, split.past))
    rows = places[["units", "price", *given]].to_dataframe(dim_order=["store", "product", "week"]).reset_index()
    rows = rows[rows["units"] > 0]
    keys = ["product", "week"]
    return rows if given else rows.merge(split.past[[*keys, *known]], on=keys, how="left")


def grid_of(panel: pd.DataFrame, column: str, products: Iterable[str]) -> np.ndarray:
    """(T, N) values of a column of a panel, by week and product."""
    return panel.pivot(index="week", columns="product", values=column)[list(products)].to_numpy(dtype=np.float64)


def priced_products(tables: Tables, rules: ShopRules, zone: Zone | None = None, **how_many: Any) -> pd.DataFrame:
    """The products to price: those of `choose_products` among what the rules leave.

    Args:
        tables: The shop's tables.
        rules: The shop's rules.
        zone: A price zone. All zones price the best sellers of the first: prices differ between them.
        how_many: Further arguments of `choose_products`.

    Raises:
        ScenarioError: A rule names what the tables do not have, or nothing is left to price.
        DataError: No category qualifies.

    Example:
        >>> priced_products(tables, ShopRules.of({"shop": {"categories": ["Bread"]}}))  # doctest: +SKIP
    """
    return choose_products(_choosable(tables, rules, zone), **how_many)


def _choosable(tables: Tables, rules: ShopRules, zone: Zone | None) -> Tables:
    """The tables to choose from: of the first zone, with the products that the rules leave."""
    if zone is not None:
        tables = zone_tables(tables, replace(zone, name=next(iter(zone.stores))))
    if tables.products is None:
        return tables
    rules.check(tables.products)
    return replace(tables, products=rules.chosen_from(tables.products))


def market_products(
    tables: Tables,
    rules: ShopRules,
    zone: Zone | None = None,
    *,
    modelled: float = MODELLED,
    holdout_weeks: int | None = None,
    period: str = "week",
    **how_many: Any,
) -> pd.DataFrame:
    """The products of a market: those to price, and what else sells in their categories, see `data.choose_market`.

    Args:
        tables: The shop's tables.
        rules: The shop's rules; what they exclude is in no market.
        zone: As for `priced_products`; a product must sell in all zones.
        modelled: Share of a category's revenue that the market is to have; 0 for the products to price alone.
        holdout_weeks: Last weeks of the data, which the proof holds out, by default those of `fit`: a product must have come
            before them.
        period: What the panel is of: week or day.
        how_many: Further arguments of `choose_products`.

    Raises:
        ScenarioError: A rule names what the tables do not have, or nothing is left to price.
        DataError: No category qualifies.
        ValueError: The share is not within [0, 1].

    Example:
        >>> market_products(tables, ShopRules(), modelled=0.9)["held"].notna().mean()  # doctest: +SKIP
        0.4
    """
    sold_in = None
    if zone is not None:
        sold_in = {name: zone_tables(tables, replace(zone, name=name)).sales for name in zone.stores}
    least = (holdout_weeks or DEFAULT_WEEKS[period]) + _NEW_WEEKS
    own = _choosable(tables, rules, zone)
    return choose_market(own, modelled=modelled, least_weeks=least, sold_in=sold_in, **how_many)


def held_out(
    tables: Tables, products: pd.DataFrame, holdout_weeks: int, zone: Zone | None = None, period: str = "week"
) -> Split:
    """The last weeks of the data as the weeks to simulate.

    Args:
        tables: The shop's tables.
        products: The products to price.
        holdout_weeks: Number of last weeks; fewer where the history is short.
        zone: The price zone, by default all stores.
        period: What the panel is of: week or day.

    Raises:
        ValueError: The history is too short.
        DataError: The panel is to be of days, and the sales are sums of weeks.
    """
    stores = sales_panel(tables, list(products["product"]), days=PERIODS[period].days)
    own = zone_tables(tables, zone)
    here = zone_panel(stores, zone)
    panel = with_charged(weekly_table(here, own, products, shown_kinds(tables.promotions)), own, here)
    if period == "day":
        _check_days(_within(own.sales, panel, panel["week"].max() + WEEK)["date"])
    days = np.sort(panel["week"].unique())
    per_week = WEEK // PERIODS[period]
    weeks = len(days) // per_week
    least = _LEAST_WEEKS[period]
    if weeks < least:
        raise ValueError(f"sales must cover at least {least} weeks; got {weeks}; add history")
    held = min(holdout_weeks, max(weeks - _ENOUGH_WEEKS, int(_LEAST_SHARE * weeks)))
    start = days[-held * per_week]
    closed = _closed_weekdays(panel) if period == "day" else ()
    stores = with_prices(stores.sel(week=days).reindex(product=list(products["product"]), fill_value=0.0))
    by_store = _with_context(stores, tables, {name: [name] for name in stores.indexes["store"]})
    by_zone = None if zone is None else _with_context(at_price_level(stores, zone), tables, zone.stores)
    kinds = _kinds(panel[panel["week"] < start], stores, by_store if by_zone is None else by_zone, zone)
    panel = kinds.applied(panel)
    return Split(
        products=_described(products, own, panel),
        past=panel[panel["week"] < start],
        future=panel[panel["week"] >= start],
        sales=_within(with_regular_prices(own.sales, zone_panel(stores, zone)), panel, start),
        plan=(
            *_notes(panel, closed, weeks, held, holdout_weeks),
            *_stores_notes(panel, len(here["store"])),
            *_column_notes(zone_panel(stores, zone), per_week),
            *_kinds_notes(tables, kinds),
        ),
        closed=closed,
        stores=kinds.applied(by_store),
        zones=None if by_zone is None else kinds.applied(by_zone),
        kinds=kinds,
        zone=zone,
    )


def _kinds(past: pd.DataFrame, stores: xr.Dataset, places: xr.Dataset, zone: Zone | None) -> PromotionKinds:
    """How kinds of promotions count: where the demand is that of several places, by what all of them tell apart."""
    if not kinds_in(list(places)):
        return PromotionKinds.of(past, zone_panel(stores, zone))
    names = zone.stores if zone is not None else {name: [name] for name in places.indexes["store"]}
    columns = list(map(column_of, kinds_in(list(places))))
    return PromotionKinds.of_places(places[columns].sel(week=slice(None, past["week"].max())), stores, names)


def _stores_notes(panel: pd.DataFrame, stores: int) -> Iterator[str]:
    """What prices mean where stores have none in common."""
    apart = without_common_prices(panel)
    if stores > 1 and apart:
        count = len(apart)
        of = panel["product"].nunique()
        yield (
            f"Most of the {stores} stores have no price in common for {count} of {of} products: prices of these are means over "
            "stores, whose changes in percent hold for each store; fit price zones (--by zone) for prices in currency."
        )


def _column_notes(stores: xr.Dataset, per_week: int) -> Iterator[str]:
    """Where the column of regular prices and what was charged say different things."""
    price, listed = (
        stores[name].transpose("store", "week", "product").to_numpy() for name in ("price", "regular_price")
    )
    apart = apart_from_envelope(price, listed, WEEK.days // per_week)
    if apart is None or max(apart) <= _APART:
        return
    yield (
        "The regular_price of the sales is another than the upper envelope of what was charged in the 13 weeks before and after: "
        f"in {apart.below:.0%} of the prices it is lower, as where deals that lasted count as regular prices, and in "
        f"{apart.above:.0%} higher, as where nobody paid it. Deals and moves of regular prices are told apart by it; if it is no "
        "price that the shop set, leave the column out."
    )


def _kinds_notes(tables: Tables, kinds: PromotionKinds) -> Iterator[str]:
    """How the kinds of promotions in the tables count."""
    if (words := kinds_in_words(tables.lines("promotions", ["kind"]))) is not None:
        yield f"Promotions: {words}."
    yield from kinds.notes


def _with_context(panel: xr.Dataset, tables: Tables, stores: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """A panel with the displays and stock-outs of each of a few stores or zones."""
    names = panel.indexes["store"]
    if not 1 < len(names) <= MOST_STORES:
        return panel
    return xr.merge([panel, context_by_store(tables, panel, {name: stores[name] for name in names})], join="exact")


def _within(sales: pd.DataFrame, panel: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """The sale lines from the first week of a panel to before an end."""
    return sales[sales["date"].between(panel["week"].min(), end, inclusive="left")]


def check_period(period: str, *, zones: bool) -> None:
    """Refuse a period that nothing can be fitted by.

    Args:
        period: What a period of the market is to be.
        zones: Whether there is to be a market for each price zone.

    Raises:
        ValueError: It is neither week nor day, or day with price zones.
    """
    if period not in PERIODS:
        raise ValueError(f"period must be one of {', '.join(PERIODS)}; got {period!r}; choose one of them")
    if period == "day" and zones:
        raise ValueError("price zones must be fitted by week; got them by day; fit by week, or all stores as one chain")


def _check_days(dates: pd.Series) -> None:
    """Refuse sales with one date a week, or less often."""
    days = pd.DatetimeIndex(np.sort(dates.dt.normalize().unique()))
    if len(days) <= (days[-1] - days[0]) // WEEK + 1:
        raise DataError(
            f"sales must hold the dates of single days to be fitted by day; got one date a week ({days[0]:%Y-%m-%d}, "
            f"{days[min(1, len(days) - 1)]:%Y-%m-%d} ...); fit by week, or import daily sales"
        )


def _closed_weekdays(panel: pd.DataFrame) -> tuple[int, ...]:
    """The weekdays on which the shop never sold anything."""
    busy = panel.groupby(panel["week"].dt.day_of_week)["traffic"].max()
    return tuple(int(weekday) for weekday in busy.index[busy == 0])


def _notes(panel: pd.DataFrame, closed: tuple[int, ...], weeks: int, held: int, asked: int) -> Iterator[str]:
    """What a history of some weeks cannot tell, and how its gaps are taken."""
    period = period_of(panel["week"])
    if weeks < YEAR_WEEKS:
        yield (
            f"The sales cover {weeks} weeks, less than a year: no season of the year can be known, so forecasts have "
            "none and the posterior draws allow for one; price responses lean more on the priors."
        )
    if held < asked:
        yield (
            f"The proof holds out the last {held} weeks rather than {asked}, to leave {weeks - held} to fit: it is weaker."
        )
    if period == DAY:
        yield (
            f"Sales are taken by day: the share of each weekday in a category's customers is estimated from {weeks} of them; "
            "whether it changes in the course of the year cannot be known. A shop that keeps its prices for whole weeks is "
            "fitted by week."
        )
        if empty := float((panel["units"][panel["traffic"] > 0] == 0).mean()):
            yield (
                f"{empty:.0%} of the products' days are without a sale: these count at the higher of the prices before and "
                "after."
            )
    if closed:
        names = ", ".join(f"{day_name[weekday]}s" for weekday in closed)
        yield f"The shop never sold anything on {names}: it is taken to stay closed on them."
    silent = (panel["traffic"] == 0) & ~panel["week"].dt.day_of_week.isin(closed)
    empty_weeks = panel.loc[silent, "week"].unique()
    unit = name_of(period) + "s"
    if not len(empty_weeks):
        return
    more = "the last from " if len(empty_weeks) > _NAMED else "from "
    named = ", ".join(f"{week:%Y-%m-%d}" for week in empty_weeks[-_NAMED:])
    yield (
        f"The shop sold nothing, or less than 30% of the usual, in {len(empty_weeks)} of the {unit} ({more}{named}): it is "
        f"taken to have been closed, and these {unit} are left out; the {unit} to come are taken as open."
    )
    sold = pd.DatetimeIndex(np.sort(panel.loc[panel["traffic"] > 0, "week"].unique()))
    longest = int(np.diff(sold).argmax())
    first = sold[longest] + period
    end = sold[longest + 1]
    if end - first >= _LONG_CLOSURE:
        yield (
            f"The shop was closed for {(end - first) // WEEK} weeks from {first:%Y-%m-%d}: forecasts are less certain than "
            "with a whole history, as nothing tells how customers and the season went on in these weeks."
        )


def weeks_to_come(tables: Tables, proof: Split, weeks: int, zone: Zone | None = None) -> Split:
    """The weeks after the data as the weeks to simulate, at the shop's planned prices.

    Args:
        tables: The shop's tables; `plan` overrides the usual pattern.
        proof: The split with the last weeks held out.
        weeks: Number of calendar weeks.
        zone: As for `held_out`.

    Raises:
        ValueError: The plan has no row for these weeks and products.
    """
    panel = pd.concat([proof.past, proof.future])
    tables = zone_tables(tables, zone)
    future, plan = planned_weeks(panel, tables, regular_price(panel), weeks * proof.per_week, proof.kinds)
    stores = proof.stores
    assert stores is not None, "it has them"
    # Lines after the last complete week are in no panel.
    end = panel["week"].max() + proof.period
    recent = panel[panel["week"] >= end - _RECENT_WEEKS * WEEK]
    units, stock = initial_stock(tables, proof.products, end, recent.groupby("product")["units"].mean(), proof.period)
    return replace(
        proof,
        past=panel,
        future=future,
        sales=_within(with_regular_prices(tables.sales, zone_panel(stores, zone)), panel, end),
        plan=(*proof.plan, *plan, *stock),
        initial_units=units,
    )


def regular_price(panel: pd.DataFrame) -> pd.Series:
    """The regular price at the end of a panel, by product: that of the last two weeks if it was one, else the median of the
    weeks since it last moved, which may be one; but the price before where it fell by over 10% in the last week alone.

    Where a price that most stores charged is close, it is that one, as means over stores are charged by none.
    In an experiment it is the planned price, and where one lasts to the end, that of its weeks alone.
    """
    per_week = periods_in_a_week(panel["week"])

    def recently(name: str) -> pd.DataFrame:
        return panel.pivot(index="week", columns="product", values=name)[-_RECENT_WEEKS * per_week :]

    names = (REGULAR_LEVEL, "planned_regular", "regular_price")
    recent = recently(next(name for name in names if name in panel))
    if "tested" in panel:
        tested = recently("tested")
        recent = recent.where(tested | ~tested.iloc[-1])
    last = recent[-_HELD_WEEKS * per_week :]
    moved = (recent / recent.ffill().iloc[-1] - 1).abs() > _MOVED
    earlier = moved[::-1].cummax()[::-1]
    since = recent.mask(earlier)
    before = recent.where(earlier).ffill().iloc[-1]
    found = last.max().where(last.max() <= (1 + _SAME) * last.min(), since.median())
    fell = (since.count() < len(last)) & (found < (1 - _FALL) * before)
    found = found.mask(fell, before)
    return as_charged(panel, found.index.to_series(), found)


def _described(products: pd.DataFrame, tables: Tables, panel: pd.DataFrame) -> pd.DataFrame:
    """The products with a name (their id if they have none), and the unit cost and VAT from the tables.

    Where a product comes without a cost, that is the one of the product table, else the last one of the sales.
    """
    rows = products.reset_index(drop=True)
    name = rows["name"] if "name" in rows else rows["product"]
    rows = rows.assign(name=name.fillna(rows["product"]))
    if tables.products is not None and "vat" in tables.products:
        listed = rows["product"].map(tables.products.set_index("product")["vat"]).astype(float)
        rows = rows.assign(vat=rows["vat"].fillna(listed) if "vat" in rows else listed)
    known = [rows["unit_cost"]] if "unit_cost" in rows else []
    if tables.products is not None and "unit_cost" in tables.products:
        known.append(rows["product"].map(tables.products.set_index("product")["unit_cost"]))
    if "unit_cost" in panel:
        # A cost that suppliers lower for a deal is none to go by after it.
        usual = panel[panel["price"] >= DEAL * panel["regular_price"]]
        known += [rows["product"].map(weeks.groupby("product")["unit_cost"].last()) for weeks in (usual, panel)]
    return rows.assign(unit_cost=pd.concat(known, axis=1).astype(float).bfill(axis=1).iloc[:, 0]) if known else rows
