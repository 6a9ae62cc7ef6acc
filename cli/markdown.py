"""`repricer markdown`: prices that only fall and sell a season's leftover stock by a date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs
from rich.markup import escape
from rich.table import Table

from ..planning.markdown_inputs import Terms, read_stock
from ..planning.market_folder import zone_of
from ..planning.progress import progress_console
from ._options import FILE, OUT, declared_options, json_option, output, seed_option, zone_option

if TYPE_CHECKING:
    from ..planning.markdown import MarkdownPlan, ProductPlan
    from ..pricing import Calendar


@click.command("markdown")
@click.argument("stock", metavar="STOCK.csv", type=FILE)
@click.option("--market", required=True, help="Market fitted on data (folder), whose weeks hold the season.")
@click.option("--until", required=True, metavar="DATE", help="Day by which the stock is to be sold, YYYY-MM-DD.")
@click.option("--from", "start", metavar="DATE", help="A day of the first week.  [default: the market's first]")
@declared_options(Terms, "terms")
@click.option("--out", type=OUT, required=True, help="Price list to write, .csv or .xlsx.")
@zone_option
@seed_option
@json_option
def command(
    stock: Path,
    market: str,
    until: str,
    start: str | None,
    terms: Terms,
    out: Path,
    zone: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Plan prices that only fall and sell the stock in STOCK.csv by a date, as a price list.

    STOCK.csv has the columns product (id or name) and on_hand, and optionally price (the price
    now), lowest_price, salvage_value, changes (price changes left) and sold (units sold since the
    markdown began). The schedules have the highest expected money among those that meet the
    sell-through with the confidence asked for. Products without a row keep their planned prices.
    Run it again each week with the stock that is left: prices then start from the column price, and
    never rise.
    """
    from ..planning.markdown import markdown_rows, plan_markdown
    from ..scenarios import load_scenario
    from ..serving.price_list.files import check_list_path, write_list
    from ..serving.price_list.rows import ALL_STORES
    from ..serving.price_list.summary import write_summary

    check_list_path("--out", out)
    rows = read_stock(stock)
    spec = load_scenario(market)
    with progress_console.status("markdown") as status:

        def step(what: str) -> None:
            status.update(f"markdown: {what}")

        plan = plan_markdown(spec, rows, until, start=start, terms=terms, seed=seed, on_step=step)
        step("price list")
        listed = markdown_rows(plan, zone=zone or zone_of(Path(market)) or ALL_STORES, seed=seed)
        write_list(out, listed, currency=spec.market.currency)
        write_summary(out, None)  # that of a list that lay there before
    calendar = plan.spec.calendar
    assert calendar is not None, "the market has a calendar"
    output(as_json, _document(plan, calendar, out), *_parts(plan, calendar, out))


def _path(calendar: Calendar, item: ProductPlan) -> list[dict[str, Any]]:
    """The prices of a schedule, each with the first day that it is charged."""
    runs = groupby(enumerate(item.price), key=lambda pair: pair[1])
    return [{"from": calendar.label(next(run)[0]), "price": price} for price, run in runs]


def _document(plan: MarkdownPlan, calendar: Calendar, out: Path) -> dict[str, Any]:
    products = []
    for item in plan.products:
        mean, *interval = item.sell_through
        facts = asdict(item) | {"path": _path(calendar, item), "sell_through": {"mean": mean, "interval90": interval}}
        del facts["price"]
        products.append(facts)
    season = {"first_day": str(calendar.first_day), "last_day": str(calendar.last_day)}
    met = sum(item.met for item in plan.products)
    return {"out": str(out), "season": season, "terms": structs.asdict(plan.terms), "met": met, "products": products}


def _parts(plan: MarkdownPlan, calendar: Calendar, out: Path) -> Iterator[str | Table]:
    from ..planning.markdown import markdown_words

    headings = ("product", "stock", "price now", "prices", "changes", "sold (90% interval)")
    headings += (f"{plan.terms.sell_through:.0%}+",)
    table = Table(*headings, title=f"Markdown from {calendar.first_day} to {calendar.last_day}")
    for item in plan.products:
        mean, low, high = item.sell_through
        prices = ", ".join(f"{cut['price']:g} from {cut['from']}" for cut in _path(calendar, item))
        cells = (f"{item.on_hand:,}", f"{item.price_now:g}", prices, str(item.changes))
        table.add_row(escape(item.product), *cells, f"{mean:.0%} ({low:.0%} to {high:.0%})", f"{item.probability:.1%}")
    yield table
    for item in plan.products:
        if not item.can_meet:
            yield f"{item.product}: {markdown_words(plan, item)}"
    met = sum(item.met for item in plan.products)
    # They meet the target in the seasons that the plan was searched in, but not in those it was checked in.
    short = [item.product for item in plan.products if item.can_meet and not item.met]
    if short:
        yield f"short of it in other seasons than those planned on: {', '.join(short)}; ask for more --confidence"
    yield f"{met} of {len(plan.products)} products meet the target; price list in {out}"
