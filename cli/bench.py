"""`repricer bench`: measure the speed of this machine."""

from __future__ import annotations

import importlib
import platform

import click
from rich.table import Table

from ._options import emit, json_option, seed_option, show

_NAMES = ("market", "learner", "serving")


@click.command(name="bench")
@click.argument("name", required=False, type=click.Choice(_NAMES))
@seed_option
@json_option
def command(name: str | None, seed: int, as_json: bool) -> None:
    """Measure the speed of the market, the learner and the price service, or of one.

    The figures are medians in CPU seconds, on one thread; ratios refer to a baseline measured in
    the same run.
    """
    tables = {
        one: importlib.import_module(f"...benchmarks.{one}", __name__).table() for one in ([name] if name else _NAMES)
    }
    if as_json:
        emit({"python": platform.python_version(), "machine": platform.machine(), "tables": tables})
        return
    for title, rows in tables.items():
        table = Table("what", title=title)
        table.add_column("per second", justify="right")
        table.add_column("unit")
        table.add_column("ratio", justify="right")
        for row in rows:
            table.add_row(row["what"], f"{row['per_second']:,.0f}", row["unit"], f"{row['ratio']:.1f}")
        show(table)
