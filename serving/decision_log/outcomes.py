"""What sold after a decision: read from plain data, tied to its decision, and never told in two ways."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select

from ..market_state import MARKET, name_of
from .schema import DECISIONS, OUTCOMES, SCHEMA
from .storage import Writing

_MOST = 1e12
_FACTS = ("units", "price_paid", "stockout", "date")


class OutcomeError(ValueError):
    """An outcome that cannot be taken; the message is one line that says what is wrong in it."""


class ContradictionError(OutcomeError):
    """An outcome that says otherwise than an earlier one."""


@dataclass(frozen=True)
class Outcome:
    """What one product sold after one decision.

    request_id: names the decision; where it is None, the last one of this market and period is meant. units: sold, 0 too.
    price_paid: currency per unit, mean over what was sold; None for the price that was given. stockout: whether it was
    sold out, so that `units` is a lower bound. segment: who bought, None for all customers. date: day of the sale on the
    shop's own clock, None for the day of the decision (UTC).
    """

    product: str
    units: float
    request_id: str | None = None
    market: str = MARKET
    period: int | None = None
    price_paid: float | None = None
    stockout: bool = False
    segment: str | None = None
    date: str | None = None


def outcome_of(data: Any) -> Outcome:
    """The outcome in an object of plain data, with the names of `Outcome`. Raises OutcomeError."""
    known = tuple(Outcome.__dataclass_fields__)
    if not isinstance(data, Mapping):
        raise OutcomeError(f"outcome must be an object with {', '.join(known)}; got {reprlib.repr(data)}; mend it")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise OutcomeError(f"outcome must have known keys; got {reprlib.repr(key)}; {hint}")
    given = {key: value for key, value in data.items() if value is not None}
    if ("request_id" in given) == ("period" in given):
        raise OutcomeError(
            "outcome must name its decision by request_id, or by period (and market); got "
            f"{'both' if 'period' in given else 'neither'}; give one"
        )
    for key in ("product", "units"):
        if key not in given:
            raise OutcomeError(f"outcome must have product and units; got no {key}; add it")
    return Outcome(**{key: _READ[key](key, value) for key, value in given.items()})


def add(writing: Writing, outcomes: Sequence[Outcome], refused: dict[int, str] | None = None) -> int:
    """Write what is new of these outcomes, and return how many that were. Raises OutcomeError.

    refused: gets the reason of each outcome that cannot be taken, by its index; without it the first one is raised.
    """
    decisions: dict[str, _Decision] = {}
    rows = []
    for index, outcome in enumerate(outcomes):
        try:
            request = outcome.request_id or _last_request(writing, outcome)
            if request not in decisions:
                decisions[request] = _Decision(writing, request)
            if decisions[request].is_news(outcome):
                rows.append(_row(request, outcome))
        except OutcomeError as error:
            if refused is None:
                raise
            refused[index] = str(error)
    writing.append(OUTCOMES, rows)
    return len(rows)


class _Decision:
    """One decision: its products, and what is known of their outcomes."""

    def __init__(self, writing: Writing, request_id: str) -> None:
        self.request_id = request_id
        priced = writing.read(select(DECISIONS.c.product).where(DECISIONS.c.request_id == request_id))
        told = writing.read(select(OUTCOMES).where(OUTCOMES.c.request_id == request_id))
        self.known: dict[str, dict[str | None, dict[str, Any]]] = {row["product"]: {} for row in priced}
        for row in told:
            self.known[row["product"]][row["segment"]] = row

    def is_news(self, outcome: Outcome) -> bool:
        """Whether it was not known before; it is from now on. Raises OutcomeError."""
        if not self.known:
            raise OutcomeError(
                f"outcome must be of a decision in the log; got request_id {reprlib.repr(self.request_id)}; it is in the "
                "answer's header X-Request-Id"
            )
        if outcome.product not in self.known:
            raise OutcomeError(
                f"outcome: product must be one that decision {self.request_id} priced; got {reprlib.repr(outcome.product)}; "
                f"known are {reprlib.repr(sorted(self.known))}"
            )
        told = self.known[outcome.product]
        before = told.get(outcome.segment)
        if before is None and told and (outcome.segment is None or None in told):
            raise ContradictionError(self._differs(outcome, "for all customers or by segment, not both", "the other"))
        for fact in _FACTS:
            if before is not None and before[fact] != getattr(outcome, fact):
                kept = f"as it was told ({fact} {before[fact]})"
                raise ContradictionError(self._differs(outcome, kept, f"{fact} {getattr(outcome, fact)}"))
        told[outcome.segment] = asdict(outcome)
        return before is None

    def _differs(self, outcome: Outcome, rule: str, got: str) -> str:
        return (
            f"outcome of {outcome.product!r} after decision {self.request_id} must stay {rule}; got {got}; outcomes are "
            "append-only"
        )


def _last_request(writing: Writing, outcome: Outcome) -> str:
    d = DECISIONS.c
    query = select(d.request_id).where(d.market == outcome.market, d.period == outcome.period)
    found = writing.read(query.order_by(d.id.desc()).limit(1))
    if not found:
        raise OutcomeError(
            f"outcome must be of a decision in the log; got market {outcome.market!r}, period {outcome.period}; name it by "
            "its request_id"
        )
    return found[0]["request_id"]


def _row(request_id: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "product": outcome.product,
        "segment": outcome.segment,
        **{fact: getattr(outcome, fact) for fact in ("units", "price_paid", "stockout", "date")},
    }


def _text(key: str, value: Any) -> str:
    return name_of(value, f"outcome: {key}", OutcomeError)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST or math.isnan(value):
        raise OutcomeError(f"outcome: {key} must be a number from 0 to {_MOST:g}; got {reprlib.repr(value)}; mend it")
    return float(value)


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise OutcomeError(f"outcome: {key} must be a whole number from 0; got {reprlib.repr(value)}; mend it")
    return value


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OutcomeError(f"outcome: {key} must be true or false; got {reprlib.repr(value)}; mend it")
    return value


def _day(key: str, value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError) as error:
        raise OutcomeError(f"outcome: {key} must be YYYY-MM-DD; got {reprlib.repr(value)}; mend it") from error


_READ = {
    "product": _text,
    "units": _number,
    "request_id": _text,
    "market": _text,
    "period": _whole,
    "price_paid": _number,
    "stockout": _switch,
    "segment": _text,
    "date": _day,
}
