"""Events about price lists and experiments: who decided what and why. A repeated decision is one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, select

from .chain import document, facts_of
from .storage import Query, Writing
from .tables import EVENTS


class Approval(NamedTuple):
    """One decision about one row of a price list.

    Attributes:
        zone: Stores that the row is for.
        product: Name of the product.
        week: First day of the week, YYYY-MM-DD.
        proposal: Checksum of the proposal.
        current_price: Price that was planned anyway, currency per unit.
        new_price: Proposed price.
        status: approved, overridden or postponed.
        price: Price that is charged.
        decided_by: Who decided.
        reason: Why; may be empty where the proposal was approved.
        bundle: Digest of the bundle by whose price rules it was checked.
    """

    zone: str
    product: str
    week: str
    proposal: str
    current_price: float
    new_price: float
    status: str
    price: float
    decided_by: str
    reason: str
    bundle: str


class ExperimentPlan(NamedTuple):
    """A price experiment as it was planned.

    Attributes:
        experiment: Its name.
        first_day: YYYY-MM-DD.
        digest: SHA-256 of the plan, its calendar and its analysis.
        decided_by: Who planned it.
    """

    experiment: str
    first_day: str
    digest: str
    decided_by: str


class Recorded(NamedTuple):
    """When each decision was recorded first (UTC), and how many are new."""

    times: list[str]
    new: int


def add(writing: Writing, approvals: Sequence[Approval]) -> Recorded:
    """Write those decisions that differ from the last one about the same row."""
    weeks = sorted({approval.week for approval in approvals})
    e = EVENTS.c
    found = writing.read(select(EVENTS).where(e.name == "approval", e.date.in_(weeks)).order_by(e.id))
    before = [(Approval(**facts_of(each)), each["time"]) for each in found]
    last = {made[:3]: (made, time) for made, time in before}
    times = list[str]()
    new = list[dict[str, Any]]()
    for approval in approvals:
        key = approval[:3]
        if key not in last or last[key][0] != approval:
            new.append(document("approval", approval._asdict(), date=approval.week))
            last[key] = approval, new[-1]["time"]
        times.append(last[key][1])
    writing.append(EVENTS, new)
    return Recorded(times, len(new))


def add_items(writing: Writing, decisions: Mapping[str, Mapping[str, Any]]) -> int:
    """Write those decisions about key-value items, by id, that differ from the last one about the same item; how many."""
    made = {item: {"item": item, **facts} for item, facts in decisions.items()}
    last = {one["item"]: one for one in _facts(writing.read, "item")}
    rows = [document("item", facts) for item, facts in made.items() if last.get(item) != facts]
    writing.append(EVENTS, rows)
    return len(rows)


def add_experiment(writing: Writing, plan: ExperimentPlan) -> Recorded:
    """Write the plan of an experiment, unless it is there. Raises ValueError where another has its name."""
    for found in writing.read(_of("experiment")):
        facts = facts_of(found)
        if facts["experiment"] != plan.experiment:
            continue
        if facts["digest"] != plan.digest:
            must = f"an experiment must have a name of its own; got '{plan.experiment}'"
            has = f"which the decision log has with the hash {facts['digest'][:12]}"
            raise ValueError(f"{must}, {has}; give another --name")
        return Recorded([found["time"]], 0)
    row = document("experiment", plan._asdict())
    writing.append(EVENTS, [row])
    return Recorded([row["time"]], 1)


_DESK = "decision"


def add_desk(writing: Writing, seen: Sequence[str], by: str) -> None:
    """Write who decided on the page; `seen` names each row or item as it is since then."""
    writing.append(EVENTS, [document(_DESK, {"decided_by": by, "decisions": list(seen)})])


def desk(look: Query) -> dict[str, str]:
    """Who made each decision on the page, by what `add_desk` wrote."""
    return {seen: one["decided_by"] for one in _facts(look, _DESK) for seen in one["decisions"]}


def _facts(look: Query, kind: str) -> Iterator[dict[str, Any]]:
    return map(facts_of, look(_of(kind)))


def _of(kind: str) -> Select[Any]:
    return select(EVENTS).where(EVENTS.c.name == kind).order_by(EVENTS.c.id)
