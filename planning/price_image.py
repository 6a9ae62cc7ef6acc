"""A shop's price image: the key-value items that shape it, with reasons, and the path of its basket index."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from ..atomic import write_whole
from ..fitting.price_index import REFERENCES
from ..profiles import LEAST_CUSTOMERS
from ..scenarios import MarketSpec
from ..serving.price_list.image import IndexPath, KeyItem, PriceImage
from ..serving.price_list.rows import PriceRow

if TYPE_CHECKING:
    from ..data import Tables

ITEMS = "key_items.json"
"""File of the key-value items, in the folder of a market."""
_YEAR = dt.timedelta(days=364)
_SHARE = 0.1
_LEAST_ITEMS = 3
GROUP = "group.key-value"
"""Table of the rules file with the confirmed items."""
_BASES = {"month": 28, "year": 364}
Array = NDArray[np.float64]


def key_items(
    markets: Sequence[tuple[MarketSpec, Mapping[str, Any]]], tables: Tables | None = None
) -> tuple[KeyItem, ...]:
    """Every product with the score by which it shapes the price image, the highest first.

    The score is the mean, over those that are known, of four criteria. Price image follows items that are bought often
    and by many, and whose prices customers react to and can compare (Hamilton and Chernev 2013, Low prices are just the
    beginning, Journal of Marketing 77(6)). In the first three criteria, a product counts by its percentile among the
    products: the share of baskets with it (of units, where the tables tell no baskets apart), the absolute elasticity, and
    the share of customers who bought it. The fourth is 1 where a competing price is known, else 0. Baskets, units and
    customers are those of the 52 weeks before the market.

    Args:
        markets: The markets of the shop's zones or parts, each with its fit report, of which `price_response` is read.
        tables: The shop's tables; without them only the markets are known.

    Example:
        >>> key_items([(spec, report)], load_tables("shop"))[0].reasons  # doctest: +SKIP
        ('in 12.0% of baskets', 'bought by 40% of customers', 'response -2.3', 'competitor price known')
    """
    known = pd.concat([_in_market(spec) for spec, _ in markets]).groupby(level=0, sort=False)
    known = known.agg({"name": "first", "units": "sum", "rival": "max"})
    known["units"] = known["units"] / known["units"].sum() if known["units"].any() else np.nan
    known["rival"] = known["rival"] if known["rival"].any() else np.nan
    response = pd.DataFrame([row for _, report in markets for row in report.get("price_response", ())])
    if len(response):
        told = response[response.get("identified", pd.Series(True, response.index)).astype(bool)]
        known["response"] = told.groupby("product")["elasticity"].mean()
    first = min(spec.calendar.first_day for spec, _ in markets if spec.calendar is not None)
    for column, share in ({} if tables is None else _shares(tables, first)).items():
        known[column] = share.reindex(known.index).fillna(0.0)
    ranks = known.drop(columns=["name", "rival"] + ["units"] * ("basket" in known)).abs().rank(pct=True)
    score = ranks.assign(rival=known["rival"]).mean(axis=1).fillna(0.0).round(4)
    rows = known.assign(score=score).sort_values("score", ascending=False, kind="stable").reset_index(names="id")
    return tuple(
        KeyItem(id=row["id"], name=row["name"], score=row["score"], reasons=_reasons(row))
        for row in rows.to_dict("records")
    )


def proposals(items: Sequence[KeyItem], count: int | None = None) -> tuple[KeyItem, ...]:
    """The items to show: those with the highest scores, and all about which the shop decided.

    Args:
        items: All, the highest score first.
        count: How many; by default a tenth of the products, at least three.

    Example:
        >>> one, two = (KeyItem(id=key, name=key, score=0.5) for key in "ab")
        >>> [item.id for item in proposals([one, two], 1)]
        ['a']
    """
    most = max(_LEAST_ITEMS, round(_SHARE * len(items))) if count is None else count
    return tuple(item for n, item in enumerate(items) if n < most or item.status != "proposed")


def _in_market(spec: MarketSpec) -> pd.DataFrame:
    """What a market knows of its products: name, units in its basket, and 1 where a competing price is known."""
    past = spec.past
    ids = spec.products.ids or spec.products.names
    units = past.basket_units
    rival = past.last_rival_price
    there = 0.0 if rival is None else (rival > 0).astype(float)
    return pd.DataFrame({"name": spec.products.names, "units": 0.0 if units is None else units, "rival": there}, ids)


def _shares(tables: Tables, first: dt.date) -> dict[str, pd.Series]:
    """By product, the share of baskets, and of customers, of the 52 weeks before a day, where the tables name them."""
    lines = tables.sale_lines(["date", "product", "basket", "customer"])
    lines = lines.filter(pl.col("date").is_between(first - _YEAR, first, closed="left"))
    found = {}
    for name in ("basket", "customer"):
        if name in lines.collect_schema():
            rows = lines.filter(pl.col(name).is_not_null())
            count = pl.col(name).n_unique()
            total = rows.select(count).collect(engine="streaming").item()
            by_product = rows.group_by("product").agg(count).collect(engine="streaming").to_pandas()
            counts = by_product.set_index("product")[name]
            if total:  # a figure describes no few customers
                found[name] = counts.where(counts >= LEAST_CUSTOMERS * (name == "customer"), 0.0) / total
    return found


def _reasons(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """What is known of a product, and what is not, in plain words."""
    units = "" if np.isnan(row["units"]) else f"; {row['units']:.1%} of units"
    basket = f"in {row['basket']:.1%} of baskets" if "basket" in row else f"share of baskets not known{units}"
    few = f"bought by fewer than {LEAST_CUSTOMERS} customers"
    breadth = "share of customers not known"
    if "customer" in row:
        breadth = f"bought by {row['customer']:.0%} of customers" if row["customer"] else few
    response = row.get("response", np.nan)
    answer = "response not identified by the sales" if np.isnan(response) else f"response {response:.1f}"
    overlap = "competitor price known" if row["rival"] == 1 else "no competitor price known"
    return basket, breadth, answer, overlap


# The file of the items, and what of it goes into the shop's rules.


def kept_items(folder: Path) -> tuple[KeyItem, ...]:
    """The key-value items kept in the folder of a market, or in that of the markets of which it is one; none without.

    Args:
        folder: The folder of a market, of a zone or part of one, or of a policy that learned in it.

    Raises:
        ValueError: The file is there, but holds no items.

    Example:
        >>> kept_items(Path("no such market"))
        ()
    """
    file = next((each / ITEMS for each in (folder, *folder.absolute().parents[:2]) if (each / ITEMS).is_file()), None)
    try:
        return () if file is None else msgspec.json.decode(file.read_bytes(), type=tuple[KeyItem, ...])
    except (msgspec.DecodeError, ValueError) as error:
        fix = "find the items anew: repricer rules items MARKET"
        raise ValueError(f"{file} must hold key-value items; got: {error}; remove it, and {fix}") from None


def keep_items(folder: Path, items: Sequence[KeyItem]) -> None:
    """Write the items into the folder of a market, completely or not at all."""
    write_whole(folder / ITEMS, msgspec.json.format(msgspec.json.encode(items), indent=1))


def with_decisions(items: Sequence[KeyItem], before: Sequence[KeyItem]) -> tuple[KeyItem, ...]:
    """Items that were found anew, with the decisions about those of before, of which none is lost.

    Example:
        >>> milk = KeyItem(id="7", name="milk", score=0.9)
        >>> with_decisions([milk], [msgspec.structs.replace(milk, score=0.2, status="confirmed")])[0]
        KeyItem(id='7', name='milk', score=0.9, reasons=(), status='confirmed', decided_by='', decided_at='')
    """
    made = {item.id: item for item in before if item.status != "proposed"}
    names = ("status", "decided_by", "decided_at")
    kept = []
    for item in items:
        decided = made.pop(item.id, item)
        kept.append(msgspec.structs.replace(item, **{name: getattr(decided, name) for name in names}))
    return (*kept, *made.values())


def group_of_rules(items: Sequence[KeyItem]) -> str:
    """The table of the confirmed items for the shop's rules file.

    Example:
        >>> print(group_of_rules([KeyItem(id="7", name="milk", score=0.9, status="confirmed")]))
        [group.key-value]
        products = ["7"]  # milk
        # max_change = 0.05
        <BLANKLINE>
    """
    chosen = [item for item in items if item.status == "confirmed"]
    ids = ", ".join(msgspec.json.encode(item.id).decode() for item in chosen)
    return f"[{GROUP}]\nproducts = [{ids}]  # {', '.join(item.name for item in chosen)}\n# max_change = 0.05\n"


# The path of the basket index.


def price_index(parts: Sequence[tuple[MarketSpec, Sequence[PriceRow]]]) -> tuple[IndexPath, ...]:
    """The basket index of a price list by zone and reference, over the past weeks that a market knows and those of the list.

    It is the Laspeyres index of `fitting.price_index.index_weights`, whose basket is that of the last 52 weeks. Against a
    month and a year ago the reference is that of the list's first week throughout, so that the path is one of the price
    level; against competitors it is what they charged in a past week, and in weeks to come what they charged last.

    Args:
        parts: The markets of the list, each with its rows product by product. Those of one zone are added up. A market of
            an earlier fit, which knows no basket, has no index.

    Example:
        >>> price_index([])
        ()
    """
    zones = defaultdict[str, list[tuple[MarketSpec, Array]]](list)
    for spec, rows in parts:
        if rows:
            price = np.array([row.price for row in rows]).reshape(len(spec.products.names), -1).T
            zones[rows[0].zone].append((spec, price))
    found = [_index_path(zone, own, reference) for zone, own in zones.items() for reference in REFERENCES]
    return tuple(path for path in found if path is not None)


def image_of_list(folder: Path, parts: Sequence[tuple[MarketSpec, Sequence[PriceRow]]]) -> PriceImage:
    """The price image of a list: the key-value items of its market, and its basket index.

    Args:
        folder: The folder of the market, as for `kept_items`.
        parts: As for `price_index`.

    Example:
        >>> image_of_list(Path("no such market"), []) == PriceImage()
        True
    """
    return PriceImage(proposals(kept_items(folder)), price_index(parts))


def _index_path(zone: str, parts: list[tuple[MarketSpec, Array]], reference: Any) -> IndexPath | None:
    """The index of one zone against one reference; None where no price of it is known."""
    spec = parts[0][0]
    calendar = parts[0][0].calendar
    weeks = len(parts[0][1])
    sums = []
    cover = np.zeros(2)
    known = 0
    for one, listed in parts:
        past = one.past
        basket = past.basket_units
        before = past.price
        base = getattr(past, REFERENCES[reference])
        if one.plan is None or basket is None or before is None or base is None:
            continue
        then = past.rival_price if reference == "rival" else np.broadcast_to(base, before.shape)
        against = np.vstack([np.zeros(before.shape) if then is None else then, np.broadcast_to(base, listed.shape)])
        price = np.vstack([before, listed])
        units = np.where(against > 0, basket, 0.0)
        sums.append([(units * price).sum(axis=1), (units * against).sum(axis=1)])
        cost = basket * one.plan.price[0]
        there = base > 0
        cover = cover + np.array([cost[there].sum(), cost.sum()])
        known = known + int(there.sum())
    if not known or calendar is None:
        return None
    cost, against = np.sum(sums, axis=0)
    names = spec.prices.index_names
    most = spec.prices.index_at_most
    day = calendar.first_day - dt.timedelta(days=_BASES.get(reference, 0))
    before = len(cost) - weeks
    return IndexPath(
        zone=zone,
        reference=reference,
        base="competing prices" if reference == "rival" else f"prices of the {spec.market.period} of {day}",
        products=sum(len(one.products.names) for one, _ in parts),
        known=known,
        coverage=round(float(cover[0] / max(cover[1], 1e-9)), 4),
        weeks=tuple(calendar.day(t - before) for t in range(len(cost))),
        index=tuple(round(float(a / b), 6) if b > 0 else None for a, b in zip(cost, against, strict=True)),
        past=before,
        bound=None if most is None or reference not in names else float(most[names.index(reference)]),
    )
