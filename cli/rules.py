"""`repricer rules`: the rules that prices keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_whole
from ..planning.market_folder import fit_report
from ._options import FILE, OUT, json_option, output, tables_options
from .prices import markets_of

if TYPE_CHECKING:
    from ..serving.price_list.image import KeyItem


@click.group("rules")
def command() -> None:
    """The rules that prices keep, and the items that they should hold for first."""


@command.command("items")
@click.argument("market", type=FILE)
@click.option("--dataset", type=FILE, help="Folder of imported tables, for baskets, customers and competing prices.")
@click.option("--count", type=click.IntRange(min=1), help="Candidates to show.  [default: a tenth, at least three]")
@click.option("--confirm", multiple=True, metavar="ID", help="Item, by id or name, that is one; repeatable.")
@click.option("--reject", multiple=True, metavar="ID", help="Item that is none; repeatable.")
@click.option("--list", "listed", type=FILE, help="Price list whose decisions about items, made on its page, hold.")
@click.option("--by", default="", metavar="NAME", help="Who decides.")
@click.option("--rules", type=OUT, help="Rules file whose [group.key-value] gets the confirmed items; - prints it.")
@tables_options
@json_option
def items(
    market: Path,
    dataset: Path | None,
    count: int | None,
    confirm: tuple[str, ...],
    reject: tuple[str, ...],
    listed: Path | None,
    by: str,
    rules: Path | None,
    as_json: bool,
) -> None:
    """Show the key-value items of MARKET: products whose prices shape what customers think of the shop's prices.

    Each has a score from 0 to 1, and reasons: in how many baskets it is, how many customers buy it, how they respond to its
    price, and whether a competing price is known. The shop confirms or rejects them; the decisions are kept in
    MARKET/key_items.json, which price lists, the report and the page read. With --dataset they are found anew.
    """
    from ..data import scan_tables
    from ..planning.price_image import (
        ITEMS,
        keep_items,
        kept_items,
        key_items,
        proposals,
        with_decisions,
    )
    from ..scenarios import load_scenario
    from ..serving.price_list.image import decided_items, read_image

    if both := sorted({*confirm} & {*reject}):
        raise ValueError(f"--confirm and --reject must name different items; got {both[0]} in both; leave one out")
    folders = [Path(folder) for _, folder in markets_of(str(market), None).values()]
    if lacking := [folder for folder in folders if not (folder / "fit.json").is_file()]:
        raise ValueError(f"MARKET must be a folder of repricer fit; got {lacking[0]}, which has no fit.json; fit one")
    found = before = kept_items(market)
    if dataset is not None or not before:
        fitted = [(load_scenario(folder), fit_report(folder)) for folder in folders]
        tables = None if dataset is None else scan_tables(dataset)
        found = with_decisions(key_items(fitted, tables), before)
    found = decided_items(found, dict.fromkeys(confirm, "confirmed"), by, called="--confirm")
    found = decided_items(found, dict.fromkeys(reject, "rejected"), by, called="--reject")
    if listed is not None:
        made = [item for item in read_image(listed).key_items if item.status != "proposed"]
        found = with_decisions(found, made)
    if found != before:
        keep_items(market, found)
    shown, lines = proposals(found, count), [f"decisions are kept in {market / ITEMS}"]
    if rules is not None:
        lines.append(_put_into(rules, found))
    document = {"items": [{name: getattr(item, name) for name in item.__struct_fields__} for item in shown]}
    output(as_json, document | {"file": str(market / ITEMS)}, _table(shown), *lines)


def _table(shown: Sequence[KeyItem]) -> Table:
    table = Table("Item", "Score", "Why", "Status", title="Key-value items")
    for item in shown:
        by = f" by {item.decided_by}" if item.decided_by else ""
        name = item.name if item.name.endswith((item.id, f"({item.id})")) else f"{item.name} ({item.id})"
        cells = (name, f"{item.score:.2f}", "; ".join(item.reasons), f"{item.status}{by}")
        table.add_row(*map(escape, cells))
    return table


def _put_into(rules: Path, found: Sequence[KeyItem]) -> str:
    """Add the confirmed items to a rules file; what was done, or with `-` the table itself."""
    from ..planning.price_image import GROUP, group_of_rules

    table, text = group_of_rules(found), rules.read_text(encoding="utf-8") if rules.is_file() else ""
    if str(rules) == "-":
        return table
    if f"[{GROUP}]" in text:
        line = table.splitlines()[1]
        raise ValueError(f"--rules must have no [{GROUP}] yet; got one in {rules}; write there: {line}")
    write_whole(rules, f"{text.rstrip()}\n\n{table}".lstrip())
    return f"[{GROUP}] is in {rules}; fit with --rules {rules}"
