"""`repricer data alarms`: spikes and changes in sales and in market signals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from ..planning.shop_files import FileLayout
from ._options import FILE, Number, count_option, gone_option, json_option, output, tables_options
from ._tables import file_options, given_tables, mapping_option

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Tables


@click.command("alarms")
@click.argument("dataset", type=FILE, required=False)
@file_options
@mapping_option
@count_option("--top", 30, "Number of best sellers to monitor.")
@click.option(
    "--false-alarms",
    type=Number(min=0, max=12, min_open=True),
    default=0.2,
    show_default=True,
    help="False alarms allowed per year and series.",
)
@gone_option("--plot", "draw the series and the alarms of --json; leave it out", refused=True)
@tables_options
@json_option
def command(
    dataset: Path | None,
    paths: dict[str, Path],
    mapping: FileLayout | None,
    top: int,
    false_alarms: float,
    as_json: bool,
) -> None:
    """Detect spikes, level shifts and trend changes in DATASET or in files.

    DATASET is a folder made by `repricer data import`. The weekly series are units, traffic,
    competitor prices, views, carts, ratings and external signals.

    An alarm depends only on its own week and earlier ones; later weeks never change it.
    """
    from ..forecasting.alarms import series_alarms, weekly_series

    series = weekly_series(_panel(given_tables(dataset, paths, mapping)[0], top)).dropna(subset=["value"])
    found = series_alarms(series, false_alarms_per_year=false_alarms)
    _print(series, found, false_alarms, as_json)


def _panel(tables: Tables, top: int) -> pd.DataFrame:
    import pandas as pd

    from ..data import product_weeks, sales_panel

    revenue = sales_panel(tables, by_store=False)["revenue"].sum(["store", "week"]).to_series()
    best = pd.DataFrame({"product": revenue.nlargest(top).index, "category": ""})
    return product_weeks(tables, products=best)


def _print(series: pd.DataFrame, found: pd.DataFrame, rate: float, as_json: bool) -> None:
    from ..data.weeks import WEEKS_A_YEAR
    from ..forecasting.alarms import LEARNING_WEEKS

    watched = series.groupby(["name", "product"])["week"].count()
    expected = rate * float((watched - LEARNING_WEEKS).clip(lower=0).sum()) / WEEKS_A_YEAR
    rows = found.assign(week=found["week"].astype(str).str[:10], since=found["since"].astype(str).str[:10])
    counts = {"series": len(watched), "false_alarms_per_year": rate, "expected_false_alarms": round(expected, 1)}
    table = Table("signal", "product", "week", "kind", "size", "from", "to", "what happened")
    for row in rows.to_dict("records"):
        cells = (row["signal"], row["product"], row["week"], row["kind"])
        numbers = (f"{row['size']:+.1f}", f"{row['before']:,.4g}", f"{row['after']:,.4g}")
        table.add_row(*(escape(cell) for cell in cells), *numbers, escape(row["sentence"]))
    count = len(watched)
    line = f"{len(found)} alarms in {count} series; about {expected:.0f} false alarms are expected without any change"
    output(as_json, counts | {"alarms": rows.to_dict("records")}, table, line)
