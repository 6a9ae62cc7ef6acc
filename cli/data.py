"""`repricer data`: check, import and summarise a shop's own tables."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from .alarms import command as alarms

if TYPE_CHECKING:
    from ..data import ImportReport, SalesSummary, Tables

_SHOWN_REJECTS = 10
_FILE = click.Path(path_type=Path)


@click.group("data")
def command() -> None:
    """Check, import and summarise sales, product and customer tables (CSV or Parquet)."""


command.add_command(alarms)


def _tables(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command here takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option("--customers", type=_FILE, help="One row a customer."),
        click.option("--products", type=_FILE, help="One row a product."),
        click.option("--sales", type=_FILE, required=True, help="One row a sale line."),
    ):
        function = option(function)
    return function


@command.command()
@_tables
@click.pass_context
def check(context: click.Context, sales: Path, products: Path | None, customers: Path | None, as_json: bool) -> None:
    """Say what an import would keep and reject; exit 2 if it would reject a row."""
    _, report = _import(sales, products, customers, secrets.token_bytes(32))
    if as_json:
        click.echo(json.dumps(report.to_dict()))
    else:
        _show_report(report)
    context.exit(0 if report.rejects.empty else 2)


@command.command("import")
@_tables
@click.option("--out", type=_FILE, required=True, help="New folder for the clean tables.")
@click.option("--key-file", type=_FILE, help="Secret for the pseudonyms; made if missing [default: OUT.key].")
def import_(
    sales: Path,
    products: Path | None,
    customers: Path | None,
    as_json: bool,
    out: Path,
    key_file: Path | None,
) -> None:
    """Clean the tables, replace customers by pseudonyms, and write them to a new folder."""
    from ..data import save_tables

    key_file = key_file or out.with_name(out.name + ".key")
    key = key_file.read_bytes() if key_file.exists() else secrets.token_bytes(32)
    tables, report = _import(sales, products, customers, key)
    if not key_file.exists():
        _write_key(key_file, key)
    save_tables(tables, report, out)
    if as_json:
        click.echo(json.dumps(report.to_dict() | {"out": str(out), "key_file": str(key_file)}))
    else:
        _show_report(report)
        click.echo(f"written to {out}; keep {key_file} secret: it makes the pseudonyms")


@command.command()
@_tables
def summary(sales: Path, products: Path | None, customers: Path | None, as_json: bool) -> None:
    """Analyse the sales: revenue, prices, discounts, best sellers and seasons."""
    from ..data import sales_summary

    tables, report = _import(sales, products, customers, secrets.token_bytes(32))
    result = sales_summary(tables)
    rejected = len(report.rejects)
    if as_json:
        click.echo(json.dumps(result.to_dict() | {"rows_rejected": rejected}))
        return
    _show_summary(result)
    if rejected:
        click.echo(f"{rejected:,} faulty rows are left out; `repricer data check` lists them")


def _import(sales: Path, products: Path | None, customers: Path | None, key: bytes) -> tuple[Tables, ImportReport]:
    from ..data import import_tables

    paths = {"sales": sales, "products": products, "customers": customers}
    return import_tables({name: path for name, path in paths.items() if path}, key=key)


def _write_key(path: Path, key: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)


def _show_report(report: ImportReport) -> None:
    for line in report.lines():
        click.echo(line)
    if report.rejects.empty:
        return
    shown = report.rejects.head(_SHOWN_REJECTS)
    table = Table(*shown.columns, title=f"first {len(shown)} of {len(report.rejects):,} rejected rows")
    for row in shown.itertuples(index=False):
        table.add_row(*map(str, row))
    Console(markup=False).print(table)


def _show_summary(result: SalesSummary) -> None:
    facts = result.to_dict()
    table = Table("sales", "", show_header=False)
    for name, value in facts.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:,.3f}")
        elif not isinstance(value, dict):
            table.add_row(name, "not known" if value is None else f"{value:,}" if isinstance(value, int) else value)
    table.add_row("price index, last week (first = 1)", f"{result.price_index.iloc[-1]:.3f}")
    for name, row in facts["abc"].items():
        table.add_row(f"class {name}", f"{row['products']:,} products, {row['revenue_share']:.1%} of revenue")
    months = ", ".join(f"{month}: {value:.2f}" for month, value in facts["seasonality"].items())
    table.add_row("revenue a day by month (mean = 1)", months)
    Console(markup=False).print(table)
