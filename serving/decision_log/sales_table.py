"""The decision log as a canonical sales table, for `repricer data import` and `evaluate
--from-log`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from .log import DecisionLog


def sales_table(log: DecisionLog) -> tuple[pd.DataFrame, int]:
    """One row per product of every decision with outcomes for all its products.

    First the columns of the canonical sales table: `date` (of the sale where it was reported, else the
    first day of the period where the market has a calendar, else of the decision), `product`, `units` (0 too), `price_paid`
    (the price of the decision where nothing sold), `regular_price` (median of the product's
    prices), `store` (the market). Then `propensity` (of the price) and `arm_propensity` (the part
    that all products of the decision share, since one draw selected the arm), and the columns of a
    `PriceLog`: `market` counts episodes, since a period that does not come after the market's last
    one starts another; `period`; `seen_…`, the state; `price`, the list price.

    Args:
        log: The decision log.

    Returns:
        The table, and the number of decisions left out.

    Raises:
        ValueError: No decision has all its outcomes.
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
            "all their products; report them with POST /v1/outcomes or repricer log outcomes"
        )
    table = pd.DataFrame(rows)
    usual = table.groupby("product")["price"].transform("median")
    table.insert(list(table).index("store"), "regular_price", usual)
    return table.sort_values(["date", "market", "period"], kind="stable", ignore_index=True), left_out


def _decisions(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one request are adjacent: they were written in one transaction."""
    for _, decision in itertools.groupby(rows, key=lambda row: row["request_id"]):
        yield list(decision)


def _row(row: dict[str, Any], episode: int) -> dict[str, Any]:
    price, units, state = row["price"], row["units"], json.loads(row["state"])
    return {
        "date": row["date"] or state.get("date") or row["time"][:10],
        "product": row["product"],
        "units": units,
        "price_paid": row["paid"] / units if units else price,
        "store": row["market"],
        "propensity": row["propensity"],
        "arm_propensity": row["propensity"],
        "market": episode,
        "period": row["period"],
        **_seen(state),
        "price": price,
        "stockout": bool(row["stockout"]),
        "arm": row["arm"],
        "policy": row["policy"],
        "bundle": row["bundle"],
        "request_id": row["request_id"],
    }


def _seen(state: dict[str, Any]) -> dict[str, Any]:
    """The state, with the defaults of `market_view` for what was left out; only the forecast for
    `last_units` is unknown here."""
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
