"""Decisions about the rows of a price list: who decided what and why. A repeated decision
is stored once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from .chain import document, facts_of
from .storage import Query, Writing
from .tables import APPROVALS


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
    found = writing.read(select(APPROVALS).where(APPROVALS.c.name.in_(weeks)).order_by(APPROVALS.c.id))
    before = [(Approval(**facts_of(each)), each["time"]) for each in found]
    last, times, new = {made[:3]: (made, time) for made, time in before}, list[str](), list[dict[str, Any]]()
    for approval in approvals:
        key = approval[:3]
        if key not in last or last[key][0] != approval:
            new.append(document(approval.week, approval._asdict()))
            last[key] = approval, new[-1]["time"]
        times.append(last[key][1])
    writing.append(APPROVALS, new)
    return Recorded(times, len(new))


_DESK = "decided on the page"


def add_desk(writing: Writing, seen: Sequence[str], by: str) -> None:
    """Write who decided on the page; `seen` names each row or item as it is since then."""
    writing.append(APPROVALS, [document(_DESK, {"decided_by": by, "decisions": list(seen)})])


def desk(look: Query) -> dict[str, str]:
    """Who made each decision on the page, by what `add_desk` wrote."""
    rows = map(facts_of, look(select(APPROVALS).where(APPROVALS.c.name == _DESK).order_by(APPROVALS.c.id)))
    return {seen: row["decided_by"] for row in rows for seen in row["decisions"]}


def add_items(writing: Writing, decisions: Mapping[str, Mapping[str, Any]]) -> int:
    """Write those decisions about key-value items, by id, that differ from the last one about the same item; how many."""
    made = {f"key-value item {item}": {"item": item, **facts} for item, facts in decisions.items()}
    found = writing.read(select(APPROVALS).where(APPROVALS.c.name.in_(made)).order_by(APPROVALS.c.id))
    last = {row["name"]: facts_of(row) for row in found}
    rows = [document(name, facts) for name, facts in made.items() if last.get(name) != facts]
    writing.append(APPROVALS, rows)
    return len(rows)


def add_experiment(writing: Writing, plan: ExperimentPlan) -> Recorded:
    """Write the plan of an experiment, among the approvals, unless it is there. Raises ValueError where another has its
    name.
    """
    name = f"experiment {plan.experiment}"
    for found in writing.read(select(APPROVALS).where(APPROVALS.c.name == name)):
        if (digest := facts_of(found)["digest"]) != plan.digest:
            must = f"an experiment must have a name of its own; got '{plan.experiment}'"
            raise ValueError(f"{must}, which the decision log has with the hash {digest[:12]}; give another --name")
        return Recorded([found["time"]], 0)
    row = document(name, plan._asdict())
    writing.append(APPROVALS, [row])
    return Recorded([row["time"]], 1)
