"""The decision log as a canonical sales table, for `repricer data import` and `evaluate
--from-log`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import pandas as pd
from msgspec import UNSET, UnsetType

from ..market_state import Multiplier, ProductDocument
from .log import DecisionLog


class LoggedState(ProductDocument, kw_only=True, forbid_unknown_fields=False):
    """The state of one product as a row of the log holds it."""

    date: str | None = None
    regime: str | UnsetType = UNSET
    loyalty: dict[str, Multiplier] = {}  # noqa: RUF012  msgspec copies it


class Sales(NamedTuple):
    """The table, and the numbers of decisions left out: for want of outcomes, and because their
    state is faulty, as earlier versions let some pass.
    """

    table: pd.DataFrame
    left_out: int
    faulty: int


def sales_table(log: DecisionLog) -> Sales:
    """One row per product of every decision with outcomes for all its products.

    First the columns of the canonical sales table: `date` (of the sale where it was reported, else
    the first day of the period where the market has a calendar, else of the decision), `product`,
    `units` (0 too), `price_paid` (the price of the decision where nothing sold), `regular_price`
    (median of the product's prices), `store` (the market). Then `propensity` (of the price) and
    `arm_propensity` (the part that all products of the decision share, since one draw selected the
    arm), and the columns of a `PriceLog`: `market` counts episodes, since a period that does not
    come after the market's last one starts another; `period`; `seen_…`, the state; `price`, the
    list price.

    Args:
        log: The decision log.

    Raises:
        ValueError: No decision has all its outcomes.
    """
    rows: list[dict[str, Any]] = []
    episodes: dict[str, tuple[int, int]] = {}
    started = left_out = faulty = 0
    for decision in _decisions(log.sold()):
        if any(row["units"] is None for row in decision):
            left_out += 1
            continue
        try:
            states = [msgspec.json.decode(row["state"], type=LoggedState) for row in decision]
        except (msgspec.MsgspecError, UnicodeError):
            faulty += 1
            continue
        market, period = decision[0]["market"], decision[0]["period"]
        episode, last = episodes.get(market, (-1, period))
        if period <= last:
            episode, started = started, started + 1
        episodes[market] = episode, period
        rows += [_row(row, state, episode) for row, state in zip(decision, states, strict=True)]
    if not rows:
        raise ValueError(
            f"decision log must hold decisions with outcomes; got {log.name} with {left_out:,} decisions and no outcome of "
            f"all their products, and {faulty:,} with a faulty state; report them with POST /v1/outcomes or repricer log outcomes"
        )
    table = pd.DataFrame(rows)
    usual = table.groupby("product")["price"].transform("median")
    table.insert(list(table).index("store"), "regular_price", usual)
    table = table.sort_values(["date", "market", "period"], kind="stable", ignore_index=True)
    return Sales(table, left_out, faulty)


def _decisions(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one request are adjacent: they were written in one transaction."""
    for _, decision in itertools.groupby(rows, key=lambda row: row["request_id"]):
        yield list(decision)


def _row(row: dict[str, Any], state: LoggedState, episode: int) -> dict[str, Any]:
    price, units = row["price"], row["units"]
    return {
        "date": row["date"] or state.date or row["time"][:10],
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


def _seen(state: LoggedState) -> dict[str, Any]:
    """The state, with the defaults of `market_view` for what was left out; only the forecast for
    `last_units` is unknown here."""
    seen = {
        "seen_list_price": state.list_price,
        "seen_reference_price": state.list_price if state.reference_price is UNSET else state.reference_price,
        "seen_on_hand": float("inf") if state.on_hand is None else state.on_hand,
        "seen_on_order": state.on_order,
        "seen_last_units": None if state.last_units is UNSET else state.last_units,
        "seen_competitor_price": float("inf") if state.competitor_price is None else state.competitor_price,
    }
    if state.regime is not UNSET:
        seen["seen_regime"] = state.regime
    return seen | {f"seen_loyalty[{segment}]": level for segment, level in state.loyalty.items()}
