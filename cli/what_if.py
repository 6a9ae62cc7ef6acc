"""`repricer what-if`: what prices that a person types would sell and earn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..atomic import write_table
from ._options import FILE, OUT, check_table_path, draws_option, figures_table, json_option, output, say_aside
from ._tables import read_frame

if TYPE_CHECKING:
    from ..evaluation import TriedPrices

_GROUP_WORDS = ("category", "brand", "zone", "product", "week")
_LINES_SHOWN = 10
_MEASURES = ("units", "revenue", "profit")


@click.command("what-if")
@click.argument("market", metavar="MARKET")
@click.option(
    "--prices", type=FILE, required=True, help="Prices to try, .csv, .xlsx or .parquet: product, price, week, zone."
)
@click.option(
    "--by", type=click.Choice(_GROUP_WORDS), default="product", show_default=True, help="What a row stands for."
)
@click.option(
    "--products", type=FILE, help="The product table, .csv, .xlsx or .parquet, whose column brand --by brand reads."
)
@click.option("--zone", help="The price zone to try them in, of a market with zones.  [default: all]")
@draws_option
@click.option("--out", type=OUT, help="Table by zone, product and week to write, .csv or .parquet.")
@json_option
def command(
    market: str,
    prices: Path,
    by: str,
    products: Path | None,
    zone: str | None,
    draws: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Try prices in MARKET, against those that are planned: units, revenue and profit with 90% intervals.

    The file of --prices has the columns product (name or id) and price, and, where a price is for one week or zone only,
    week (a day of it) and zone. With a sign, a price is a change of the planned ones: -10% or +.20. Other products keep their planned prices. A price that leaves a price rule is named, with
    what that is expected to cost; only a freeze, floor or ceiling that the shop set, the minimum margin and the
    minimum advertised price cannot be left.
    """
    from ..evaluation import what_if
    from .prices import markets_of

    if out is not None:
        check_table_path("--out", out)
    markets = {name: folder for name, (_, folder) in markets_of(market, zone).items()}
    asked = read_frame("--prices", prices)
    brands = None
    if products is not None or by == "brand":
        brands = _brands(products)
    found = what_if(markets, asked, brands=brands, draws=draws, source=prices.name)
    if out is not None:
        write_table(found.to_frame(), out)
    output(as_json, found.to_dict(by), _table(found, by), None if out is None else f"by zone, product and week: {out}")
    if as_json:
        return
    for line in found.warnings[:_LINES_SHOWN]:
        say_aside(f"warning: {line}")
    if more := found.warnings[_LINES_SHOWN:]:
        say_aside(f"warning: and {len(more)} more; --json has them")


def _brands(path: Path | None) -> dict[str, str]:
    """The brand of each product, by id and by name."""
    if path is None:
        raise ValueError("--by brand needs the brands of the products; got no product table; give it as --products")
    table = read_frame("--products", path)
    for name in ("product", "brand"):
        if name not in table:
            raise ValueError(f"{path.name}, row 1: must have the columns product and brand; got no {name}; add it")
    known = table[table["brand"].notna()]
    named = [known.set_index(name)["brand"].to_dict() for name in ("name", "product") if name in known]
    return {str(key): str(brand) for brands in named for key, brand in brands.items()}


def _table(found: TriedPrices, by: str) -> Table:
    from rich.markup import escape

    figures = [*(f"{name}{part}" for name in _MEASURES for part in ("", " change")), "from other prices"]
    table = figures_table([by], figures, title=f"What if, money in {found.currency}", caption=_CAPTION)
    rows = found.to_frame(by).to_dict("records")
    for row in rows:
        table.add_row(escape(str(row[by])), *_cells(row))
    if len(rows) != 1:
        table.add_section()
        table.add_row("all", *_cells(found.total))
    return table


_CAPTION = (
    "Against the planned prices; brackets: 90% intervals over the posterior draws, chance and stock apart. From other "
    "prices: units that the new prices of other products of the category bring or take, part of the change in units."
)


def _cells(row: dict[Any, Any]) -> list[str]:
    cells = []
    for name in _MEASURES:
        low, high = (row[f"{name}_change_{end}"] for end in ("low", "high"))
        cells += [f"{row[name]:,.0f}", f"{row[f'{name}_change']:+,.0f} [{low:+,.0f}, {high:+,.0f}]"]
    return [*cells, f"{row['units_from_others']:+,.0f}"]
