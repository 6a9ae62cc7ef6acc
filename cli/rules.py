"""`repricer rules`: what the price rules of a market do to its money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..atomic import write_json
from ._options import OUT, draws_option, figures_table, json_option, output, seed_option

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation.rule_costs import BoundProduct, RuleCost, RuleCosts

_SHOWN = 1


@click.group("rules")
def command() -> None:
    """Look at the price rules of a market: what each costs."""


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
    from msgspec import to_builtins

    from ..evaluation.rule_costs import rule_costs
    from ..planning.progress import progress_console

    with progress_console.status("searching the best prices") as status:
        found = rule_costs(
            market,
            draws=draws,
            seed=seed,
            progress=lambda lifted: status.update(f"best prices without: {lifted or 'nothing'}"),
        )
    document = to_builtins(found)
    if out is not None:
        write_json(out, document)
    stuck = [f"no choice: {', '.join(one.rules)} leave {one.product!r} at {one.price:g}" for one in found.no_choice]
    written = None if out is None else f"written to {out}"
    output(as_json, document, _table(found), *stuck, *found.notes, written)


def _table(found: RuleCosts) -> Table:
    from rich.markup import escape

    chosen = found.chosen_by not in ("revenue", "profit")
    figures, rows = [*["cost"] * chosen, "revenue", "profit"], [found.rules, found.groups, (found.together,)]
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
    return "; ".join([*shown[:_SHOWN], *[f"{len(bound) - _SHOWN} more"] * (len(bound) > _SHOWN)])
