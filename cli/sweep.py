"""`repricer sweep`: many trainings, one table."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from ..planning.progress import progress_bar, progress_console
from ..serving.documents import read, toml_table
from ._options import OUT, figures_table, json_option, output, place_option

if TYPE_CHECKING:
    from ..evaluation import Estimate
    from ..evaluation.sweep import Summary, Sweep


@click.command(name="sweep")
@click.argument("sweep", type=click.Path(path_type=Path))
@place_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes on this machine.  [default: one per core]")
@click.option("--out", "folder", type=OUT, help="Folder of the results; the same call resumes.  [default: runs/NAME]")
@json_option
def command(sweep: Path, on: str, workers: int | None, folder: Path | None, as_json: bool) -> None:
    """Train every algorithm on every scenario with every seed, as the file SWEEP says.

    SWEEP is a TOML file: name, scenarios (names, paths, or "textbook"), algorithms, seeds, steps, episodes, and
    settings by algorithm. Results are one Parquet table and a chart.
    """
    from ..evaluation.sweep import CHART_FILE, TABLE_FILE, plot_summary, run_sweep, summarise
    from ..jobs import Place

    place = Place.asked(on, workers)
    plan = read_sweep(sweep)
    folder = folder or Path("runs") / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar("trainings", counted=True) as bar:
        table = run_sweep(plan, folder, place=place, on_row=_moving(bar))
    found = summarise(table)
    files = {"table": str(folder / TABLE_FILE)}
    if any(one.gain for one in found):
        files["chart"] = str(folder / CHART_FILE)
        plot_summary(
            found, folder / CHART_FILE, f"{plan.name}: {len(plan.scenarios)} markets, {len(plan.seed_list)} seeds"
        )
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    lines = [
        f"{len(some)} {state}, the first {some.iloc[0]['algo']} on {some.iloc[0]['scenario']}: {reason}"
        for (state, reason), some in table[table["state"] != "done"].groupby(["state", "reason"])
    ]
    lines.append(" ".join(f"{name.capitalize()}: {file}." for name, file in files.items()))
    document = {"summary": [one.to_dict() for one in found], "rows": rows, "files": files}
    output(as_json, document, _table(found), *lines)


def read_sweep(path: Path) -> Sweep:
    """The sweep of a file.

    Raises:
        ValueError: It cannot be read, a key or value is not allowed, or a scenario or algorithm is not known.
    """
    from ..evaluation.sweep import Sweep

    return read(Sweep, toml_table(path, ValueError), str(path), ValueError).checked(path)


def _table(found: list[Summary]) -> Table:
    table = figures_table(
        ["algorithm"],
        ["gain over best fixed", "share of optimum", "markets", "done", "unfit", "failed", "seconds"],
        caption="Interquartile means over markets and seeds with 95% intervals; the optimum where an exact one is known. "
        "Algorithms that cannot learn a market are compared on fewer.",
    )
    for one in found:
        counts = [str(count) for count in (one.scenarios, one.done, one.unfit, one.failed)]
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        table.add_row(one.algo, _percent(one.gain, "+"), _percent(one.share), *counts, seconds)
    return table


def _percent(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return ""
    mean = f"{estimate.mean:{sign}.2%}"
    # A single training says nothing of others.
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return f"{mean} [{estimate.low:{sign}.2%}, {estimate.high:{sign}.2%}]" if known else mean


def _moving(bar: Any) -> Callable[[dict[str, Any], int], None]:
    """A callback that moves the bar; without a terminal, a line on stderr per training."""
    task = bar.add_task("trainings", total=None)
    done = 0

    def on_row(row: dict[str, Any], total: int) -> None:
        nonlocal done
        done += 1
        bar.update(task, completed=done, total=total)
        if not progress_console.is_terminal and row["state"] != "unfit":
            figure = f"failed: {row['reason']}"
            if row["state"] == "done":
                share = row["gain_share"]
                figure = "the best fixed prices earn 0" if share is None else f"{share:+.2%} over best fixed"
            progress_console.print(
                f"{done} of {total}: {row['algo']} on {row['scenario']}, seed {row['seed']}: {figure}", soft_wrap=True
            )

    return on_row
