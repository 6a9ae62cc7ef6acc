"""Many trainings in one table: every algorithm on every market with every seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from ..agents import ALGORITHMS, train
from ..agents.plan import plan_for
from ..atomic import whole_file, write_whole
from ..jobs import Failure, Job, Place, code_fingerprint, run_jobs
from ..scenarios import load_scenario
from ..scenarios.fields import nearest
from ..scenarios.loading import registered
from .comparison import Estimate, evaluate, interquartile_mean
from .report.plots import interval_plot

TEXTBOOK = "textbook"
"""Stands for the names of all markets of the package."""
TABLE_FILE = "results.parquet"
CHART_FILE = "summary.svg"
DONE = "done"
UNFIT = "unfit"
FAILED = "failed"
_CODE = ("agents", "envs", "evaluation", "pricing", "scenarios")
_Count = Annotated[int, Meta(ge=1, le=10**9, extra={"allowed": "a whole number from 1 on"})]
_Names = Annotated[tuple[str, ...], Meta(min_length=1, extra={"allowed": "a list of one name or more"})]


class Sweep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Trainings to compare: each algorithm on each scenario with each seed.

    Attributes:
        name: Name of the sweep.
        scenarios: Registered names, paths of scenario files, and "textbook" for all markets that come along.
        algorithms: Keys of `ALGORITHMS`.
        seeds: Training seeds; 3 stands for 0, 1, 2.
        steps: Training steps of each.
        episodes: Test episodes of each.
        settings: By algorithm, values that override its preset.

    Example:
        >>> Sweep(name="two", scenarios=("regimes",), algorithms=("ppo", "a2c"), seeds=3).count
        6
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    scenarios: _Names
    algorithms: _Names
    seeds: _Count | Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(min_length=1)] = 3
    steps: _Count = 100_000
    episodes: _Count = 1_000
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def checked(self, path: Path) -> Sweep:
        """The sweep with the names of its markets, where they and its algorithms are known.

        Args:
            path: The file that it was read from; scenario files that it names are relative to it.

        Raises:
            ValueError: Something is not known, or given twice; one line.
        """
        for where, names in (("algorithms", self.algorithms), ("settings", self.settings)):
            for name in names:
                if name not in ALGORITHMS:
                    known = nearest(name, list(ALGORITHMS))
                    raise ValueError(f"{path}: {where} must be among the algorithms; got '{name}'; {known}")
                if name not in self.algorithms:
                    must = f"{path}: settings must be of the algorithms"
                    raise ValueError(f"{must}; got {name}, which is none; leave it out")
        found: list[str] = []
        textbook = [name for name, source in registered().items() if isinstance(source, Path)]
        for name in self.scenarios:
            beside = path.parent / name
            if name == TEXTBOOK:
                found += textbook
            else:
                found.append(str(beside) if beside.exists() else name)
        if any(len(set(names)) < len(names) for names in (found, self.algorithms, self.seed_list)):
            raise ValueError(f"{path}: scenarios, algorithms and seeds must differ; got one twice; leave one out")
        for name in found:
            load_scenario(name)
        return replace(self, scenarios=tuple(found))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The training seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def count(self) -> int:
        """Number of trainings, those included that an algorithm cannot do."""
        return len(self.scenarios) * len(self.algorithms) * len(self.seed_list)

    def unfit(self, scenario: str, algo: str) -> str:
        """Why an algorithm cannot learn on a market, in one line; empty where it can."""
        try:
            plan_for(load_scenario(scenario), algo, self.steps, 0, self.settings.get(algo))
        except ValueError as error:
            return str(error)
        return ""

    def jobs(self, scenario: str, algo: str) -> Iterator[Job]:
        """The trainings of an algorithm on a market, one job a seed."""
        given = {"steps": self.steps, "episodes": self.episodes, "settings": self.settings.get(algo, {})}
        for seed in self.seed_list:
            inputs = {"scenario": scenario, "algo": algo, "seed": seed} | given
            yield Job(f"{__name__}:train_and_evaluate", inputs, code_fingerprint(*_CODE))


# The trainings of a sweep as jobs, and their results as one table.


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
            reason = sweep.unfit(scenario, algo)
            trainings = list(sweep.jobs(scenario, algo))
            rows += [_head(job) | {"state": UNFIT, "reason": reason} for job in trainings if reason]
            jobs += [] if reason else trainings
    for row in rows:
        on_row(row, sweep.count)

    def ended(job: Job, result: Any) -> None:
        failed = isinstance(result, Failure)
        state = {"state": FAILED, "reason": result.reason} if failed else {"state": DONE, "reason": "", **result}
        rows.append(_head(job) | state)
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
    fixed = comparison.row("best-fixed").value
    gain = row.vs_best_fixed
    money = {"value": row.value, "share_of_optimum": row.share_of_optimum, "best_fixed": fixed}
    gains: dict[str, Any] = {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
    gains["gain_share"] = gain.mean / abs(fixed) if fixed else None
    return money | gains | {name: run.facts[name] for name in ("seconds", "weights")}


def _head(job: Job) -> dict[str, Any]:
    return {name: job.inputs[name] for name in ("scenario", "algo", "seed", "steps")}


# A sweep's results by algorithm: interquartile means over markets and seeds, as a table and as a chart.


@dataclass(frozen=True)
class Summary:
    """One algorithm over all markets that it can learn.

    Attributes:
        algo: The algorithm.
        done: Trainings with a result.
        unfit: Trainings of markets that it cannot learn.
        failed: Trainings that ended with an error.
        scenarios: Markets with a result.
        gain: Interquartile mean of the gain over the best fixed prices, as a share of what they earn; None where that
            is always 0.
        share: Interquartile mean of the share of the exact optimum, on the markets that have one; None without any.
        seconds: Median time of a training.

    Example:
        >>> Summary("dqn", 0, 9, 0, scenarios=0, gain=None, share=None, seconds=None).to_dict()["unfit"]
        9
    """

    algo: str
    done: int
    unfit: int
    failed: int
    scenarios: int
    gain: Estimate | None
    share: Estimate | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"gain": self.gain and self.gain.to_dict(), "share": self.share and self.share.to_dict()}


def summarise(table: pd.DataFrame) -> list[Summary]:
    """Results by algorithm, the largest gain first.

    The interval is of a bootstrap stratified by market (Agarwal et al. 2021, see `interquartile_mean`): it holds
    what another set of seeds would change, not another set of markets.

    Args:
        table: Rows of `run_sweep`.

    Example:
        >>> rows = {"algo": ["a2c"] * 2, "scenario": "regimes", "state": "done", "gain_share": [0.02, 0.04]}
        >>> (found,) = summarise(pd.DataFrame(rows | {"share_of_optimum": 0.9, "seconds": 5.0}))
        >>> round(found.gain.mean, 3)
        0.03
    """
    found = [_summary(str(algo), rows) for algo, rows in table.groupby("algo", sort=False)]
    return sorted(found, key=lambda one: -np.inf if one.gain is None else one.gain.mean, reverse=True)


def _summary(algo: str, rows: pd.DataFrame) -> Summary:
    done = rows[rows["state"] == DONE]
    counts = (int((rows["state"] == state).sum()) for state in (DONE, UNFIT, FAILED))

    def middle(name: str) -> Estimate | None:
        known = done[done[name].notna()] if len(done) else done
        return None if known.empty else interquartile_mean(known[name], strata=known["scenario"])

    seconds = None if done.empty else float(done["seconds"].median())
    means = {"gain": middle("gain_share"), "share": middle("share_of_optimum")}
    return Summary(algo, *counts, scenarios=int(done["scenario"].nunique()), seconds=seconds, **means)


def plot_summary(found: list[Summary], path: Path, title: str) -> None:
    """Draw the gain of each algorithm with its 95% interval as an SVG file.

    Args:
        found: Of `summarise`.
        path: The file.
        title: Title of the chart.
    """
    shown = [(one.algo, one.gain) for one in found if one.gain is not None]
    ends = 100 * np.array([(gain.mean, gain.low, gain.high) for _, gain in shown]).reshape(-1, 3).T
    ends = np.where(np.isfinite(ends), ends, ends[0])  # a single training has no interval
    label = f"{title}: gain over the best fixed prices (%), interquartile mean"
    chart = interval_plot([algo for algo, _ in shown], *ends, label=label, strong=[True] * len(shown))
    write_whole(path, chart.svg)
