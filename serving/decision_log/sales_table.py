"""The decision log as the canonical sales table, which `repricer data import` and `evaluate --from-log` read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from .log import DecisionLog


def sales_table(log: DecisionLog) -> tuple[pd.DataFrame, int]:
    """One row a product of every decision whose outcomes are all told, and how many decisions are left out for the others.

    First the columns of the canonical sales table: `date`, `product`, `units` (0 too), `price_paid` (the price given where
    nothing sold), `regular_price` (median of the prices given to the product), `store` (the market). Then `propensity` (of
    the price) and `arm_propensity` (the part of it that all products of the decision share, as one draw decided who
    answered), and what a `PriceLog` holds: `market` counts episodes, since a period that does not come after the market's
    last one opens another; `period`, `seen_…` the state, `price` the list price given.
    """
    rows: list[dict[str, Any]] = []
    episodes: dict[str, tuple[int, int]] = {}
    started = left_out = 0
    for decision in _decisions(log.sold()):
        if any(row["units"] is None for row in decision):
            left_out += 1
            continue
        market, period = decision[0]["market"], decision[0]["period"]
        episode, last = episodes.get(market, (-1, period))
        if period <= last:
            episode, started = started, started + 1
        episodes[market] = episode, period
        rows += [_row(row, episode) for row in decision]
    if not rows:
        raise ValueError(
            f"decision log must hold decisions with outcomes; got {log.name} with {left_out:,} decisions and no outcome of "
            "all their products; tell them with POST /v1/outcomes or repricer log outcomes"
        )
    table = pd.DataFrame(rows)
    usual = table.groupby("product")["price"].transform("median")
    table.insert(list(table).index("store"), "regular_price", usual)
    return table.sort_values(["date", "market", "period"], kind="stable", ignore_index=True), left_out


def _decisions(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one request stand together: they were written in one transaction."""
    for _, decision in itertools.groupby(rows, key=lambda row: row["request_id"]):
        yield list(decision)


def _row(row: dict[str, Any], episode: int) -> dict[str, Any]:
    price, units = row["price"], row["units"]
    return {
        "date": row["date"] or row["time"][:10],
        "product": row["product"],
        "units": units,
        "price_paid": row["paid"] / units if units else price,
        "store": row["market"],
        "propensity": row["propensity"],
        "arm_propensity": row["propensity"],
        "market": episode,
        "period": row["period"],
        **_seen(json.loads(row["state"])),
        "price": price,
        "stockout": bool(row["stockout"]),
        "arm": row["arm"],
        "policy": row["policy"],
        "bundle": row["bundle"],
        "request_id": row["request_id"],
    }


def _seen(state: dict[str, Any]) -> dict[str, Any]:
    """What was seen, with what `market_view` puts in for what was left out; only the forecast for `last_units` is not known
    here, and is left to who reads the table."""
    on_hand = state["on_hand"]
    seen = {
        "seen_list_price": state["list_price"],
        "seen_reference_price": state.get("reference_price", state["list_price"]),
        "seen_on_hand": float("inf") if on_hand is None else on_hand,
        "seen_on_order": state.get("on_order", 0.0),
        "seen_last_units": state.get("last_units"),
        "seen_competitor_price": float("inf") if state.get("competitor_price") is None else state["competitor_price"],
    }
    if "regime" in state:
        seen["seen_regime"] = state["regime"]
    return seen | {f"seen_loyalty[{segment}]": level for segment, level in state.get("loyalty", {}).items()}
