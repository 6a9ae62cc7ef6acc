"""A shop's price image: the key-value items that shape it, with reasons, and the path of its basket index."""

from __future__ import annotations

import datetime as dt
import re
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
from ..data.schema import COMPETITOR_PRICE
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
_SHARE, _LEAST = 0.1, 3
_GROUP = "[group.key-value]"
_TABLE = re.compile(r"^\[group\.key-value\][^\n]*\n(?:(?!\[).*(?:\n|\Z))*", re.MULTILINE)
_PRODUCTS = re.compile(r"^products\s*=\s*\[[^\]]*\][^\n]*\n?", re.MULTILINE)
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
    specs = [spec for spec, _ in markets]
    names = {key: name for spec in specs for key, name in zip(_ids(spec), spec.products.names, strict=True)}
    known = pd.DataFrame(index=pd.Index(names, name="product"))
    found = _in_markets(specs) if tables is None else _in_tables(tables, specs)
    for column, share in found.items():
        known[column] = share.reindex(known.index).fillna(0.0)
    response = pd.DataFrame(row for _, report in markets for row in report.get("price_response", ()))
    if len(response):
        told = response[response["identified"].astype(bool)] if "identified" in response else response
        known["response"] = told.groupby("product")["elasticity"].mean()
    ranks = known.drop(columns=["rival"] + ["units"] * ("basket" in known), errors="ignore").abs().rank(pct=True)
    if "rival" in known:
        ranks["rival"] = known["rival"]
    score = ranks.mean(axis=1).fillna(0.0).round(4).sort_values(ascending=False, kind="stable")
    rows = known.loc[score.index].to_dict("index")
    return tuple(
        KeyItem(id=key, name=names[key], score=float(score[key]), reasons=_reasons(row)) for key, row in rows.items()
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
    most = max(_LEAST, round(_SHARE * len(items))) if count is None else count
    return tuple(item for n, item in enumerate(items) if n < most or item.status != "proposed")


def _ids(spec: MarketSpec) -> tuple[str, ...]:
    return spec.products.ids or spec.products.names


def _in_markets(specs: Sequence[MarketSpec]) -> dict[str, pd.Series]:
    """What markets know without tables, by product: share of units, and whether a competing price is known."""
    found = defaultdict[str, list[pd.Series]](list)
    for spec in specs:
        history = spec.history
        for name, values in (("units", history and history.basket_units), ("rival", history and history.rival_price)):
            if values is not None:
                found[name].append(pd.Series(values, _ids(spec)))
    sums = {name: pd.concat(parts).groupby(level=0).sum() for name, parts in found.items()}
    return {
        name: (total > 0).astype(float) if name == "rival" else total / total.sum()
        for name, total in sums.items()
        if total.any()
    }


def _in_tables(tables: Tables, specs: Sequence[MarketSpec]) -> dict[str, pd.Series]:
    """What tables tell, by product: shares of units, baskets and customers, and whether a competing price is known."""
    first = min(spec.calendar.first_day for spec in specs if spec.calendar is not None)
    lines = tables.sale_lines(["date", "product", "units", "basket", "customer"])
    lines = lines.filter(pl.col("date").is_between(first - _YEAR, first, closed="left"))
    counts = {"units": pl.col("units").sum()}
    counts |= {name: pl.col(name).n_unique() for name in ("basket", "customer") if name in lines.collect_schema()}
    found = dict[str, pd.Series]()
    for name, count in counts.items():
        rows = lines.filter(pl.col(name).is_not_null())
        total = rows.select(count).collect(engine="streaming").item()
        if total:
            by_product = rows.group_by("product").agg(count).collect(engine="streaming").to_pandas()
            found[name] = by_product.set_index("product")[name] / total
            if name == "customer":  # a figure describes no few customers
                found[name] = found[name].where(found[name] * total >= LEAST_CUSTOMERS, 0.0)
    signals = tables.lines("signals", ["name", "product"])
    if signals is not None:
        named = signals.filter(pl.col("name").cast(pl.String) == COMPETITOR_PRICE).select("product").unique().collect()
        if len(named):
            found["rival"] = pd.Series(1.0, named["product"].to_list())
    return found


def _reasons(row: Mapping[Any, float]) -> tuple[str, ...]:
    """What is known of a product, and what is not, in plain words."""
    units = f"; {row['units']:.1%} of units" if "units" in row else ""
    basket = f"in {row['basket']:.1%} of baskets" if "basket" in row else f"share of baskets not known{units}"
    few = f"bought by fewer than {LEAST_CUSTOMERS} customers"
    breadth = "share of customers not known"
    if "customer" in row:
        breadth = f"bought by {row['customer']:.0%} of customers" if row["customer"] else few
    response = row.get("response", np.nan)
    answer = "response not identified by the sales" if np.isnan(response) else f"response {response:.1f}"
    overlap = "competitor price known" if row.get("rival") else "no competitor price known"
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
    kept = [
        item
        if (was := made.pop(item.id, None)) is None
        else msgspec.structs.replace(item, **{name: getattr(was, name) for name in names})
        for item in items
    ]
    return (*kept, *made.values())


def group_of_rules(text: str, items: Sequence[KeyItem]) -> str:
    """The text of a rules file whose `[group.key-value]` lists the confirmed items; what else stands in it stays.

    Args:
        text: The file's text; it may be empty.
        items: The items.

    Example:
        >>> print(group_of_rules("", [KeyItem(id="7", name="milk", score=0.9, status="confirmed")]))
        [group.key-value]
        products = ["7"]  # milk
        # max_change = 0.05
        <BLANKLINE>
    """
    chosen = [item for item in items if item.status == "confirmed"]
    ids = ", ".join(msgspec.json.encode(item.id).decode() for item in chosen)
    line = f"products = [{ids}]  # {', '.join(item.name for item in chosen)}\n"
    table = _TABLE.search(text)
    if table is None:
        gap = "\n" * (bool(text) and 1 + (not text.endswith("\n")))
        return f"{text}{gap}{_GROUP}\n{line}# max_change = 0.05\n"
    within = _PRODUCTS.sub("", table.group()).removeprefix(table.group().partition("\n")[0] + "\n")
    return f"{text[: table.start()]}{_GROUP}\n{line}{within}{text[table.end() :]}"


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
        if rows and spec.history is not None and spec.history.basket_units is not None:
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
    spec, calendar = parts[0][0], parts[0][0].calendar
    assert calendar is not None, "a list has dates"
    sums, cover, known, weeks = [], np.zeros(2), 0, len(parts[0][1])
    for one, listed in parts:
        history, past = one.history, np.empty((0, listed.shape[1])) if one.history is None else one.history.past_price
        base = None if history is None else getattr(history, REFERENCES[reference])
        if history is None or base is None or past is None:
            continue
        price, before = np.vstack([past, listed]), np.broadcast_to(base, past.shape)
        if reference == "rival":
            before = np.zeros(past.shape) if history.past_rival_price is None else history.past_rival_price
        against = np.vstack([before, np.broadcast_to(base, listed.shape)])
        units = np.where(against > 0, history.basket_units, 0.0)
        sums.append(np.array([(units * price).sum(axis=1), (units * against).sum(axis=1)])[:, -weeks - len(past) :])
        cost, there = history.basket_units * history.price[0], base > 0
        cover, known = cover + np.array([cost[there].sum(), cost.sum()]), known + int(there.sum())
    if not known or not cover[0]:
        return None
    span = min(one.shape[1] for one in sums)
    cost, against = np.sum([one[:, -span:] for one in sums], axis=0)
    index = [round(float(a / b), 6) if b > 0 else None for a, b in zip(cost, against, strict=True)]
    names = getattr(spec.prices, "index_names", ())  # until the engine is merged
    bound = dict(zip(names, getattr(spec.prices, "index_at_most", ()), strict=True)).get(reference)
    day = calendar.first_day - dt.timedelta(days=_BASES.get(reference, 0))
    return IndexPath(
        zone=zone,
        reference=reference,
        base="competing prices" if reference == "rival" else f"prices of the {spec.market.period} of {day}",
        products=sum(len(one.products.names) for one, _ in parts),
        known=known,
        coverage=round(float(cover[0] / cover[1]), 4),
        weeks=tuple(calendar.day(t) for t in range(weeks - span, weeks)),
        index=tuple(index),
        past=span - weeks,
        bound=None if bound is None else float(bound),
    )
