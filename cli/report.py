"""`repricer report`: the value of a run's prices, as one HTML file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..planning.progress import progress_console
from ._options import FILE, OUT, check_there, episodes_option, json_option, output, say_aside, seed_option

if TYPE_CHECKING:
    from ..agents import Run
    from ..evaluation import Comparison


@click.command(name="report")
@click.argument("run", type=FILE)
@click.option("--out", type=OUT, required=True, help="The HTML file to write.")
@click.option("--fit", type=FILE, help="Fit report of the scenario [default: RUN/fit.json, where there is one].")
@episodes_option
@seed_option
@json_option
def command(run: Path, out: Path, fit: Path | None, episodes: int, seed: int, as_json: bool) -> None:
    """Evaluate RUN on test seeds, and write a report that a pricing manager can read offline."""
    from ..agents import load_run
    from ..evaluation.report import ReportData, verdict, write_report
    from ..planning.price_list import beyond_the_comparison, price_list

    if out.is_dir():
        raise ValueError(f"--out must be a file; got the folder {out}; name an .html file in it")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html; got '{out}'; rename it, and print the page for a PDF")
    learned = load_run(run)
    fitted = read_fit(run, fit)
    started = time.perf_counter()
    with progress_console.status("evaluating"):
        comparison = _compare(learned, episodes, seed)
        beyond = beyond_the_comparison(
            learned.policy, comparison, seed, price_list(comparison, seed), fit.parent if fit else run
        )
    seconds = {"training": learned.facts["seconds"], "evaluation": time.perf_counter() - started}
    timings = [{"stage": stage, "seconds": took} for stage, took in seconds.items()]
    name = learned.policy.name
    path = write_report(out, ReportData(comparison, run=learned, learned=name, fit=fitted, timings=timings, **beyond))
    sentence = verdict(comparison, name)
    if fitted is None and learned.spec.posterior is not None:
        say_aside(
            "note: the report leaves out price responses, forecasts, fidelity, trend and segments, as there is no fit.json "
            f"in {run}; add them with --fit MARKET/fit.json"
        )
    document = {"verdict": sentence, "report": str(path)} | comparison.to_dict()
    output(as_json, document, sentence, f"written to {path}")


def _compare(run: Run, episodes: int, seed: int) -> Comparison:
    """The run against every rule that applies to its scenario."""
    from ..evaluation import evaluate, solve

    spec = run.spec
    rules = ["best-fixed", "myopic", "regular"]
    rules += ["historical"] * (spec.plan is not None) + ["optimum"] * (solve(spec) is not None)
    return evaluate(spec, [run.policy, *rules], episodes=episodes, seed=seed)


def read_fit(run: Path, path: Path | None) -> dict[str, Any] | None:
    """The fit report at `path`, or the one in the run's folder, or None."""
    if path is None and not (run / "fit.json").is_file():
        return None
    path = path or run / "fit.json"
    check_there("--fit", path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must hold a JSON object; got: {error}; `repricer fit` writes one") from error
