"""`repricer tune`: search for the best settings of an algorithm on a scenario."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from ..planning.progress import training_bar
from ._options import OUT, count_option, figures_table, json_option, output, seed_option

if TYPE_CHECKING:
    from ..agents.tuning.study import Tuning


@click.command(name="tune")
@click.argument("scenario")
@click.option("--algo", default="ppo", show_default=True, help="Learning algorithm.")
@count_option("--trials", 20, "Number of trials; the first is the preset.")
@count_option("--steps", 300_000, "Training steps per run.")
@count_option("--seeds-per-trial", 1, "Training runs averaged in a trial.")
@click.option("--out", "folder", type=OUT, help="Study folder; the same call resumes it.")
@click.option(
    "--storage",
    metavar="URL",
    help="Database of the study, such as postgresql+psycopg://HOST/NAME: the same call on several machines then works on "
    "one study, and the trial of a worker that dies is tried again.",
)
@seed_option
@json_option
def command(scenario: str, algo: str, folder: Path | None, as_json: bool, **options: Any) -> None:
    """Search for the settings of an algorithm with the largest gain over the best fixed price.

    Trials are compared on the validation customers, never on those that `repricer evaluate` uses.
    """
    from ..agents.algorithms import algorithm
    from ..agents.tuning.study import BEST_FILE, PLOT_FILE, TRIALS_FILE, tune
    from ..scenarios import load_scenario

    # What is wrong is refused before any progress is shown.
    spec = load_scenario(scenario)
    algo = algorithm(algo).name
    folder = folder or Path("runs") / f"tune-{spec.name}-{algo}"
    with training_bar(f"tuning {spec.name}", spec.market.objective) as progress:
        found = tune(spec, algo=algo, out=folder, progress=progress, **options)
    names = {"best": BEST_FILE, "table": TRIALS_FILE, "plot": PLOT_FILE}
    files = {name: str(folder / file) for name, file in names.items()}
    facts = {"study": str(folder), "scenario": spec.name, "algo": algo, **asdict(found), **found.counts, "files": files}
    line = f"Study: {folder}. Next: repricer train {scenario} --algo {algo} --preset {files['best']}"
    output(as_json, facts, _table(found), *_lines(found, spec.market.objective), line)


def _table(found: Tuning) -> Table:
    """The tuned settings, most important first, in the preset and in the best trial."""
    title = f"trial {found.trial} of {len(found.trials)}; the preset is trial 0"
    table = figures_table(["setting"], ["preset", "best", "importance"], title=title)
    for name in [*found.importances] or [*found.settings]:
        share = f"{found.importances[name]:.0%}" if found.importances else ""
        table.add_row(name, escape(str(found.trials[0][name])), escape(str(found.settings[name])), share)
    return table


def _lines(found: Tuning, money: str) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in found.counts.items())
    reasons = Counter(row["reason"] for row in found.trials if row["state"] == "failed")
    share = f" ({found.gain / abs(found.best_fixed):+.2%})" if found.best_fixed else ""
    best = f"{money} {found.gain:+.4g} an episode{share} against the best fixed price on the validation customers"
    if found.preset_gain is None:
        verdict = "the preset failed"
    elif found.trial:
        verdict = f"the preset {found.preset_gain:+.4g}"
    else:
        verdict = "it is the preset, and no other trial was better"
    return [
        f"Trials: {states}.",
        *(f"  failed {count} times: {reason}" for reason, count in reasons.items()),
        f"Trial {found.trial}: {best}; {verdict}.",
    ]
