"""The trainings of a sweep as jobs, and their results as one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ...agents import train
from ...atomic import whole_file
from ...evaluation import evaluate
from ...jobs import Failure, Job, Place, run_jobs
from ...scenarios import load_scenario
from .plan import Sweep

TABLE_FILE = "results.parquet"
DONE, UNFIT, FAILED = "done", "unfit", "failed"


def run_sweep(
    sweep: Sweep, out: Path, *, place: Place, on_row: Callable[[dict[str, Any], int], None] = lambda row, total: None
) -> pd.DataFrame:
    """Train and evaluate, except what lies in the folder already, and write the table.

    Args:
        sweep: What to train.
        out: Folder of the results; the same call resumes.
        place: Where the trainings run.
        on_row: Called with each row as it becomes known, and the number of rows.

    Returns:
        One row per scenario, algorithm and seed: `state` is done, unfit (the algorithm cannot learn this market) or
        failed, with the `reason`; `value` of the objective per episode, `share_of_optimum` where an exact optimum
        exists, the paired `gain` over the best fixed prices with its 95% interval, as money per episode and as
        a share of what they earn (none where that is 0), and `seconds` of training.

    Raises:
        ValueError: The cluster cannot be reached.

    Example:
        >>> sweep = Sweep(name="two", scenarios=("regimes",), algorithms=("ppo", "a2c"))
        >>> table = run_sweep(sweep, Path("runs/two"), place=Place(workers=2))  # doctest: +SKIP
    """
    rows: list[dict[str, Any]] = []
    jobs: list[Job] = []
    for scenario in sweep.scenarios:
        for algo in sweep.algorithms:
            reason, trainings = sweep.unfit(scenario, algo), list(sweep.jobs(scenario, algo))
            if reason is None:
                jobs += trainings
            else:
                rows += [_head(job) | {"state": UNFIT, "reason": reason} for job in trainings]
    for row in rows:
        on_row(row, sweep.count)

    def ended(job: Job, result: Any) -> None:
        rows.append(_head(job) | _tail(result))
        on_row(rows[-1], sweep.count)

    run_jobs(jobs, out, place=place, on_end=ended)
    order = {name: i for i, name in enumerate(sweep.algorithms)}
    table = pd.DataFrame(rows).sort_values(
        ["scenario", "algo", "seed"], key=lambda column: column.map(order) if column.name == "algo" else column
    )
    with whole_file(out / TABLE_FILE) as temporary:
        table.to_parquet(temporary, index=False)
    return table.reset_index(drop=True)


def train_and_evaluate(inputs: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """One training, from where it was interrupted, and its comparison with the best fixed prices.

    Args:
        inputs: scenario, algo, seed, steps, episodes, settings.
        scratch: Folder of the run until the job is done.

    Returns:
        The figures of a row of `run_sweep`.
    """
    spec = load_scenario(inputs["scenario"])
    scratch.parent.mkdir(parents=True, exist_ok=True)
    given = {name: inputs[name] for name in ("algo", "steps", "seed", "settings")}
    run = train(spec, device="cpu", out=scratch, **given)
    comparison = evaluate(spec, [run], episodes=inputs["episodes"])
    row = next(row for row in comparison.rows if row.policy != "best-fixed")
    fixed, gain = comparison.row("best-fixed").value, row.vs_best_fixed
    return {
        "value": row.value,
        "share_of_optimum": row.share_of_optimum,
        "best_fixed": fixed,
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_share": gain.mean / abs(fixed) if fixed else None,
        "seconds": run.facts["seconds"],
        "weights": run.facts["weights"],
    }


def _head(job: Job) -> dict[str, Any]:
    return {name: job.inputs[name] for name in ("scenario", "algo", "seed", "steps")}


def _tail(result: Any) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"state": FAILED, "reason": result.reason}
    return {"state": DONE, "reason": "", **result}
