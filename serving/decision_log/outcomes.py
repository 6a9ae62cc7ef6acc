"""Sales after a decision: read from plain data, assigned to the decision, and never contradictory."""

from __future__ import annotations

import datetime as dt
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from ..documents import Document, Name, fields, read
from ..market_state import MARKET
from .records import now
from .schema import DECISIONS, OUTCOMES, SUBJECTS
from .sealing import Opened, opened
from .transactions import Writing

Amount = Annotated[float, Meta(ge=0, le=1e12)]
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
        Name | None,
        Meta(
            description="the answer's `X-Request-Id`; or give `date` where the market has a calendar, else `period`, and "
            "`market` where there are several"
        ),
    ] = None
    market: Annotated[Name, Meta(description=f"market of the decision; `{MARKET}` if left out, as in a state")] = MARKET
    period: Annotated[
        Period | None, Meta(description="period of the decision: the market's last decision for it is meant")
    ] = None
    price_paid: Annotated[
        Amount | None,
        Meta(
            description="mean price paid, currency per unit; the price of the decision, less the discount of the segment, if left out"
        ),
    ] = None
    stockout: Annotated[
        bool, Meta(description="whether it sold out, so that `units` is a lower bound of the demand")
    ] = False
    segment: Annotated[Name | None, Meta(description="who bought; all customers if left out")] = None
    date: Annotated[
        dt.date | None,
        Meta(
            description="day of the sale on the shop's own clock; if left out, the first day of the period where the "
            "market has a calendar, else the day of the decision (UTC)"
        ),
    ] = None


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
        raise OutcomeError(
            "outcome must name its decision by request_id, or by date or period (and market); got "
            f"{'both' if named else 'neither'}; give one"
        )
    return outcome


def add(writing: Writing, outcomes: Sequence[ReportedOutcome]) -> int:
    """Write the new ones of these outcomes, all or none.

    Returns:
        The number of new outcomes.

    Raises:
        OutcomeError: An outcome is refused.
    """
    return _added(writing, outcomes, possible=False)[0]


def add_possible(writing: Writing, outcomes: Sequence[ReportedOutcome]) -> tuple[int, dict[int, str]]:
    """As `add`, without those that are refused; returns the reasons too, by their index."""
    return _added(writing, outcomes, possible=True)


def _added(writing: Writing, outcomes: Sequence[ReportedOutcome], *, possible: bool) -> tuple[int, dict[int, str]]:
    decisions, refused = dict[str, _Decision](), dict[int, str]()

    def decided(request: str) -> _Decision:
        if request not in decisions:
            decisions[request] = _Decision(writing, request)
        return decisions[request]

    for index, outcome in enumerate(outcomes):
        try:
            decided(outcome.request_id or _last_request(writing, outcome, decided)).add(outcome)
        except OutcomeError as error:
            if not possible:
                raise
            refused[index] = str(error)
    told = [decision for decision in decisions.values() if decision.new]
    writing.append(OUTCOMES, [decision.row() for decision in told])
    return sum(len(decision.new) for decision in told), refused


class _Decision:
    """One decision: its products, their known outcomes, and those that are new."""

    def __init__(self, writing: Writing, request_id: str) -> None:
        self.request_id, self.new = request_id, list[dict[str, Any]]()
        rows = writing.read(select(DECISIONS).where(DECISIONS.c.request_id == request_id))
        found = next(opened(rows, writing.look, writing.look), None)
        if found is None:
            raise OutcomeError(
                f"outcome must be of a decision in the log; got request_id {reprlib.repr(request_id)}"
                + (", whose market was erased" if rows else "; it is in the answer's header X-Request-Id")
            )
        self._sealed: Opened = found
        self.last_day: str | None = found.record.shared.get("last_day")
        self.known: dict[str, dict[str | None, dict[str, Any]]] = {row["product"]: {} for row in found.record.rows}
        reports = writing.look(select(OUTCOMES.c.body).where(OUTCOMES.c.decision == found.id))
        for row in (row for report in reports for row in found.outcomes(report["body"])):
            self.known[row["product"]][row["segment"]] = row

    def row(self) -> dict[str, Any]:
        """The row of the new outcomes, without its links."""
        return {"time": now(), "decision": self._sealed.id, "body": self._sealed.sealed(self.new)}

    def add(self, outcome: ReportedOutcome) -> None:
        """Take an outcome that is not known yet. Raises OutcomeError."""
        own = self._sealed.record.market
        if outcome.market not in (MARKET, own):
            raise OutcomeError(
                f"outcome: market must be that of decision {self.request_id}, {own!r}; got {outcome.market!r}; fix one"
            )
        if outcome.product not in self.known:
            raise OutcomeError(
                f"outcome: product must be one that decision {self.request_id} priced; got {reprlib.repr(outcome.product)}; "
                f"known are {reprlib.repr(sorted(self.known))}"
            )
        reported = self.known[outcome.product]
        before = reported.get(outcome.segment)
        if before is None and reported and (outcome.segment is None or None in reported):
            raise ContradictionError(self._differs(outcome, "for all customers or by segment, not both", "the other"))
        facts = _facts(outcome)
        for fact, value in facts.items():
            if before is not None and before[fact] != value:
                kept = f"as it was reported ({fact} {before[fact]})"
                raise ContradictionError(self._differs(outcome, kept, f"{fact} {value}"))
        if before is None:
            reported[outcome.segment] = facts
            self.new.append({"product": outcome.product, "segment": outcome.segment, **facts})

    def _differs(self, outcome: ReportedOutcome, rule: str, got: str) -> str:
        return (
            f"outcome of {outcome.product!r} after decision {self.request_id} must stay {rule}; got {got}; outcomes are "
            "append-only"
        )


def _last_request(writing: Writing, outcome: ReportedOutcome, decided: Callable[[str], _Decision]) -> str:
    """The market's last decision for the period, or the last whose period holds the day of the sale:
    its price was charged then.
    """
    d, on = DECISIONS.c, outcome.date
    query: Any = (
        select(d.request_id).join(SUBJECTS, SUBJECTS.c.id == d.subject).where(SUBJECTS.c.name == outcome.market)
    )
    if outcome.period is not None:
        named, query = (
            f"period {outcome.period}",
            query.where(d.period == outcome.period).order_by(d.id.desc()).limit(1),
        )
    else:
        named, query = (
            f"date {on}, product {outcome.product!r}",
            query.where(d.date <= str(on)).order_by(d.date.desc(), d.id.desc()),
        )
    for row in writing.read(query):
        request: str = row["request_id"]
        if outcome.period is not None:
            return request
        if outcome.product in decided(request).known:
            ended = decided(request).last_day
            if ended is None or str(on) <= ended:
                return request
            named += f", after {ended}, the last day that it was priced for"
            break
    raise OutcomeError(
        f"outcome must be of a decision in the log; got market {outcome.market!r}, {named}; name it by its request_id"
    )


def _facts(outcome: ReportedOutcome) -> dict[str, Any]:
    """What the log keeps of an outcome, apart from which decision it belongs to."""
    return {
        "units": outcome.units,
        "price_paid": outcome.price_paid,
        "stockout": outcome.stockout,
        "date": None if outcome.date is None else str(outcome.date),
    }
