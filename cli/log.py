"""`repricer log`: export, verify, summarise and complete the decision log."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from ._options import check_table_path, emit, json_option, say, show, write_table

if TYPE_CHECKING:
    from ..serving import DecisionLog
    from ..serving.decision_log.outcomes import ReportedOutcome

_FILE = click.Path(path_type=Path)
_AT_ONCE = 500
"""Rows of a file per commit."""
_COUNTED = ("prices", "clipped", "with_outcome", "sold_out")


@click.group("log")
def command() -> None:
    """Read and complete LOG, a decision log of `repricer serve --log`: a SQLite file or a
    postgresql:// URL.
    """


@command.command()
@click.argument("log")
@click.option("--out", type=_FILE, required=True, help="Sales table, .csv or .parquet.")
@json_option
def export(log: str, out: Path, as_json: bool) -> None:
    """Write the decisions and their outcomes as a canonical sales table, with propensities.

    `repricer data import` and `repricer evaluate --from-log` read it. A decision is left out until
    the outcomes of all its products are reported.
    """
    from ..serving.decision_log.sales_table import sales_table

    check_table_path("--out", out)
    with closing(_opened(log)) as decisions:
        table, left_out, faulty = sales_table(decisions)
    write_table(table, out)
    facts = {"sales": str(out), "rows": len(table), "episodes": int(table["market"].nunique())}
    facts |= {"left_out": left_out, "faulty": faulty}
    if as_json:
        emit(facts)
        return
    say(f"{len(table):,} rows in {out}; {left_out:,} decisions left out, because outcomes of some products are missing")
    if faulty:
        say(f"{faulty:,} decisions left out, because an earlier version let a faulty state pass")


@command.command()
@click.argument("log")
@click.option("--head", help="A hash noted earlier; it must still be in the log.")
@json_option
def verify(log: str, head: str | None, as_json: bool) -> None:
    """Check the hash of every row; exits with 2 if a row was changed or removed."""
    with closing(_opened(log)) as decisions:
        found = decisions.verify(head)
    if as_json:
        emit(found._asdict())
        return
    say(f"{found.rows:,} decisions in an unbroken chain, head {found.hash}")
    say(f"{found.outcomes:,} outcomes in an unbroken chain, head {found.outcomes_hash}")
    say(f"{found.approvals:,} approvals in an unbroken chain, head {found.approvals_hash}")
    say(f"{found.switches:,} throws of switches in an unbroken chain, head {found.switches_hash}")


@command.command()
@click.argument("log")
@json_option
def summary(log: str, as_json: bool) -> None:
    """Count decisions, clipped prices and outcomes by policy and arm."""
    with closing(_opened(log)) as decisions:
        groups = _summed(decisions)
    if as_json:
        emit({"log": decisions.name, "groups": groups})
        return
    table = Table(title=escape(decisions.name))
    for name in ("policy", "arm"):
        table.add_column(name)
    for name in ("prices", "clipped", "with outcome", "units", "revenue", "sold out"):
        table.add_column(name, justify="right")
    for group in groups:
        counts = (f"{group[name]:,}" for name in ("prices", "clipped", "with_outcome"))
        money = (f"{group['units']:,.1f}", f"{group['revenue']:,.2f}", f"{group['sold_out']:,}")
        table.add_row(escape(group["policy"]), escape(group["arm"]), *counts, *money)
    show(table)
    if groups:
        say(f"from {min(g['first'] for g in groups)} to {max(g['last'] for g in groups)} (UTC)")


def _summed(log: DecisionLog) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in log.sold():
        key = row["policy"], row["bundle"], row["arm"]
        if key not in groups:
            named = dict(zip(("policy", "bundle", "arm"), key, strict=True))
            groups[key] = named | dict.fromkeys(_COUNTED, 0) | {"units": 0.0, "revenue": 0.0, "first": row["time"]}
        group = groups[key]
        group["prices"] += 1
        group["clipped"] += row["trail"] != "[]"
        group["last"] = row["time"]
        if row["units"] is not None:
            group["with_outcome"] += 1
            group["units"] += row["units"]
            group["revenue"] += row["paid"]
            group["sold_out"] += row["stockout"]
    return list(groups.values())


@command.command()
@click.argument("log")
@click.argument("file", type=_FILE)
@json_option
def outcomes(log: str, file: Path, as_json: bool) -> None:
    """Import outcomes from FILE, a CSV with one row per product of a decision.

    Columns: product and units; request_id, or date or period, and market; optionally price_paid,
    stockout (true or false), segment, date. A repeated outcome is stored once. A refused row is
    listed with its reason; the others are imported.
    """
    refused: dict[int, str] = {}
    accepted, new = 0, 0
    with closing(_opened(log)) as decisions:
        read = _read(file, refused)
        while chunk := list(itertools.islice(read, _AT_ONCE)):
            wrong: dict[int, str] = {}
            new += decisions.record_outcomes([outcome for _, outcome in chunk], wrong)
            refused |= {chunk[index][0]: reason for index, reason in wrong.items()}
            accepted += len(chunk) - len(wrong)
    rejects = [{"row": row, "reason": reason} for row, reason in sorted(refused.items())]
    if as_json:
        emit({"rows": accepted + len(rejects), "new": new, "known_before": accepted - new, "rejects": rejects})
        return
    say(
        f"{accepted + len(rejects):,} rows read: {new:,} new, {accepted - new:,} known before, {len(rejects):,} left out"
    )
    for reject in rejects:
        say(f"  row {reject['row']}: {reject['reason']}")


def _opened(place: str) -> DecisionLog:
    """The log, which must exist: reading does not create one."""
    from ..serving import DecisionLog

    if "://" not in place and not Path(place).is_file():
        raise ValueError(
            f"LOG must be a decision log or its URL; got {place}, which is no file; `repricer serve --log` creates one"
        )
    return DecisionLog(place)


def _read(file: Path, refused: dict[int, str]) -> Iterator[tuple[int, ReportedOutcome]]:
    """Row numbers (the header is row 1) and outcomes; rows that cannot be read go to `refused`."""
    from ..serving.decision_log.outcomes import OutcomeError, outcome_of

    with file.open(encoding="utf-8-sig", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                yield number, outcome_of({key: _plain(key, value) for key, value in row.items() if value})
            except OutcomeError as error:
                refused[number] = str(error)


def _plain(column: str, text: str) -> Any:
    """A field converted to its column's type, or its text, which is then refused with the field's
    name.
    """
    if column == "stockout":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.strip().lower(), text)
    if column in ("units", "price_paid", "period"):
        try:
            return int(text) if column == "period" else float(text)
        except ValueError:
            return text
    return text
