"""`repricer rules`: the rules that prices keep."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_json, write_whole
from ..planning.market_folder import fit_report
from ._options import (
    FILE,
    OUT,
    draws_option,
    figures_table,
    json_option,
    output,
    seed_option,
    tables_options,
)
from .prices import markets_of

if TYPE_CHECKING:
    from ..evaluation.rule_costs import BoundProduct, RuleCost, RuleCosts
    from ..serving.price_list.image import KeyItem

_BREACHES_SHOWN = 1


@click.group("rules")
def command() -> None:
    """The rules that prices keep: what each costs, and the items that they should hold for first."""


@command.command()
@click.argument("market", metavar="MARKET")
@draws_option
@click.option("--out", type=OUT, help="JSON file to write; as LIST.rules.json beside a price list, its page shows it.")
@seed_option
@json_option
def cost(market: str, draws: int | None, out: Path | None, seed: int, as_json: bool) -> None:
    """What each price rule of MARKET costs, the most expensive first: alone, with its group, and all together.

    Prices are searched again without the rule. Brackets are 90% intervals over the posterior draws; the customers are the
    same with and without it, and a rule that binds nothing costs zero. Rules that leave a product no choice are named.
    """
    from ..evaluation.rule_costs import rule_costs
    from ..planning.progress import progress_console

    with progress_console.status("searching the best prices") as status:

        def lifting(rules: str) -> None:
            status.update(f"best prices without: {rules or 'nothing'}")

        found = rule_costs(market, draws=draws, seed=seed, progress=lifting)
    document = found.to_dict()
    if out is not None:
        write_json(out, document)
    stuck = [f"no choice: {', '.join(one.rules)} leave {one.product!r} at {one.price:g}" for one in found.no_choice]
    written = None if out is None else f"written to {out}"
    output(as_json, document, _cost_table(found), *stuck, *found.notes, written)


def _cost_table(found: RuleCosts) -> Table:
    chosen = found.chosen_by not in ("revenue", "profit")
    figures = [*["cost"] * chosen, "revenue", "profit"]
    rows = [found.rules, found.groups, (found.together,)]
    money = f"revenue {found.revenue:,.0f}, profit {found.profit:,.0f}"
    title = f"What each rule of {escape(found.market)} costs, {found.currency} in {found.periods} periods"
    caption = (
        f"Best prices under all rules: {money}. Sorted by the cost in {found.chosen_by}. *: beyond what was charged."
    )
    table = figures_table(["rule", "it says"], figures, title=title, caption=caption)
    table.add_column("products that it binds")
    for part in filter(None, rows):
        for one in part:
            name = one.rule.replace("_", " ") + "*" * one.extrapolated
            cells = [_money(one, name) for name in figures]
            table.add_row(escape(name), escape(one.says), *cells, escape(_products(one.products)))
        table.add_section()
    return table


def _money(one: RuleCost, name: str) -> str:
    low, high = getattr(one, f"{name}_interval90")
    return f"{getattr(one, name):,.2f}\n[{low:,.2f}, {high:,.2f}]"


def _products(bound: tuple[BoundProduct, ...]) -> str:
    shown = [
        f"{one.product}: {one.price:g}"
        + f" to {one.without:g}" * (one.price != one.without)
        + f", discount {one.discount:.0%} to {one.discount_without:.0%}" * (one.discount != one.discount_without)
        for one in bound
    ]
    return "; ".join(
        [*shown[:_BREACHES_SHOWN], *[f"{len(bound) - _BREACHES_SHOWN} more"] * (len(bound) > _BREACHES_SHOWN)]
    )


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
        if not listed.is_file():
            raise ValueError(f"--list must be a price list; got {listed}, which is not there; check the path")
        made = [item for item in read_image(listed).key_items if item.status != "proposed"]
        found = with_decisions(found, made)
    lines = [f"decisions are kept in {market / ITEMS}", *([] if rules is None else [_put_into(rules, found)])]
    if found != before:
        keep_items(market, found)
    shown = proposals(found, count)
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

    table = group_of_rules(found)
    text = rules.read_text(encoding="utf-8") if rules.is_file() else ""
    if str(rules) == "-":
        return table
    try:
        tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"--rules must be a TOML file; got {rules} with: {error}; fix that line") from None
    if f"[{GROUP}]" in text:
        line = table.splitlines()[1]
        raise ValueError(f"--rules must have no [{GROUP}] yet; got one in {rules}; write there: {line}")
    write_whole(rules, f"{text.rstrip()}\n\n{table}".lstrip())
    return f"[{GROUP}] is in {rules}; fit with --rules {rules}"
