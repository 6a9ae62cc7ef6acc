"""Sales after a decision: read from plain data, assigned to the decision, and never contradictory."""

from __future__ import annotations

import datetime as dt
import reprlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder, decode, encode
from sqlalchemy import Select, or_, select

from ..documents import Document, Name, fields, read
from ..market_state import MARKET
from .chain import bound, part, parts_of, row
from .records import body_of, packed, text_of, unpacked
from .storage import Query, Writing, end_of
from .tables import DECISIONS, MAINTENANCE, OUTCOMES

Amount = Annotated[float, Meta(ge=0, le=1e12)]
BLOCK = 256
"""Decisions, by number, whose outcomes of one report go into one row."""
_FEW = 16
"""Fewer than so many have a row each, so that who looks for one of them need not read the others."""
Period = Annotated[int, Meta(ge=0, lt=2**31, extra={"allowed": "a whole number from 0"})]


class OutcomeError(ValueError):
    """An outcome that is refused; the message is one line that says what is wrong."""


class ContradictionError(OutcomeError):
    """An outcome that contradicts an earlier one."""


class ReportedOutcome(Document, frozen=True, forbid_unknown_fields=True):
    """What one product sold after one decision."""

    product: Annotated[Name, Meta(description="its name in the catalogue")]
    units: Annotated[Amount, Meta(description="units sold; report 0 too")]
    request_id: Annotated[
        Name | None, Meta(description="the answer's `X-Request-Id`; or `date` or `period`, and `market`")
    ] = None
    market: Annotated[Name, Meta(description=f"market of the decision; `{MARKET}` if left out, as in a state")] = MARKET
    period: Annotated[Period | None, Meta(description="period of the decision, of several the last")] = None
    price_paid: Annotated[Amount | None, Meta(description="mean price paid per unit; if left out, as decided")] = None
    stockout: Annotated[bool, Meta(description="whether it sold out: `units` is then a lower bound of demand")] = False
    segment: Annotated[Name | None, Meta(description="who bought; all customers if left out")] = None
    date: Annotated[dt.date | None, Meta(description="day of the sale; if left out, the first that it was for")] = None


def outcome_of(data: Any) -> ReportedOutcome:
    """The outcome in plain data; a field that is null counts as left out.

    Args:
        data: An object with the fields of `ReportedOutcome`.

    Raises:
        OutcomeError: The data is no such outcome.

    Example:
        >>> outcome_of({"product": "tea", "units": 3, "period": 0}).units
        3.0
    """
    known = fields(ReportedOutcome)
    if isinstance(data, Mapping):
        data = {key: value for key, value in data.items() if value is not None or key not in known}
    outcome = read(ReportedOutcome, data, "outcome", OutcomeError)
    named = [name for name in ("request_id", "period") if getattr(outcome, name) is not None]
    if len(named) > 1 or not (named or outcome.date):
        wanted = "its decision by request_id, or by date or period (and market)"
        got = "both" if named else "neither"
        raise OutcomeError(f"outcome must name {wanted}; got {got}; give one")
    return outcome


class Report:
    """The rows that outcomes become, made from what the log holds by then.

    Args:
        look: Answers queries about the log.
        outcomes: The outcomes.

    Raises:
        OutcomeError: An outcome is refused.
    """

    def __init__(self, look: Query, outcomes: Sequence[ReportedOutcome]) -> None:
        self._given = outcomes
        self._end, self._maintained = end_of(OUTCOMES, look), end_of(MAINTENANCE, look)
        self._decisions = dict[str, _Decision]()
        self._look_up(look, {one.request_id for one in outcomes if one.request_id is not None})
        for outcome in outcomes:
            self._decision(look, outcome.request_id or self._last_request(look, outcome)).add(outcome)
        reported = [decision for decision in self._decisions.values() if decision.new]
        self.new = sum(len(decision.new) for decision in reported)
        """How many outcomes are new."""
        blocks = defaultdict[str, list[_Decision]](list)
        for decision in reported:
            blocks[_block(decision.id)].append(decision)
        self._rows = [row for name, block in blocks.items() for row in _rows(name, block)]

    def __call__(self, writing: Writing) -> Report:
        """Write the rows; where others were written meanwhile that matter, look again."""
        since = writing.read(select(OUTCOMES).where(OUTCOMES.c.id > self._end.rows))
        late = {own["number"] for one in since for own in parts_of(one)}
        if self._maintained != end_of(MAINTENANCE, writing.read) or late & {one.id for one in self._decisions.values()}:
            return Report(writing.read, self._given)(writing)
        writing.append(OUTCOMES, self._rows)
        return self

    def _look_up(self, look: Query, names: Collection[str]) -> None:
        """Read decisions and their outcomes, all together."""
        by_number = dict[int, _Decision]()
        d = DECISIONS.c
        for found in look(select(d.id, d.name, d.market, d.body).where(d.name.in_(names)).order_by(d.id)):
            self._decisions[found["name"]] = by_number[found["id"]] = _Decision(found)
        for number, outcomes in outcomes_of(look(reports_of(by_number))):
            if number in by_number:
                by_number[number].know(outcomes)

    def _decision(self, look: Query, request_id: str) -> _Decision:
        if request_id not in self._decisions:
            self._look_up(look, [request_id])
        found = self._decisions.get(request_id)
        if found is None or found.market is None:
            got = f"request_id {reprlib.repr(request_id)}"
            got += ", whose market was erased" if found else "; it is in the answer's header X-Request-Id"
            raise OutcomeError(f"outcome must be of a decision in the log; got {got}")
        return found

    def _last_request(self, look: Query, outcome: ReportedOutcome) -> str:
        """The market's last decision for the period, or the last whose period holds the day of the sale:
        its price was charged then.
        """
        d, on = DECISIONS.c, outcome.date
        query: Any = select(d.name).where(d.market == outcome.market)
        if outcome.period is not None:
            named = f"period {outcome.period}"
            query = query.where(d.number == outcome.period).order_by(d.id.desc()).limit(1)
        else:
            named = f"date {on}, product {outcome.product!r}"
            query = query.where(d.date <= str(on)).order_by(d.date.desc(), d.id.desc())
        for found in look(query):
            if outcome.period is not None:
                return found["name"]
            decision = self._decision(look, found["name"])
            if outcome.product in decision.products:
                if decision.last_day is None or str(on) <= decision.last_day:
                    return found["name"]
                named += f", after {decision.last_day}, the last day that it was priced for"
                break
        got = f"market {outcome.market!r}, {named}"
        raise OutcomeError(f"outcome must be of a decision in the log; got {got}; name it by its request_id")


def reports_of(decisions: Collection[int]) -> Select[Any]:
    """The rows of the outcomes of some decisions, in order; some of them may be of others, too."""
    o = OUTCOMES.c
    return select(OUTCOMES).where(or_(o.number.in_(decisions), o.name.in_(set(map(_block, decisions))))).order_by(o.id)


def outcomes_of(reports: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The outcomes in some rows, without those that were erased, each as the number of its decision and the outcomes with
    the `time` of the report. Raises ChainError.
    """
    for report in reports:
        for own in parts_of(report):
            if own["body"] is not None:
                found = unpacked(text_of(own["body"]))[0] if own is report else decode(own["body"])
                yield own["number"], [{"time": report["time"], **one} for one in found]


def _block(decision: int) -> str:
    return f"block {decision // BLOCK}"


def _rows(name: str, block: list[_Decision]) -> list[dict[str, Any]]:
    """The rows of the new outcomes of decisions of one block, without their links."""
    if len(block) < _FEW:
        return [row("", body_of(packed(own.new)), market=own.market, number=own.id) for own in block]
    return [bound(name, [part(encode(own.new), market=own.market, number=own.id) for own in block])]


class _Products(Struct):
    product: list[str]


class _Brief(Struct):
    """What outcomes need of a decision; to read all of it would take ten times as long."""

    rows: _Products
    last_day: str | None = None


_brief = Decoder(_Brief)


class _Decision:
    """One decision: its products, their known outcomes, and those that are new."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.id: int = found["id"]
        self.market: str | None = found["market"]
        self._request_id, self.new = found["name"], list[dict[str, Any]]()
        brief = _Brief(_Products([])) if found["body"] is None else _brief.decode(text_of(found["body"]))
        self.last_day = brief.last_day
        self.products, self._known = brief.rows.product, dict[str, dict[str | None, dict[str, Any]]]()

    def know(self, reported: Iterable[dict[str, Any]]) -> None:
        """Take what was reported before."""
        for one in reported:
            self._known.setdefault(one["product"], {})[one["segment"]] = one

    def add(self, outcome: ReportedOutcome) -> None:
        """Take an outcome that is not known yet. Raises OutcomeError."""
        if outcome.market not in (MARKET, self.market):
            wanted = f"that of decision {self._request_id}, {self.market!r}"
            raise OutcomeError(f"outcome: market must be {wanted}; got {outcome.market!r}; fix one")
        if outcome.product not in self.products:
            got, known = reprlib.repr(outcome.product), reprlib.repr(sorted(self.products))
            wanted = f"one that decision {self._request_id} priced"
            raise OutcomeError(f"outcome: product must be {wanted}; got {got}; known are {known}")
        reported = self._known.setdefault(outcome.product, {})
        before = reported.get(outcome.segment)
        if before is None and reported and (outcome.segment is None or None in reported):
            raise ContradictionError(self._differs(outcome, "for all customers or by segment, not both", "the other"))
        facts = {name: getattr(outcome, name) for name in ("units", "price_paid", "stockout")}
        facts["date"] = None if outcome.date is None else str(outcome.date)
        for fact, value in facts.items():
            if before is not None and before[fact] != value:
                kept = f"as it was reported ({fact} {before[fact]})"
                raise ContradictionError(self._differs(outcome, kept, f"{fact} {value}"))
        if before is None:
            reported[outcome.segment] = facts
            self.new.append({"product": outcome.product, "segment": outcome.segment, **facts})

    def _differs(self, outcome: ReportedOutcome, rule: str, got: str) -> str:
        of = f"{outcome.product!r} after decision {self._request_id}"
        return f"outcome of {of} must stay {rule}; got {got}; outcomes are append-only"


def summed(outcomes: list[dict[str, Any]], price: float, discounts: Mapping[str, float]) -> dict[str, Any]:
    """The outcomes of one product, over all segments."""
    if not outcomes:
        return dict.fromkeys(("units", "paid", "stockout", "sold_on"))
    due = [price * (1 - discounts.get(one["segment"], 0.0)) for one in outcomes]
    paid = [usual if one["price_paid"] is None else one["price_paid"] for one, usual in zip(outcomes, due, strict=True)]
    return {
        "units": sum(one["units"] for one in outcomes),
        "paid": sum(one["units"] * each for one, each in zip(outcomes, paid, strict=True)),
        "stockout": any(one["stockout"] for one in outcomes),
        "sold_on": min((one["date"] for one in outcomes if one["date"]), default=None),
    }
