"""Decisions as the log keeps them: facts that all products share once, the others by column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from ..decision import Decision
from ..market_state import MARKET
from ..predictor import PriceAnswer
from ..product_prices import ProductPrice, ProductPrices


class Record(NamedTuple):
    """One decision.

    Attributes:
        time: When it was made (UTC).
        request_id: A unique name.
        market: Name of the market.
        period: Number of the period.
        date: Its first day, None where the market has no calendar.
        shared: `arm`, `policy` and `bundle`, and `last_day` of the period; earlier versions had none.
        rows: One mapping per product: `product`, `state`, `proposed`, `price`, `discounts`, `also`,
            `trail`, `propensity`, `shadow`.
    """

    time: str
    request_id: str
    market: str
    period: int
    date: str | None
    shared: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]

    def by_product(self) -> Iterator[dict[str, Any]]:
        """One mapping per product with all facts."""
        once = {name: getattr(self, name) for name in ("time", "request_id", "market", "period", "date")}
        for row in self.rows:
            yield {**once, **row, **self.shared}


def now() -> str:
    """The time (UTC), as rows hold it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def record_of(request_id: str, decision: Decision) -> tuple[Record, bytes]:
    """What the log keeps of a decision: the record without its rows, and these packed. Raises
    ValueError for a propensity outside (0, 1].
    """
    answer, state = decision.answer, decision.state
    shared = {"arm": decision.arm, "policy": answer.policy, "bundle": answer.bundle}
    if answer.last_day is not None:
        shared["last_day"] = answer.last_day
    record = Record(now(), request_id, state.get("market", MARKET), answer.period, answer.date, shared, ())
    columns = _decision_columns(decision)
    return record, msgspec.json.encode({**shared, "count": len(answer.prices), "rows": columns})


def _decision_columns(decision: Decision) -> dict[str, Any]:
    """The facts of each product, by column, as `_columns` would give them."""
    answer, state, shadow = decision.answer, decision.state, decision.shadow
    prices = ProductPrices.of(answer.prices)
    names, priced, nothing = prices.products, prices.columns, [None] * len(prices)
    items = {item["product"]: item for item in state["products"]}
    facts = {key: state[key] for key in ("regime", "loyalty") if key in state}
    shown: dict[str | None, list[str]] = {}
    for segment, product in answer.recommendations.items():
        shown.setdefault(product, []).append(segment)
    second = {} if shadow is None else {price.product: price for price in shadow.prices}
    return {
        "product": names,
        "state": _state_columns([items[name] for name in names], facts),
        "proposed": priced.proposed,
        "price": priced.price,
        "discounts": dict(zip(prices.segments, zip(*priced.discounts or (), strict=True), strict=False)),
        # What is decided beside the price; `shown_to` lists the segments whose slot shows it.
        "also": {
            "promotion": priced.promotion or nothing,
            "order_units": priced.order_units or nothing,
            "express_units": priced.express_units or nothing,
            "shown_to": [shown.get(name, ()) for name in names],
        },
        "trail": priced.trail,
        "propensity": _probabilities(decision.propensity, names),
        "shadow": nothing if shadow is None else _columns([_shadow_price(shadow, second[name]) for name in names]),
    }


def _state_columns(items: list[dict[str, Any]], facts: dict[str, Any]) -> Any:
    """Of the products' states, each with the facts of the market."""
    keys = tuple(items[0])
    try:
        values = list(zip(*map(itemgetter(*keys), items), strict=True))
    except KeyError:
        values = []
    # As many keys, and all of these, are the same keys.
    if not values or len(set(map(len, items))) > 1:
        return _columns([{**item, **facts} for item in items])
    return {**dict(zip(keys, values, strict=True)), **{key: [value] * len(items) for key, value in facts.items()}}


def packed(rows: Sequence[Any], shared: Mapping[str, Any] | None = None) -> bytes:
    """Rows, and what they share, as JSON text in which the name of a column stands once."""
    return msgspec.json.encode({**(shared or {}), "count": len(rows), "rows": _columns(rows)})


def unpacked(text: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The rows of a packed text, and what they share."""
    document = msgspec.json.decode(text)
    count = document.pop("count")
    return _rows(document.pop("rows"), count), document


def common_text(text: bytes) -> bytes:
    """What texts of the same bundle have in common: a packed text without its numbers."""
    return msgspec.json.encode(_without_numbers(msgspec.json.decode(text)))


def _columns(rows: Sequence[Any]) -> Any:
    """Mappings with the same keys as one mapping of columns, and so on inside; other values stay."""
    first = rows[0] if rows else None
    if isinstance(first, dict) and all(isinstance(row, dict) and row.keys() == first.keys() for row in rows):
        return {key: _columns([row[key] for row in rows]) for key in first}
    return rows


def _rows(columns: Any, count: int) -> list[Any]:
    if isinstance(columns, list):
        return columns
    values = [_rows(column, count) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)] or [{} for _ in range(count)]


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    return value if isinstance(value, str) else None


def _probabilities(propensity: float | Mapping[str, float], names: Sequence[str]) -> list[float]:
    values = [propensity[name] for name in names] if isinstance(propensity, Mapping) else [propensity]
    for name, value in zip(names, values, strict=False):
        if not 0 < value <= 1:
            raise ValueError(f"propensity must lie in (0, 1]; got {value} for {name!r}; state the arm's probability")
    return [float(value) for value in values] * (len(names) // len(values))


def _shadow_price(shadow: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """The shadow policy's answer for one product."""
    names = ("proposed", "price", "discounts")
    return {"policy": shadow.policy, "bundle": shadow.bundle} | {name: getattr(price, name) for name in names}
