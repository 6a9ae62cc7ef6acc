"""Decisions as the log keeps them: facts that all products share once, the others by column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from ..decision import Decision
from ..market_state import MARKET
from ..predictor import PriceAnswer
from ..product_prices import ProductPrice, rows_of


class Record(NamedTuple):
    """One decision.

    Attributes:
        time: When it was made (UTC).
        request_id: A unique name.
        market: Name of the market.
        period: Number of the period.
        date: Its first day, None where the market has no calendar.
        shared: `arm`, `policy` and `bundle`.
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


def record_of(request_id: str, decision: Decision) -> Record:
    """What the log keeps of a decision. Raises ValueError for a propensity outside (0, 1]."""
    answer, state, shadow = decision.answer, decision.state, decision.shadow
    items = {item["product"]: item for item in state["products"]}
    facts = {key: state[key] for key in ("regime", "loyalty") if key in state}
    shown: dict[str | None, list[str]] = {}
    for segment, product in answer.recommendations.items():
        shown.setdefault(product, []).append(segment)
    second = repeat(None) if shadow is None else map(_shadow_price, repeat(shadow), _like(answer, shadow))
    rows = [
        {
            "product": name,
            "state": {**items[name], **facts},
            "proposed": price["proposed"],
            "price": price["price"],
            "discounts": price["discounts"],
            # What is decided beside the price; `shown_to` lists the segments whose slot shows it.
            "also": {
                "promotion": price["promotion"],
                "order_units": price["order_units"],
                "shown_to": shown.get(name, []),
            },
            "trail": price["trail"],
            "propensity": _probability(decision.propensity, name),
            "shadow": other,
        }
        for price, other in zip(rows_of(answer.prices), second, strict=False)
        for name in (price["product"],)
    ]
    shared = {"arm": decision.arm, "policy": answer.policy, "bundle": answer.bundle}
    return Record(now(), request_id, state.get("market", MARKET), answer.period, answer.date, shared, rows)


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


def _like(answer: PriceAnswer, shadow: PriceAnswer) -> list[ProductPrice]:
    """The prices of the shadow in the order of the answer."""
    theirs = {price.product: price for price in shadow.prices}
    return [theirs[price.product] for price in answer.prices]


def _probability(propensity: float | Mapping[str, float], product: str) -> float:
    value = propensity[product] if isinstance(propensity, Mapping) else propensity
    if not 0 < value <= 1:
        raise ValueError(f"propensity must lie in (0, 1]; got {value} for {product!r}; state the arm's probability")
    return float(value)


def _shadow_price(shadow: PriceAnswer, price: ProductPrice) -> dict[str, Any]:
    """The shadow policy's answer for one product."""
    names = ("proposed", "price", "discounts")
    return {"policy": shadow.policy, "bundle": shadow.bundle} | {name: getattr(price, name) for name in names}
