"""`repricer refresh`: a bundle for the weeks after newer tables, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_json
from ..planning.market_folder import tables_of
from ..planning.progress import show_step
from ._options import FILE, OUT, json_option, output, seed_option, tables_options

if TYPE_CHECKING:
    from ..planning.refresh import Refreshed


@click.command("refresh")
@click.argument("bundle", type=FILE)
@click.option("--tables", type=FILE, required=True, help="Up-to-date tables: a folder made by `repricer data import`.")
@click.option("--out", type=OUT, help="Where to write the new bundle.  [default: replaces BUNDLE]")
@click.option("--weeks", type=click.IntRange(min=1), help="Weeks that the new bundle prices.  [default: as before]")
@click.option(
    "--plan", type=FILE, help="CSV, XLSX or Parquet file of what is planned, as `repricer fit --plan` reads it."
)
@click.option("--market", type=OUT, help="Folder for the market of the new weeks, for evaluate, report and prices.")
@click.option("--key", type=FILE, help="Ed25519 private key (PEM) that signs.  [default: OUT.key.pem]")
@click.option("--public-key", type=FILE, help="PEM file of the key that must have signed BUNDLE.")
@tables_options
@seed_option
@json_option
def command(
    bundle: Path, tables: Path, out: Path | None, plan: Path | None, market: Path | None, as_json: bool, **options: Any
) -> None:
    """Take new forecasts, price responses and stock from TABLES into BUNDLE, under the same policy.

    Nothing is trained. The bundle then prices the weeks after the tables. Its prices are checked
    against the best fixed and the current prices of those weeks, over posterior draws, and the
    command says when it is time to train again. BUNDLE stays as it is until the new one is complete.
    """
    from ..planning.refresh import refresh, refresh_lines
    from ..scenarios import save_scenario

    show_step("tables")
    loaded = tables_of(tables, plan)
    found = refresh(bundle, loaded, out=out, on_step=show_step, **options)
    if market is not None:
        save_scenario(found.spec, market)
        write_json(market / "fit.json", {"refit": found.bundle.manifest["refit"]})
    output(as_json, _document(found, out or bundle, market), *refresh_lines(found, out or bundle))


def _document(found: Refreshed, out: Path, market: Path | None) -> dict[str, Any]:
    bundle = found.bundle
    calendar = found.spec.calendar
    facts = {
        "bundle": str(out),
        "digest": bundle.digest,
        "policy": bundle.policy.name,
        "holds": bundle.manifest["holds"],
    }
    facts["calendar"] = calendar and calendar.to_dict() | {"last_day": str(calendar.last_day)}
    names = ("check", "before", "train_again", "notes")
    return facts | {name: getattr(found, name) for name in names} | {"market": market and str(market)}
