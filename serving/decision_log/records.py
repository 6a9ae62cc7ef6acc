"""Decisions as the log keeps them: facts that all products share once, the others by column."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..decision import Chance, Decision
from ..market_state import MARKET
from .chain import ChainError, row

_LEVEL = 3
"""Of compression: half the time of the usual one, for a tenth more bytes."""
_COMMON = (Path(__file__).parent / "dictionary.txt").read_bytes()
"""What bodies have in common, against which they are compressed. Part of version 5 of the log: it never changes."""
_WHOLE = ("regime", "loyalty")
"""What a state says of the market, kept with each product."""
_ALSO = ("promotion", "order_units", "express_units")


def opened(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The decisions in some rows, without those that were erased, each as the number of its row and one mapping per
    product: `time` (UTC), `request_id`, `market`, `period`, its first day `date` and `last_day` (None where the market has
    no calendar), `product`, `state`, `proposed`, `price`, `discounts`, `also`, `trail`, `propensity`, `arm`, `policy`, `bundle`.

    Raises:
        ChainError: A body is damaged.
    """
    for own in rows:
        if own["body"] is not None:
            products, shared = unpacked(text_of(own["body"]))
            shared.pop("reply", None)
            once = {key: own[key] for key in ("time", "market", "date")}
            once |= {"request_id": own["name"], "period": own["number"]}
            yield own["id"], [{**once, **product, **shared} for product in products]


def state_of(products: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of a decision, by its products as `opened` gives them."""
    first = products[0]
    time = {"period": first["period"]} if first["date"] is None else {"date": first["date"]}
    whole = {key: first["state"][key] for key in _WHOLE if key in first["state"]}
    items = [{key: value for key, value in own["state"].items() if key not in _WHOLE} for own in products]
    return {"market": first["market"], **time, **whole, "products": items}


def decision_row(request_id: str, decision: Decision, reply: str | None = None) -> dict[str, Any]:
    """The row of a decision, without its links.

    Args:
        request_id: Names the answer.
        decision: What was decided.
        reply: Digest of the answer, where it is kept to be given again.

    Raises:
        ValueError: A propensity lies outside (0, 1].
    """
    answer = decision.answer
    state = decision.state
    shared = {"arm": decision.arm, "policy": answer.policy, "bundle": answer.bundle}
    if reply is not None:
        shared["reply"] = reply
    if answer.last_day is not None:
        shared["last_day"] = answer.last_day
    text = msgspec.json.encode({**shared, "count": len(answer.prices), "rows": _decision_columns(decision)})
    return row(request_id, body_of(text), market=state.get("market", MARKET), number=answer.period, date=answer.date)


def body_of(text: bytes) -> bytes:
    """A text, compressed."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, zdict=_COMMON)
    return compressor.compress(text) + compressor.flush()


def text_of(body: bytes) -> bytes:
    """The text of a body. Raises ChainError where it is none."""
    try:
        return zlib.decompressobj(-15, zdict=_COMMON).decompress(body)
    except zlib.error as error:
        raise ChainError("decisions: a body must be as it was written; got another; restore a backup") from error


def _decision_columns(decision: Decision) -> dict[str, Any]:
    """The facts of each product, by column, as `_columns` would give them."""
    answer = decision.answer
    state = decision.state
    prices = decision.answer.prices
    names = [price.product for price in prices]
    items = {item["product"]: item for item in state["products"]}
    facts = {key: state[key] for key in _WHOLE if key in state}
    shown: dict[str | None, list[str]] = {}
    for segment, product in answer.recommendations.items():
        shown.setdefault(product, []).append(segment)

    def column(key: str) -> list[Any]:
        return list(map(operator.attrgetter(key), prices))

    return {
        "product": names,
        "state": _columns([{**items[name], **facts} for name in names]),
        **{key: column(key) for key in ("proposed", "price", "trail")},
        "discounts": _columns(column("discounts")),
        # What is decided beside the price; `shown_to` lists the segments whose slot shows it.
        "also": {**{key: column(key) for key in _ALSO}, "shown_to": [shown.get(name, ()) for name in names]},
        "propensity": _probabilities(decision.propensity, names),
    }


def unpacked(text: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The rows of a packed text, and what they share."""
    document = msgspec.json.decode(text)
    count = document.pop("count")
    return _rows(document.pop("rows"), count), document


def _columns(rows: Sequence[Any]) -> Any:
    """Mappings with the same keys as one mapping of columns, and so on inside; other values stay."""
    # Without a step of the interpreter for each row.
    if set(map(type, rows)) == {dict} and all(map(rows[0].keys().__eq__, map(dict.keys, rows))):
        return {key: _columns(list(map(operator.itemgetter(key), rows))) for key in rows[0]}
    return rows


def _rows(columns: Any, count: int) -> list[Any]:
    if isinstance(columns, list):
        return columns
    values = [_rows(column, count) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)] or [{} for _ in range(count)]


def _probabilities(propensity: Chance, names: Sequence[str]) -> list[float]:
    """The probability of the price of each product. Raises ValueError for one outside (0, 1]."""
    own = [propensity[name] for name in names] if isinstance(propensity, Mapping) else [propensity] * len(names)
    for name, value in zip(names, own, strict=True):
        if not 0 < value <= 1:
            raise ValueError(f"propensity must lie in (0, 1]; got {value} for {name!r}; state the arm's probability")
    return list(map(float, own))
