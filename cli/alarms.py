"""`repricer data alarms`: changes and spikes in what was sold and in what goes on outside."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from ._options import emit, json_option, say, show

if TYPE_CHECKING:
    import pandas as pd

_FILE = click.Path(path_type=Path)
_WEEKS_A_YEAR = 52.1775
_PLOTTED_SERIES = 12
_COLOURS = {"spike": "tab:orange", "level shift": "tab:red", "trend": "tab:purple"}


@click.command("alarms")
@click.option("--sales", type=_FILE, required=True, help="One row a sale line.")
@click.option("--signals", type=_FILE, help="One row a date and outside index: date, name, value.")
@click.option("--top", type=click.IntRange(min=1), default=30, show_default=True, help="Best sellers to watch.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(min=0, max=12, min_open=True),
    default=0.2,
    show_default=True,
    help="Allowed in a year of each series.",
)
@click.option("--plot", type=_FILE, help="Picture of the series with the largest alarms (.png, .svg, .pdf).")
@json_option
def command(sales: Path, signals: Path | None, top: int, false_alarms: float, plot: Path | None, as_json: bool) -> None:
    """Raise alarms: weeks that stand out, levels that shifted, trends that set in.

    An alarm rests on its own week and those before it alone: what a later week shows never changes it.
    """
    import pandas as pd

    from ..forecasting.alarms import find_alarms
    from ..forecasting.signals import weekly_series

    tables = [_panel(sales, top)] + ([_outside(signals)] if signals else [])
    found = pd.concat(
        [find_alarms(table, false_alarms_per_year=false_alarms) for table in tables], ignore_index=True
    ).sort_values(["week", "signal", "product"], ignore_index=True)
    series = pd.concat([weekly_series(table) for table in tables], ignore_index=True).dropna(subset=["value"])
    if plot:
        _plot(series, found, plot)
    _print(series, found, false_alarms, as_json)


def _panel(sales: Path, top: int) -> pd.DataFrame:
    from ..data import import_tables, product_weeks

    lines = import_tables({"sales": sales}, key=secrets.token_bytes(32))[0].sales
    revenue = (lines["units"] * lines["price_paid"]).groupby(lines["product"]).sum()
    best = revenue.nlargest(top).index.to_frame(index=False).assign(category="")
    return product_weeks(lines, products=best)


def _outside(path: Path) -> pd.DataFrame:
    import pandas as pd

    from ..data import DataError
    from ..data.reading import read_table

    table, _ = read_table(path)
    missing = {"date", "name", "value"} - set(table)
    if missing:
        raise DataError(
            f"{path.name}: columns date, name, value are needed; got {', '.join(map(str, table.columns))}; rename them"
        )
    try:
        return table.assign(
            date=pd.to_datetime(table["date"]),
            value=pd.to_numeric(table["value"]),
            name="signal_" + table["name"].astype(str),
        )
    except ValueError as error:
        raise DataError(f"{path.name}: dates and values must be readable; got: {error}; mend that row") from error


def _print(series: pd.DataFrame, found: pd.DataFrame, rate: float, as_json: bool) -> None:
    from ..forecasting.alarms import LEARNING_WEEKS

    watched = series.groupby(["name", "product"])["week"].count()
    expected = rate * float((watched - LEARNING_WEEKS).clip(lower=0).sum()) / _WEEKS_A_YEAR
    rows = found.assign(week=found["week"].astype(str).str[:10], since=found["since"].astype(str).str[:10])
    if as_json:
        emit(
            {
                "series": len(watched),
                "false_alarms_per_year": rate,
                "expected_false_alarms": round(expected, 1),
                "alarms": rows.to_dict("records"),
            }
        )
        return
    table = Table("signal", "product", "week", "kind", "size", "from", "to", "what happened")
    for row in rows.to_dict("records"):
        cells = (row["signal"], row["product"], row["week"], row["kind"])
        numbers = (f"{row['size']:+.1f}", f"{row['before']:,.4g}", f"{row['after']:,.4g}")
        table.add_row(*(escape(cell) for cell in cells), *numbers, escape(row["sentence"]))
    show(table)
    say(f"{len(found)} alarms in {len(watched)} series; without any change about {expected:.0f} would be expected")


def _plot(series: pd.DataFrame, found: pd.DataFrame, file: Path) -> None:
    """Draw the series with the largest alarms, one below the other."""
    from matplotlib.figure import Figure

    largest = found.assign(size=found["size"].abs()).groupby(["signal", "product"])["size"].max()
    shown = list(largest.nlargest(_PLOTTED_SERIES).index)
    figure = Figure(figsize=(9, 1.6 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots(max(len(shown), 1), squeeze=False, sharex=True)[:, 0]
    for axis, (signal, product) in zip(axes, shown, strict=False):
        rows = series[(series["name"] == signal) & (series["product"] == product)]
        axis.plot(rows["week"], rows["value"], color="0.5", linewidth=1)
        axis.set_title(f"{signal} {product}".strip(), fontsize=8, loc="left")
        mine = found[(found["signal"] == signal) & (found["product"] == product)]
        for kind, alarms in mine.groupby("kind"):
            heights = rows.set_index("week")["value"].loc[alarms["week"]]
            axis.plot(alarms["week"], heights, "o", color=_COLOURS[str(kind)], label=kind, markersize=5)
        axis.legend(fontsize=7)
    figure.savefig(file, dpi=120)
