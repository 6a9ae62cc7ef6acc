"""Sales after a decision: read from plain data, assigned to the decision, never contradictory; a row for each."""

from __future__ import annotations

import datetime as dt
import itertools
import operator
import reprlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, decode, encode
from sqlalchemy import JSON, Select, column, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ..documents import Document, Name, fields, read
from ..market_state import MARKET
from .chain import TEXT, ChainError, Tail, hashed, row
from .records import text_of
from .storage import Query, Writing, end_of, rotated
from .tables import DECISIONS, ERASED, EVENTS, OUTCOMES

Amount = Annotated[float, Meta(ge=0, le=1e12)]
_AT_ONCE = 10_000
"""Keys in one query."""
_PIECE = 1_000
"""Rows in one transaction."""
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
    """The rows that outcomes become, made from what the log holds by then: the same few queries for one outcome and for
    ten thousand, all of them before the transaction.

    Args:
        look: Answers queries about the log.
        outcomes: The outcomes.

    Attributes:
        rows: Those of the new outcomes that are not written yet.

    Raises:
        OutcomeError: An outcome is refused.
    """

    def __init__(self, look: Query, outcomes: Sequence[ReportedOutcome]) -> None:
        self._end = end_of(OUTCOMES, look)
        self._maintained = _maintained(look)
        numbers = _numbers(look, outcomes)
        self._decisions = _decisions(look, set(numbers.values()))
        self._older = dict[tuple[str, str, str], _Decision]()
        self._of = defaultdict[int, list[ReportedOutcome]](list)
        for outcome in outcomes:
            decision = self._priced(look, outcome, self._decisions.get(numbers.get(_named(outcome), 0)))
            self._of[decision.id].append(outcome)
        for number, outcome in outcomes_of(look(reports_of(self._of))):
            self._decisions[number].known.append(outcome)
        for number, own in self._of.items():
            self._decisions[number].report(own)
        # Made here, so that prices do not wait for it in the transaction.
        reported = [self._decisions[number] for number in self._of]
        self.rows = [outcome_row(own.id, own.market, one) for own in reported for one in own.new]

    def write(self, writing: Writing) -> Tail | None:
        """Write the next of the `rows`, so few that prices hardly wait; None, and nothing is written, where the log has
        others by now that matter.

        Returns:
            The end of the outcomes, for `written` once it is on disk.
        """
        o = OUTCOMES.c
        since = {row["number"] for row in writing.read(select(o.number).where(o.id > self._end.rows))}
        if not since.isdisjoint(self._of) or self._maintained != _maintained(writing.read):
            return None
        return writing.append(OUTCOMES, self.rows[:_PIECE])

    def written(self, end: Tail) -> int:
        """Go on after the rows that are written; how many they were."""
        written = self.rows[:_PIECE]
        self._end = end
        self.rows = self.rows[_PIECE:]
        return len(written)

    def _priced(self, look: Query, outcome: ReportedOutcome, last: _Decision | None) -> _Decision:
        """The decision of an outcome: the last one that is named, or, of a day, that priced the product."""
        day = str(outcome.date) if outcome.request_id is None and outcome.period is None else None
        if day is not None and last is not None and outcome.product not in last.products:
            last = self._before(look, (outcome.market, day, outcome.product))
        ended = day is not None and last is not None and last.last_day is not None and day > last.last_day
        if last is None or last.market is None or ended:
            raise OutcomeError(f"outcome must be of a decision in the log; got {_got(outcome, last)}")
        return last

    def _before(self, look: Query, key: tuple[str, str, str]) -> _Decision | None:
        """The last decision up to a day that priced a product which the last one of all did not."""
        d, (market, day, _) = DECISIONS.c, key
        query = select(d.id, d.name, d.market, d.body).where(d.market == market, d.date <= day)
        for found in () if key in self._older else look(query.order_by(d.date.desc(), d.id.desc())):
            decision = self._decisions.setdefault(found["id"], _Decision(found))
            for product in decision.products:
                self._older.setdefault((market, day, product), decision)
            if key in self._older:
                break
        return self._older.get(key)


_MAINTENANCE = (ERASED, rotated(DECISIONS), rotated(OUTCOMES))
_LAST_MAINTENANCE = select(func.max(EVENTS.c.id).label("last")).where(EVENTS.c.name.in_(_MAINTENANCE))
_Key = str | tuple[str, int | str]
"""Names a decision: a request id, a market and its period, or a market and a day."""


def _got(outcome: ReportedOutcome, last: _Decision | None) -> str:
    """What an outcome without a decision names."""
    if outcome.request_id is not None:
        why = ", whose market was erased" if last else "; it is in the answer's header X-Request-Id"
        return f"request_id {reprlib.repr(outcome.request_id)}{why}"
    got = f"market {outcome.market!r}, period {outcome.period}"
    if outcome.period is None:
        got = f"market {outcome.market!r}, date {outcome.date}, product {outcome.product!r}"
    if last is not None:
        got += f", after {last.last_day}, the last day that it was priced for"
    return f"{got}; name it by its request_id"


class _Rows(FunctionElement[Any]):
    """The items of a JSON array, as rows: one parameter, however many they are."""

    name = "json_rows"
    inherit_cache = True


@compiles(_Rows, "sqlite")
def _(element: Any, compiler: Any, **more: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **more)})"


@compiles(_Rows, "postgresql")
def _(element: Any, compiler: Any, **more: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **more)} AS json))"


def _named(outcome: ReportedOutcome) -> _Key:
    if outcome.request_id is not None:
        return outcome.request_id
    return (outcome.market, str(outcome.date) if outcome.period is None else outcome.period)


def _numbers(look: Query, outcomes: Iterable[ReportedOutcome]) -> dict[_Key, int]:
    """The number of the decision that each key names; of a market with a period or a day, the last one, whose price
    was charged then.
    """
    d = DECISIONS.c
    keys = set(map(_named, outcomes))
    names = [key for key in keys if isinstance(key, str)]
    found: dict[_Key, int] = {}
    for some in _parts(names):
        found |= {one["name"]: one["id"] for one in look(select(d.id, d.name).where(d.name.in_(some)).order_by(d.id))}
    pairs = [key for key in keys if not isinstance(key, str)]
    periods = [pair for pair in pairs if isinstance(pair[1], int)]
    days = [pair for pair in pairs if isinstance(pair[1], str)]
    for held, is_of, some in ((d.number, operator.eq, periods), (d.date, operator.le, days)):
        pair = _Rows(encode(some).decode()).table_valued(column("value", JSON)).c["value"]
        market = pair[0].as_string()
        at = pair[1].as_integer() if held is d.number else pair[1].as_string()
        last = select(d.id).where(d.market == market, is_of(held, at)).order_by(held.desc(), d.id.desc()).limit(1)
        asked = select(market.label("market"), at.label("at"), last.scalar_subquery().label("last"))
        if some:
            found |= {(one["market"], one["at"]): one["last"] for one in look(asked) if one["last"] is not None}
    return found


def _decisions(look: Query, numbers: Collection[int]) -> dict[int, _Decision]:
    """Some decisions by their numbers."""
    d = DECISIONS.c
    queries = (select(d.id, d.name, d.market, d.body).where(d.id.in_(some)) for some in _parts(numbers))
    return {found["id"]: _Decision(found) for query in queries for found in look(query)}


def _parts(of: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists short enough for the parameters of a query."""
    left = iter(of)
    while some := list(itertools.islice(left, _AT_ONCE)):
        yield some


def _maintained(look: Query) -> int | None:
    """The last event that emptied or moved rows."""
    return next(iter(look(_LAST_MAINTENANCE)))["last"]


def reports_of(decisions: Collection[int]) -> Select[Any]:
    """The rows of the outcomes of some decisions, in order."""
    return select(OUTCOMES).where(OUTCOMES.c.number.in_(decisions)).order_by(OUTCOMES.c.id)


def outcomes_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The outcomes in some rows, without those that were erased, each with the number of its decision and the `time` of
    the report. Raises ChainError.
    """
    for own in rows:
        if own["body"] is not None:
            try:
                facts = decode(own["body"], type=dict[str, Any])
            except DecodeError:
                must = f"outcomes: row {own['id']} must hold what was written"
                raise ChainError(f"{must}; got another body; restore a backup") from None
            yield own["number"], {"time": own["time"], "product": own["name"], "date": own["date"], **facts}


def outcome_row(decision: int, market: str | None, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an outcome, without its links."""
    body = encode({key: outcome[key] for key in ("segment", "units", "price_paid", "stockout")})
    own = row(outcome["product"], body, date=outcome["date"], market=market, number=decision)
    return {**own, TEXT: hashed(own)}


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
        self._request_id = found["name"]
        self.known = list[dict[str, Any]]()
        self.new = list[dict[str, Any]]()
        brief = _Brief(_Products([])) if found["body"] is None else _brief.decode(text_of(found["body"]))
        self.last_day = brief.last_day
        self.products = brief.rows.product

    def report(self, outcomes: Iterable[ReportedOutcome]) -> None:
        """Find those that are new beside what is `known`. Raises OutcomeError."""
        reported = defaultdict[str, dict[str | None, dict[str, Any]]](dict)
        for one in self.known:
            reported[one["product"]][one["segment"]] = one
        self.new = []
        for outcome in outcomes:
            self._add(outcome, reported[outcome.product])

    def _add(self, outcome: ReportedOutcome, reported: dict[str | None, dict[str, Any]]) -> None:
        if outcome.market not in (MARKET, self.market):
            wanted = f"that of decision {self._request_id}, {self.market!r}"
            raise OutcomeError(f"outcome: market must be {wanted}; got {outcome.market!r}; fix one")
        if outcome.product not in self.products:
            got = reprlib.repr(outcome.product)
            known = reprlib.repr(sorted(self.products))
            wanted = f"one that decision {self._request_id} priced"
            raise OutcomeError(f"outcome: product must be {wanted}; got {got}; known are {known}")
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
