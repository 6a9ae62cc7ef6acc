"""The decision log as a canonical sales table, for `repricer data import` and `evaluate
--from-log`.
"""

from __future__ import annotations

import itertools
import operator
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType
from pyarrow import csv, parquet

from ...atomic import whole_file
from ...pricing.observed import Told
from ..market_state import TOLD, Multiplier, ProductDocument
from .log import DecisionLog, Ends

_AT_ONCE = 20_000
"""Rows that are written together."""
_COLUMNS = (
    *("date", "product", "units", "price_paid", "regular_price", "store", "propensity", "arm_propensity", "market"),
    *("period", "price", "stockout", "arm", "policy", "bundle", "request_id"),
)
_TYPES = dict.fromkeys(["date", "product", "store", "arm", "policy", "bundle", "request_id"], pa.string())
_TYPES |= {"seen_regime": pa.string(), "market": pa.int64(), "period": pa.int64(), "stockout": pa.bool_()}
"""Columns that are not numbers with decimals."""


class LoggedState(ProductDocument, kw_only=True, forbid_unknown_fields=False):  # pyright: ignore
    """The state of one product as the log holds it."""

    regime: str | UnsetType = UNSET
    loyalty: dict[str, Multiplier] = {}  # noqa: RUF012  msgspec copies it


class Sales(NamedTuple):
    """What was written: rows and episodes, and the numbers of decisions left out: for want of
    outcomes, because their state is faulty, and because their market was erased.
    """

    rows: int
    episodes: int
    left_out: int
    faulty: int
    erased: int


def write_sales(log: DecisionLog, out: Path) -> Sales:
    """Write one row per product of every decision with outcomes for all its products.

    First the columns of the canonical sales table: `date` (of the sale where it was reported, else
    the first day of the period where the market has a calendar, else of the decision), `product`,
    `units` (0 too), `price_paid` (the price of the decision where nothing sold), `regular_price`
    (median of the product's prices in its market), `store` (the market). Then `propensity` (of the price) and
    `arm_propensity` (the part that all products of the decision share, since one draw selected the
    arm), and the columns of a `PriceLog`: `market` counts episodes, since a period that does not
    come after the market's last one starts another; `period`; `price`, the list price; `seen_…`, the
    state. Rows stand in the order of the decisions. The log is read twice and never held in
    memory.

    Args:
        out: A .csv or .parquet file, which is written completely or not at all.

    Raises:
        ChainError: A body of the log is damaged.
        ValueError: No decision has all its outcomes.
    """
    ends = log.ends()
    counts = Counter[str]()
    # The first reading finds the usual price of each product and the columns of the states; the second writes the rows.
    columns = dict[str, None]()
    prices = defaultdict[tuple[str, str], Counter[float]](Counter)
    for row, state, _ in _whole(log, ends, counts):
        prices[row["market"], row["product"]][row["price"]] += 1
        columns |= dict.fromkeys(_seen(state))
    if not prices:
        got = f"got {log.name} with {counts['left out']:,} decisions and no outcome of all their products"
        got += f", {counts['faulty']:,} with a faulty state, and {log.erased():,} erased"
        fix = "report them with POST /v1/outcomes or repricer log outcomes"
        raise ValueError(f"decision log must hold decisions with outcomes; {got}; {fix}")
    usual = {key: statistics.median(found.elements()) for key, found in prices.items()}
    rows = (_row(row, usual, episode) | _seen(state) for row, state, episode in _whole(log, ends, Counter()))
    count = _write(rows, columns, out)
    return Sales(count, counts["episodes"], counts["left out"], counts["faulty"], log.erased())


def _whole(log: DecisionLog, ends: Ends, counts: Counter[str]) -> Iterator[tuple[dict[str, Any], LoggedState, int]]:
    """The rows of decisions with outcomes for all products, each with its state and the number of its episode; counts
    episodes, and the decisions left out.
    """
    episodes: dict[str, tuple[int, int]] = {}
    for _, rows in itertools.groupby(log.sold(ends), key=operator.itemgetter("request_id")):
        decision = list(rows)
        if any(row["units"] is None for row in decision):
            counts["left out"] += 1
            continue
        try:
            states = [msgspec.convert(row["state"], LoggedState) for row in decision]
        except msgspec.ValidationError:
            counts["faulty"] += 1
            continue
        market = decision[0]["market"]
        period = decision[0]["period"]
        episode, last = episodes.get(market, (-1, period))
        if period <= last:
            episode = counts["episodes"]
            counts["episodes"] += 1
        episodes[market] = episode, period
        yield from zip(decision, states, itertools.repeat(episode), strict=False)


def _write(rows: Iterator[dict[str, Any]], seen: Iterable[str], out: Path) -> int:
    """Write the columns of rows to a file, some rows at a time; returns how many."""
    schema = pa.schema([(name, _TYPES.get(name, pa.float64())) for name in (*_COLUMNS, *seen)])
    make = csv.CSVWriter if out.suffix == ".csv" else parquet.ParquetWriter
    out.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with whole_file(out) as temporary, make(temporary, schema) as writer:
        while some := list(itertools.islice(rows, _AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(some, schema))
            count += len(some)
    return count


def _row(row: dict[str, Any], usual: dict[tuple[str, str], float], episode: int) -> dict[str, Any]:
    """All facts of a product's sale, from which the columns are taken."""
    paid = row["paid"] / row["units"] if row["units"] else row["price"]
    named = {"date": row["sold_on"] or row["date"] or row["time"][:10], "store": row["market"], "market": episode}
    prices = {"price_paid": paid, "regular_price": usual[row["market"], row["product"]]}
    return row | named | prices | {"arm_propensity": row["propensity"]}


def _seen(state: LoggedState) -> dict[str, Any]:
    """The state, with what stands in for what was left out; only the forecast is unknown here."""
    seen: dict[str, Any] = {}
    for name, quantity in TOLD.items():
        value: Any = getattr(state, name)
        stand_in = cast(Told, quantity.told).stand_in
        if not quantity.logged or (value is UNSET and stand_in is None):
            continue
        if quantity.axes == "ND":
            seen |= {f"seen_{name}[{ahead}]": units for ahead, units in enumerate(cast(list[float], value), start=1)}
        elif value not in (None, UNSET):
            seen[f"seen_{name}"] = value
        else:
            others = {"list_price": state.list_price, "forecast_units": None}
            seen[f"seen_{name}"] = others[stand_in] if isinstance(stand_in, str) else stand_in
    if state.regime is not UNSET:
        seen["seen_regime"] = state.regime
    return seen | {f"seen_loyalty[{segment}]": level for segment, level in state.loyalty.items()}
