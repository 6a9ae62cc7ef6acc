"""`repricer approve`: from a decided price list to a live one."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import click

from ._options import FILE, OUT, json_option, output, public_key_option, say_aside


@click.command("approve")
@click.argument("price_list", metavar="LIST", type=FILE)
@click.option("--bundle", type=FILE, required=True, help="The bundle whose price rules hold.")
@click.option("--by", required=True, metavar="NAME", help="Who decides, for rows that do not say so.")
@click.option("--log", required=True, help="Decision log that records it: SQLite file or postgresql:// URL.")
@click.option("--out", type=OUT, help="CSV file of the live prices.  [default: live.csv beside LIST]")
@click.option(
    "--rest",
    type=click.Choice(["approved", "postponed"]),
    help="What happens to rows that are still proposed; without it they are refused.",
)
@public_key_option
@json_option
def command(
    price_list: Path,
    bundle: Path,
    by: str,
    log: str,
    out: Path | None,
    rest: str | None,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Make the decisions in LIST live: check them, record them in the decision log, write
    the live prices.

    LIST is a price list of `repricer prices` (.csv or .xlsx) with edited columns from status on.
    Every decision is checked against the price rules. A price that leaves one is named with what that is expected to
    cost, and stands; one that leaves a freeze, floor or ceiling that the shop set, the minimum margin or the minimum
    advertised price is refused with the price that would be allowed, and nothing is live unless all rows are right.
    The same list again changes nothing.
    """
    from ..serving import DecisionLog, load_bundle
    from ..serving.price_list.approval import check_decisions, decided_rows, make_live
    from ..serving.price_list.files import read_list
    from ..serving.price_list.image import read_image
    from ..serving.price_list.rows import ListError

    rules = load_bundle(bundle, public_key=public_key)
    name = price_list.name
    try:
        rows = decided_rows(name, read_list(price_list), by, rest)
        warnings = check_decisions(name, rows, rules)
    except ListError as error:
        for line in error.mistakes[:-1]:
            click.echo(f"repricer: {line}", err=True)
        raise ListError(error.mistakes[-1:]) from None
    for line in warnings:
        say_aside(f"warning: {line}")
    out = price_list.with_name("live.csv") if out is None else out
    with closing(DecisionLog(log)) as decisions:
        live = make_live(rows, rules, decisions, out, read_image(price_list).key_items)
    counts = Counter(row.status for row in live.rows)
    facts = {"live": str(out), "rows": len(live.rows), "new": live.new, "warnings": warnings} | dict(
        sorted(counts.items())
    )
    by_status = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    line = f"live: {len(live.rows):,} prices in {out} ({by_status}); {live.new:,} new decisions recorded in {log}"
    output(as_json, facts, line)
