"""`repricer federate`: one demand regression over shops that share no rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..atomic import write_json
from ..privacy.encryption import secret
from ._options import FILE, OUT, Number, json_option, output, say_aside, tables_options


@click.group("federate")
def command() -> None:
    """Fit one demand regression over shops that share no rows.

    Each shop joins on its own tables, in a new folder that all reach. The sums over all shops give the fit that all rows in
    one place would give; a shop writes its part only under masks that cancel in the total. `repricer fit --shared FILE` then
    forecasts with it.
    """


@command.command()
@click.argument("dataset", type=FILE)
@click.option(
    "--folder", type=FILE, required=True, help="Where the shops meet: a folder that all reach, new for each fit."
)
@click.option("--name", required=True, help="The shop's name for the others: letters, digits, `_` and `-`.")
@click.option("--shops", type=click.IntRange(min=3), required=True, help="Number of shops, this one included.")
@click.option("--period", type=click.Choice(["week", "day"]), default="week", show_default=True, help="As in fit.")
@click.option(
    "--wait",
    type=Number(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest time to wait for another shop's file, in seconds.",
)
@click.option(
    "--shops-key",
    required=True,
    metavar="SOURCE",
    help="Key that all shops have in common: env:NAME, file:PATH or command:WORDS; 64 hexadecimal digits, as `openssl rand "
    "-hex 32` makes them.",
)
@click.option("--out", type=OUT, required=True, help="File for what all products have in common (.json).")
@tables_options
@json_option
def join(dataset: Path, period: str, shops_key: str, out: Path, as_json: bool, **options: Any) -> None:
    """Take part with DATASET, a folder made by `repricer data import`; its rows stay here."""
    from ..data import load_tables, product_weeks
    from ..data.weeks import PERIODS
    from ..forecasting.shared_regression import fit_shared

    panel = product_weeks(load_tables(dataset), days=PERIODS[period].days)
    found = fit_shared(panel, key=secret(shops_key), say=say_aside, **options)
    common = found.common.document()
    write_json(out, {"common": common, "shops": len(found.shops), "products": found.products})
    mean = dict(zip(common["names"], common["mean"], strict=True))
    output(
        as_json,
        {"out": str(out), "shops": found.shops, "products": found.products, "common": common},
        f"{found.products} products of {len(found.shops)} shops: a price 1% lower sells {-mean['discount']:.2f}% more",
        f"Written to {out}. Next: repricer fit TABLES --shared {out}",
    )
