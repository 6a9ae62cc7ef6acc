"""`repricer data`: check, import and summarise a shop's tables."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_new, write_whole
from ..planning.shop_files import FileLayout, import_files
from ..privacy.encryption import ENDING, secret
from ._options import FILE, OUT, Number, emit, json_option, show, tables_options
from ._tables import file_options, given_tables, mapping_option, scratch_folder
from .alarms import command as alarms
from .budget import command as budget
from .data_privacy import decrypt, encrypt, erase, rotate
from .sentiment import command as sentiment

if TYPE_CHECKING:
    import pandas as pd

    from ..data import ImportReport, SalesSummary
    from ..data.sources import Source

_SHOWN_REJECTS = 10


_without_flagged = click.option(
    "--without-flagged", is_flag=True, help="Leave out the rows of flagged customers: bursts, returns, price probing."
)


_vat = click.option(
    "--vat",
    type=Number(min=0, max=1, max_open=True),
    help="Value added tax in all prices, of the price without it, such as 0.19: the column vat of the products.",
)


@click.group("data")
def command() -> None:
    """Check, import and summarise a shop's tables."""


for _one in (alarms, budget, decrypt, encrypt, erase, rotate, sentiment):
    command.add_command(_one)


@command.command()
@file_options
@mapping_option
@_vat
@_without_flagged
@json_option
@click.pass_context
def check(
    context: click.Context, paths: dict[str, Source], mapping: FileLayout | None, as_json: bool, **how: Any
) -> None:
    """Report what an import would keep and reject; exit code 2 if it would reject a row."""
    key = secrets.token_bytes(32)
    report = import_files(paths, mapping, key, scratch_folder(), **how)
    if as_json:
        emit(report.to_dict())
    else:
        _show_report(report)
    context.exit(0 if report.rejects.empty else 2)


@command.command("import")
@file_options
@mapping_option
@click.option("--out", type=OUT, required=True, help="New folder for the clean tables.")
@click.option("--key-file", type=OUT, help="Secret for the pseudonyms; created if missing [default: OUT.key].")
@_vat
@_without_flagged
@click.option(
    "--update",
    is_flag=True,
    help="Replace OUT, and read only files that are new or have changed since; OUT.parts keeps the others.",
)
@click.option("--encrypt", is_flag=True, help="Encrypt the new folder with the key of --key-from.")
@tables_options
@json_option
def import_(
    paths: dict[str, Source],
    mapping: FileLayout | None,
    out: Path,
    key_file: Path | None,
    encrypt: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Clean the tables, replace customer ids by pseudonyms, and write them to a new folder.

    Each table is a CSV, XLSX or Parquet file, a folder of them, a pattern such as 'sales/*.csv', one of these
    in an object store (s3://BUCKET/PATH, gs://, abfs://), or a table of a database
    (postgresql://USER@HOST/DATABASE#TABLE, duckdb:///FILE#TABLE).
    """
    from ..data import DataError, check_new
    from ..data.storage import parts_beside

    update = how["update"]
    if update and (encrypt or (out / f"sales.parquet{ENDING}").exists()):
        raise DataError("an encrypted folder must be imported anew; got --update; leave it out")
    if not update and (out / "sales.parquet").is_file():
        raise DataError(
            f"the output folder must be new; got {out}, which holds an import; replace it by --update, or name another"
        )
    if not update:
        check_new(out)
    hidden = secret() if encrypt else None
    key_file = key_file or out.with_name(out.name + ".key")
    made = not key_file.exists()
    key = secrets.token_bytes(32) if made else key_file.read_bytes()
    # An import that is interrupted goes on with the same key.
    if made:
        key_file.parent.mkdir(parents=True, exist_ok=True)
        write_new(key_file, key)
    try:
        report = import_files(paths, mapping, key, out, hidden=hidden, **how)
    except BaseException:
        if made and not parts_beside(out).exists():
            key_file.unlink()
        raise
    if as_json:
        emit(report.to_dict() | {"out": str(out), "key_file": str(key_file)})
    else:
        _show_report(report)
        click.echo(f"written to {out}; keep {key_file} secret: the pseudonyms are made with it")


@command.command("mapping")
@file_options
@click.option("--out", type=OUT, help="New file to write; printed by default.")
@json_option
def mapping_(paths: dict[str, Source], out: Path | None, as_json: bool) -> None:
    """Guess a mapping file from the headers and first rows of the files, as a starting point."""
    from ..data import SCHEMAS, DataError, mapping_template

    if not paths:
        raise DataError(f"mapping must be given a file; got none; name one with --{' or --'.join(SCHEMAS)}")
    if out and out.exists():
        raise DataError(f"the mapping file must be new; got {out}, which exists; name another or remove it")
    template = mapping_template(paths)
    if out:
        write_whole(out, template)
    if as_json:
        emit({"mapping": template, "out": str(out) if out else None})
    else:
        click.echo(f"written to {out}; check it" if out else template, nl=bool(out))


@command.command()
@click.argument("dataset", type=FILE, required=False)
@file_options
@mapping_option
@click.option("--plot", type=OUT, help="Plot to write (.png, .svg or .pdf).")
@tables_options
@json_option
def summary(
    dataset: Path | None, paths: dict[str, Source], mapping: FileLayout | None, plot: Path | None, as_json: bool
) -> None:
    """Summarise the sales of DATASET, a folder made by `repricer data import`, or of files."""
    from ..data import check_plot_path, plot_summary, sales_summary

    if plot:
        check_plot_path(plot)
    tables, rejected = given_tables(dataset, paths, mapping)
    result = sales_summary(tables)
    if plot:
        plot_summary(result, plot)
    if as_json:
        emit(result.to_dict() | {"rows_rejected": rejected})
        return
    _show_summary(result)
    if rejected:
        click.echo(f"{rejected:,} faulty rows are left out; `repricer data check` lists them")
    if plot:
        click.echo(f"plot written to {plot}")


def _show_report(report: ImportReport) -> None:
    for line in report.lines():
        click.echo(line)
    if report.rejects.empty:
        return
    shown = report.rejects.head(_SHOWN_REJECTS)
    title = f"first {len(shown)} of {len(report.rejects):,} rejected rows"
    _show_table(shown.astype(str), title, dict.fromkeys(shown, "left"))


def _show_summary(result: SalesSummary) -> None:
    facts = result.to_dict()
    table = Table("sales", "", show_header=False)
    for name, value in facts.items():
        label = name.replace("_", " ")
        if isinstance(value, float):
            table.add_row(label, f"{value:.1%}" if name.endswith("share") else f"{value:,.3f}")
        elif isinstance(value, int):
            table.add_row(label, f"{value:,}")
        elif not isinstance(value, dict | list):
            table.add_row(label, "not known" if value is None else value)
    table.add_row("price index, last week (first = 1)", f"{result.price_index.iloc[-1]:.3f}")
    for name, row in facts["abc"].items():
        table.add_row(f"class {name}", f"{row['products']:,} products, {row['revenue_share']:.1%} of revenue")
    for label, cycle in (("month", "seasonality"), ("weekday (1: Monday)", "weekdays")):
        values = ", ".join(f"{step}: {value:.2f}" for step, value in facts[cycle].items())
        table.add_row(f"revenue per day by {label} (mean = 1)", values)
    if result.stockouts is not None:
        weeks = (result.stockouts > 0).sum()
        table.add_row("weeks with a stockout", f"{weeks:,} ({result.stockouts.sum():,} product-weeks)")
    show(table)
    _show_table(_rounded(result.top_products), "best sellers by revenue")
    if result.categories is not None:
        shown = result.categories.head(_SHOWN_REJECTS)
        _show_table(_rounded(shown), f"first {len(shown)} of {len(result.categories):,} categories by revenue")


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    formats = {"revenue": "{:,.2f}", "units": "{:,.0f}", "price": "{:,.2f}", "products": "{:,}"}
    formats |= dict.fromkeys([str(name) for name in frame if str(name).endswith("share")], "{:.1%}")
    return frame.assign(**{name: frame[name].map(text.format) for name, text in formats.items() if name in frame})


def _show_table(frame: pd.DataFrame, title: str, justify: dict[Any, Any] | None = None) -> None:
    table = Table(title=escape(title))
    text = {"product", "name", "category"}
    sides = justify or {name: "left" if name in text else "right" for name in frame}
    for name in frame:
        table.add_column(str(name).replace("_", " "), justify=sides[name])
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(str(value)) for value in row))
    show(table)
