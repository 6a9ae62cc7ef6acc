"""`repricer log`: read, verify, complete and maintain the decision log."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.markup import escape

from ..atomic import write_whole
from ..serving.documents import csv_rows, fields, typed
from ._options import (
    FILE,
    OUT,
    Number,
    check_table_path,
    check_there,
    confirm,
    figures_table,
    gone_option,
    json_option,
    output,
    yes_option,
)

if TYPE_CHECKING:
    from ..serving import DecisionLog
    from ..serving.decision_log.outcomes import ReportedOutcome
    from ..serving.decision_log.verification import Head

_ROWS_A_COMMIT = 500
"""Rows of a file per commit."""
_COUNTED = ("prices", "clipped", "with_outcome", "sold_out")
_CHAINS = {
    "rows": "decisions",
    "outcomes": "outcomes",
    "events": "events",
}


_keys = gone_option("--keys", "archives and backups hold all that is not erased")
_by = click.option("--by", required=True, help="Who does it.")
_reason = click.option("--reason", default="", help="Why.")


@click.group("log")
def command() -> None:
    """Read, complete and maintain LOG, a decision log of `repricer serve --log`: a SQLite file or a
    postgresql:// URL.
    """


@command.command()
@click.argument("log")
@click.option("--out", type=OUT, required=True, help="Sales table, .csv or .parquet.")
@_keys
@json_option
def export(log: str, out: Path, as_json: bool) -> None:
    """Write the decisions and their outcomes as a canonical sales table, with propensities.

    `repricer data import` and `repricer evaluate --from-log` read it. A decision is left out until
    the outcomes of all its products are reported. The log is never held in memory.
    """
    from ..serving.decision_log.sales_table import write_sales

    check_table_path("--out", out)
    with closing(open_log(log)) as decisions:
        found = write_sales(decisions, out)
    lines = [f"{found.rows:,} rows in {out}"]
    reasons = {"left_out": "outcomes of some products are missing", "faulty": "their state is faulty"}
    for name, reason in (reasons | {"erased": "their market was erased"}).items():
        if (count := getattr(found, name)) or name == "left_out":
            lines.append(f"{count:,} decisions left out, because {reason}")
    output(as_json, {"sales": str(out), **found._asdict()}, "; ".join(lines[:2]), *lines[2:])


@command.command()
@click.argument("log")
@click.option(
    "--head", help="A file that `log heads` or --json wrote earlier, or a hash: all of it must still be in the log."
)
@click.option("--public-key", type=FILE, help="PEM file of the key that must have signed the file of --head.")
@gone_option("--checkpoint", "all rows are checked; note the head, and pass it as --head")
@json_option
def verify(log: str, head: str | None, public_key: Path | None, as_json: bool) -> None:
    """Check the hash of every row; exits with 2 if a row was changed or removed."""
    noted = _noted(head, public_key)
    with closing(open_log(log)) as decisions:
        found = decisions.verify(noted)
    gone = {"rows": found.gone, "outcomes": found.outcomes_gone}
    lines = []
    for name, what in _CHAINS.items():
        count = getattr(found, name)
        head = getattr(found, "hash" if name == "rows" else f"{name}_hash")
        left = gone.get(name, 0)
        after = f", after {left:,} that were archived or discarded" if left else ""
        lines.append(f"{count - left:,} {what} in an unbroken chain{after}, head {head}")
    output(as_json, found._asdict(), *lines)


@command.command()
@click.argument("log")
@click.option("--key", type=FILE, required=True, help="Ed25519 key that signs, PEM without a password; as for bundles.")
@click.option("--out", type=OUT, required=True, help="Statement, .json.")
@json_option
def heads(log: str, key: Path, out: Path, as_json: bool) -> None:
    """Verify LOG, and sign where all of its chains end.

    Store the statement where the log's writer has no access: `log verify --head STATEMENT --public-key KEY` finds a chain
    that was cut, emptied or replaced since. LOG may lie on a medium that cannot be written.
    """
    from ..serving.bundle.files import read_private_key
    from ..serving.decision_log.statement import signed_heads

    signer = read_private_key(key)
    with closing(open_log(log)) as decisions:
        found = decisions.verify()
    statement = signed_heads(found, signer)
    write_whole(out, msgspec.json.format(msgspec.json.encode(statement), indent=1) + b"\n")
    counts = ", ".join(f"{getattr(found, name):,} {what}" for name, what in _CHAINS.items())
    output(as_json, statement, f"{counts}: their heads are signed in {out}")


def _noted(head: str | None, public_key: Path | None) -> str | dict[str, Any] | None:
    """What `--head` gives: a hash as it is, or, where it names a file, the heads of all chains that the file states.

    Args:
        head: A hash or a path; None where the option is not given.
        public_key: The key that must have signed the file. With a hash there must be none: a hash is not signed.

    Raises:
        ValueError: There is a key but no file, or the file is not such a statement.
    """
    if head is None or not Path(head).is_file():
        if public_key is not None:
            got = "no --head" if head is None else f"--head {head}, which is no file"
            raise ValueError(f"--public-key needs a statement of log heads; got {got}; give its file")
        return head
    from ..serving.bundle.files import read_public_key
    from ..serving.decision_log.statement import heads_of

    pinned = None if public_key is None else read_public_key(public_key)
    try:
        noted = msgspec.json.decode(Path(head).read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        must = "--head must be a file that log heads or log verify --json wrote"
        raise ValueError(f"{must}; got {head}: {error}; note it again") from None
    return heads_of(noted, pinned)


@command.command()
@click.argument("log")
@click.argument("market")
@_by
@_reason
@yes_option
@json_option
def erase(log: str, market: str, by: str, reason: str, yes: bool, as_json: bool) -> None:
    """Empty the decisions and outcomes of MARKET in LOG for ever.

    The chains still verify. An event says that it was done, not whose. Archives and backups are logs: erase MARKET from
    them too.
    """
    with closing(open_log(log)) as decisions:
        confirm(f"Erase {market!r} from {decisions.name} for ever?", yes)
        count = decisions.erase(market, by, reason)
    line = (
        f"{count:,} decisions and their outcomes are erased; erase them from archives and backups by the same command"
    )
    output(as_json, {"decisions": count}, line)


@command.command()
@click.argument("log")
@click.option("--days", type=Number(0, 36525), required=True, help="Age of the decisions that go.")
@click.option("--out", type=OUT, help="Archive, a new SQLite file.")
@click.option("--discard", is_flag=True, help="Delete instead of archiving.")
@_by
@_reason
@yes_option
@json_option
def rotate(
    log: str, days: float, out: Path | None, discard: bool, by: str, reason: str, yes: bool, as_json: bool
) -> None:
    """Move the first decisions of LOG that are older than --days, with their outcomes, to an archive, or delete them.

    It stops before the first decision that is younger. The log's chains go on from where those of the archive end. The
    archive is a log: all commands for logs read it, and erase from it.
    """
    if discard == (out is not None):
        raise ValueError(f"rotate needs --out or --discard; got {'both' if discard else 'neither'}; give one")
    with closing(open_log(log)) as decisions:
        if discard:
            confirm(f"Delete {decisions.older(days):,} decisions from {decisions.name} for ever?", yes)
        found = decisions.rotate(days, out, by, reason)
    where = "deleted" if out is None else f"moved to {out}"
    line = f"{found.decisions:,} decisions and {found.outcomes:,} outcomes {where}"
    chain = f"the chain of decisions goes on after row {found.start[0]:,}, head {found.start[1]}"
    output(as_json, found._asdict(), line, chain)


@command.command()
@click.argument("log")
@click.argument("backup", type=FILE)
@json_option
def backup(log: str, backup: Path, as_json: bool) -> None:
    """Copy LOG, a SQLite file that may be in use, to BACKUP, and verify the copy; of PostgreSQL, `pg_dump` does."""
    with closing(open_log(log)) as decisions:
        head = decisions.backup(backup)
    _copied(head, str(backup), as_json)


@command.command()
@click.argument("backup")
@click.argument("log")
@_keys
@json_option
def restore(backup: str, log: str, as_json: bool) -> None:
    """Copy BACKUP to LOG, a new SQLite file or an empty database, and verify it."""
    with closing(open_log(backup)) as decisions:
        head = decisions.restore(log)
    _copied(head, log, as_json)


@command.command()
@click.argument("log")
@click.argument("new")
@json_option
def migrate(log: str, new: str, as_json: bool) -> None:
    """Copy LOG, of the version before, to NEW, a new SQLite file or an empty database, and verify it; LOG stays."""
    from ..serving import DecisionLog

    check_log(log)
    with closing(DecisionLog(new)) as decisions:
        head = decisions.migrate(log)
    _copied(head, new, as_json)


def _copied(head: Head, where: str, as_json: bool) -> None:
    decisions = head.rows - head.gone
    outcomes = head.outcomes - head.outcomes_gone
    line = f"{decisions:,} decisions and {outcomes:,} outcomes in {where}, head {head.hash}"
    output(as_json, head._asdict(), line)


@command.command()
@click.argument("log")
@_keys
@json_option
def summary(log: str, as_json: bool) -> None:
    """Count decisions, clipped prices and outcomes by policy and arm."""
    with closing(open_log(log)) as decisions:
        groups = _summed(decisions)
    figures = ("prices", "clipped", "with outcome", "units", "revenue", "sold out")
    table = figures_table(["policy", "arm"], figures, title=escape(decisions.name))
    for group in groups:
        counts = (f"{group[name]:,}" for name in ("prices", "clipped", "with_outcome"))
        money = (f"{group['units']:,.1f}", f"{group['revenue']:,.2f}", f"{group['sold_out']:,}")
        table.add_row(escape(group["policy"]), escape(group["arm"]), *counts, *money)
    span = f"from {min(g['first'] for g in groups)} to {max(g['last'] for g in groups)} (UTC)" if groups else None
    output(as_json, {"log": decisions.name, "groups": groups}, table, span)


def _summed(log: DecisionLog) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in log.sold():
        key = row["policy"], row["bundle"], row["arm"]
        if key not in groups:
            named = dict(zip(("policy", "bundle", "arm"), key, strict=True))
            groups[key] = named | dict.fromkeys(_COUNTED, 0) | {"units": 0.0, "revenue": 0.0, "first": row["time"]}
        group = groups[key]
        group["prices"] += 1
        # A mark in a trail changes nothing.
        group["clipped"] += any(step["before"] != step["after"] for step in row["trail"])
        group["last"] = row["time"]
        if row["units"] is not None:
            group["with_outcome"] += 1
            group["units"] += row["units"]
            group["revenue"] += row["paid"]
            group["sold_out"] += row["stockout"]
    return list(groups.values())


@command.command()
@click.argument("log")
@click.argument("file", type=FILE)
@json_option
def outcomes(log: str, file: Path, as_json: bool) -> None:
    """Import outcomes from FILE, a CSV with one row per product of a decision.

    Columns: product and units; request_id, or date or period, and market; optionally price_paid,
    stockout (true or false), segment, date. A repeated outcome is stored once. A refused row is
    listed with its reason; the others are imported.
    """
    check_there("FILE", file)
    refused: dict[int, str] = {}
    accepted = 0
    new = 0
    with closing(open_log(log)) as decisions:
        read = _read(file, refused)
        while chunk := list(itertools.islice(read, _ROWS_A_COMMIT)):
            before = len(refused)
            new += _recorded(decisions, chunk, refused)
            accepted += len(chunk) - (len(refused) - before)
    rejects = [{"row": row, "reason": reason} for row, reason in sorted(refused.items())]
    rows = accepted + len(rejects)
    known = accepted - new
    line = f"{rows:,} rows read: {new:,} new, {known:,} known before, {len(rejects):,} left out"
    lines = (f"  row {reject['row']}: {reject['reason']}" for reject in rejects)
    output(as_json, {"rows": rows, "new": new, "known_before": known, "rejects": rejects}, line, *lines)


def _recorded(log: DecisionLog, chunk: list[tuple[int, ReportedOutcome]], refused: dict[int, str]) -> int:
    """How many of these outcomes are new; those that cannot be recorded go to `refused`."""
    from ..serving.decision_log.outcomes import OutcomeError

    try:
        return log.record_outcomes([outcome for _, outcome in chunk])
    except OutcomeError as error:
        if len(chunk) == 1:
            refused[chunk[0][0]] = str(error)
            return 0
    return sum(_recorded(log, [one], refused) for one in chunk)


def open_log(place: str) -> DecisionLog:
    """The log, which must exist: reading does not create one."""
    from ..serving import DecisionLog

    check_log(place)
    return DecisionLog(place)


def check_log(place: str) -> None:
    """Check that a log is there."""
    if "://" not in place and not Path(place).is_file():
        raise ValueError(
            f"LOG must be a decision log or its URL; got {place}, which is no file; `repricer serve --log` creates one"
        )


def _read(file: Path, refused: dict[int, str]) -> Iterator[tuple[int, ReportedOutcome]]:
    """Row numbers (the header is row 1) and outcomes; rows that cannot be read go to `refused`."""
    from ..serving.decision_log.outcomes import OutcomeError, ReportedOutcome, outcome_of

    for number, cells in csv_rows(file, fields(ReportedOutcome), ("product", "units"), ValueError):
        try:
            yield number, outcome_of(typed(ReportedOutcome, cells))
        except OutcomeError as error:
            refused[number] = str(error)
