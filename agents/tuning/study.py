"""Tuning: a resumable Optuna study of an algorithm's settings, starting from its preset."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna import Study, Trial, TrialPruned
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ...atomic import whole_file, write_whole
from ...scenarios import MarketSpec, load_scenario
from ..plan import TrainingPlan, plan_for
from ..training import train
from ..validation import TrainingProgress
from .search_space import SearchSpace

STUDY_FILE = "study.db"
BEST_FILE = "best.toml"
TRIALS_FILE = "trials.csv"
PLOT_FILE = "trials.svg"
_TRIAL_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
HEARTBEAT_SECONDS = 5
"""How often a worker reports that it lives."""
GRACE_SECONDS = 30
"""After so long a silence a worker's trial is given to another."""
_RETRIES = 3
_WAIT_SECONDS = 1.0
_FILE_OF_0_1_0 = "study.journal"


@dataclass(frozen=True)
class Tuning:
    """The result of a study.

    Attributes:
        trial: Number of the best trial; 0 is the preset.
        settings: The tuned settings of that trial.
        gain: Its gain per episode over the best fixed prices on the validation seeds, in currency.
        best_fixed: What the best fixed prices earn there.
        preset_gain: The preset's gain; None if its trial failed.
        trials: One dict per trial: trial, state, gain, best_fixed, seconds, reason, and its
            settings.
        importances: Share of the gain's variance that each setting explains (fANOVA, Hutter, Hoos
            and Leyton-Brown 2014), largest first; empty if all gains are equal.
    """

    trial: int
    settings: dict[str, Any]
    gain: float
    best_fixed: float
    preset_gain: float | None
    trials: list[dict[str, Any]]
    importances: dict[str, float]

    @property
    def counts(self) -> dict[str, int]:
        """Number of trials by state: complete, pruned, failed."""
        return {state: sum(row["state"] == state for row in self.trials) for state in _TRIAL_STATES.values()}


@dataclass(frozen=True)
class _StudyPlan:
    """Everything that determines a study except the number of its trials."""

    plan: TrainingPlan
    seeds: int
    folder: Path
    storage: str | None = None

    @property
    def space(self) -> SearchSpace:
        return SearchSpace(self.plan.algo, self.plan.settings.to_dict())

    @property
    def identity(self) -> dict[str, Any]:
        """The flat facts by which a study recognises itself when it is resumed."""
        facts = self.plan.identity
        settings = facts.pop("settings")
        return facts | settings | {"seeds_per_trial": self.seeds}

    def home(self, trial: FrozenTrial) -> Path:
        """The folder of a trial's runs until it ends; a trial that is tried again goes on in the folder of the first try."""
        return self.folder / "trials" / str(_first_try(trial))


def tune(
    scenario: MarketSpec | str | Path,
    *,
    algo: str = "ppo",
    trials: int = 20,
    steps: int = 300_000,
    seed: int = 0,
    out: str | Path,
    seeds_per_trial: int = 1,
    storage: str | None = None,
    progress: TrainingProgress | None = None,
) -> Tuning:
    """Search the settings with the largest gain over the best fixed prices on the validation seeds.

    A trial trains `seeds_per_trial` policies and takes the mean gain of the policies kept. The
    first trial is the preset. TPE (Bergstra et al. 2011) draws the settings; a trial whose best
    validation stays below the median of the others at the same point is pruned. A trial fails if
    training rejects its settings, its policy diverges or its buffers do not fit into memory; the
    reason is kept.

    The same call on the same machine with the same versions gives the same trials, whether it is interrupted or not,
    because a trial's draw depends only on those before. An interrupted trial has failed; its settings are tried again,
    from its last checkpoint. After a kill that happens once the trial has been silent for half a minute.

    Args:
        scenario: A spec, a registered name or the path of a scenario file.
        algo: A key of `ALGORITHMS`.
        trials: Number of trials, including those that failed.
        steps: Rows that each training run collects.
        seed: Seed of the study and first seed of each trial's runs.
        out: Folder of the study. The same call resumes it; it writes `best.toml` (a preset block),
            `trials.csv` and `trials.svg` there.
        seeds_per_trial: Number of runs of a trial.
        storage: URL of a database that holds the study instead of the folder, so that several calls, on several
            machines, work on it at once: each until there are as many trials as it asks for.
        progress: As for `train`, with steps over all trials and the best gain so far.

    Raises:
        ValueError: Nothing can be tuned, `out` or the database holds another study, or all trials failed.
        OSError: The folder cannot be written.
    """
    for name, count in (("trials", trials), ("seeds_per_trial", seeds_per_trial)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}; ask for more")
    spec = load_scenario(scenario)
    job = _StudyPlan(plan_for(spec, algo, steps, seed), seeds_per_trial, Path(out), storage)
    job.folder.mkdir(parents=True, exist_ok=True)
    with _quiet():
        study = _open_study(job)
        _work(study, job, trials, progress)
        found = replace(_result(study), importances=_importances(study))
        _plot(study, job.folder / PLOT_FILE)
    return found


def _plot(study: Study, path: Path) -> None:
    from matplotlib import pyplot, rc_context
    from optuna.visualization.matplotlib import plot_optimization_history

    with whole_file(path) as temporary, rc_context({"svg.hashsalt": "tuning"}):
        plot_optimization_history(study, target_name="gain over best fixed, money per episode")
        pyplot.savefig(temporary, format="svg", metadata={"Date": None})
        pyplot.close()


def _work(study: Study, job: _StudyPlan, trials: int, progress: TrainingProgress | None) -> None:
    """Run trials until as many have ended, whoever ran them."""
    while len(over := ended(study)) < trials:
        _try_again(study)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if len(over) + len(running) >= trials:
            time.sleep(_WAIT_SECONDS)
            continue
        # Workers on several machines must not draw alike.
        place = [job.plan.seed, len(over) + len(running)] if job.storage is None else None
        seed = None if place is None else int(np.random.SeedSequence(place).generate_state(1)[0])
        # Running trials count as bad ones, so that others try something else.
        study.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        report = _overall(study, job, trials, progress)
        study.optimize(partial(_objective, job=job, progress=report), n_trials=1, catch=(ValueError, MemoryError))
        _write(study, job)
    _write(study, job)


def _try_again(study: Study) -> None:
    """Queue the settings of trials whose worker died or was interrupted."""
    optuna.storages.fail_stale_trials(study)
    trials = study.get_trials(deepcopy=False)
    queued = {number for trial in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(trial)}
    for trial in trials:
        if died(trial) and trial.number not in queued:
            _retry()(study, trial)


def _retry() -> RetryHeartbeatStaleTrialCallback:
    return RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES, inherit_intermediate_values=True)


def _first_try(trial: FrozenTrial) -> int:
    """The number of a trial, or of that whose settings it tries again."""
    return trial.system_attrs.get("failed_trial", trial.number)


def ended(study: Study) -> list[FrozenTrial]:
    """The trials that count: without those whose worker died, which are tried again."""
    return [trial for trial in study.get_trials(deepcopy=False, states=tuple(_TRIAL_STATES)) if not died(trial)]


def died(trial: FrozenTrial) -> bool:
    """Whether a trial ended because its worker did."""
    return trial.state is TrialState.FAIL and "reason" not in trial.user_attrs


def _open_study(job: _StudyPlan) -> Study:
    """The study of the folder or the database, new or as it was left.

    Raises:
        ValueError: There is another study, or none of Optuna's.
    """
    if job.storage is None and (job.folder / _FILE_OF_0_1_0).exists():
        raise ValueError(
            f"{job.folder} must hold a study of this version; got {_FILE_OF_0_1_0}, which version 0.1.0 wrote; choose "
            f"another --out, and keep {BEST_FILE} for `repricer train --preset`"
        )
    url = f"sqlite:///{job.folder / STUDY_FILE}"
    name = "tune"
    where = str(job.folder)
    if job.storage is not None:
        url = job.storage
        name = f"{job.plan.spec.name}-{job.plan.algo}"
        where = "the database"
    study = open_database(url, name, job.plan.settings.evaluations)
    held = study.user_attrs.get("identity")
    if held is None:
        study.set_user_attr("identity", job.identity)
        held = job.identity
    for key, wanted in job.identity.items():
        if held.get(key) != wanted:
            raise ValueError(
                f"{where} holds a study with {key} {held.get(key)!r}; got {wanted!r}; choose another --out or --storage"
            )
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(job.space.start, skip_if_exists=True)
    return study


def open_database(url: str, name: str, evaluations: int) -> Study:
    """The study of this name in a database, new or as others left it.

    Args:
        url: SQLAlchemy's URL, such as postgresql+psycopg://user@host/database.
        evaluations: Validations of a run; hopeless trials are pruned from the second quarter on.

    Raises:
        ValueError: The database cannot be reached or is none of Optuna's.
    """
    try:
        storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=_retry(),
        )
        pruner = MedianPruner(n_warmup_steps=max(1, evaluations // 4))
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"--storage must be the URL of a database with studies; got {url}: {reason}; choose another --out or --storage"
        ) from error


def _objective(trial: Trial, job: _StudyPlan, progress: TrainingProgress) -> float:
    """The gain of a trial, which keeps its settings and figures, or the reason why there are none."""
    settings = job.space.draw(trial)
    trial.set_user_attr("settings", settings)
    try:
        figures = _learn(trial, settings, job, progress)
    except (ValueError, MemoryError) as error:
        trial.set_user_attr("reason", (str(error).strip() or type(error).__name__).splitlines()[0])
        raise
    trial.set_user_attr("figures", figures)
    return figures["gain"]


def _learn(trial: Trial, settings: Mapping[str, Any], job: _StudyPlan, progress: TrainingProgress) -> dict[str, float]:
    """Mean gain, mean best fixed objective and total seconds of a trial's runs."""
    plan = job.plan
    kept = []
    home = job.home(_stored(trial))
    for index in range(job.seeds):
        run = train(
            plan.spec,
            algo=plan.algo,
            steps=plan.steps,
            seed=plan.seed + index,
            out=home / str(index),
            settings=settings,
            progress=_watch(trial, job, [facts["best"]["gain"] for facts in kept], progress),
        )
        kept.append(run.facts)
    figures = {name: float(np.mean([facts["best"][name] for facts in kept])) for name in ("gain", "best_fixed")}
    return figures | {"seconds": float(sum(facts["seconds"] for facts in kept))}


def _stored(trial: Trial) -> FrozenTrial:
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _watch(trial: Trial, job: _StudyPlan, before: list[float], progress: TrainingProgress) -> TrainingProgress:
    """Report every validation of a run once, and stop a trial that the pruner rejects.

    Args:
        before: Gains of the trial's runs with other seeds, which enter the mean.
    """
    evaluations = job.plan.settings.evaluations
    reported = set(_stored(trial).intermediate_values)

    def watch(done: int, total: int, figures: dict[str, float]) -> None:
        # By the share of the run, because trials with longer rollouts validate at other steps.
        place = len(before) * (evaluations + 1) + round(evaluations * figures["steps"] / total)
        if place not in reported:
            reported.add(place)
            trial.report(float(np.mean([*before, figures["gain"]])), place)
        if trial.should_prune():
            raise TrialPruned
        progress(len(before) * total + min(done, total), total, figures)

    return watch


def _overall(study: Study, job: _StudyPlan, trials: int, progress: TrainingProgress | None) -> TrainingProgress:
    """The caller's progress callback, with steps over all trials and the best gain so far."""
    over = ended(study)
    gains = [trial.user_attrs["figures"]["gain"] for trial in over if trial.state is TrialState.COMPLETE]

    def report(done: int, total: int, figures: dict[str, float]) -> None:
        if progress is not None:
            best = figures | {"gain": max(gains, default=figures["gain"])}
            progress(len(over) * job.seeds * total + done, trials * job.seeds * total, best)

    return report


def _write(study: Study, job: _StudyPlan) -> None:
    """Write the table of trials and the best settings so far to the folder, and clear what only trials that run need."""
    for trial in ended(study):
        shutil.rmtree(job.home(trial), ignore_errors=True)
    rows = _rows(study)
    write_whole(job.folder / TRIALS_FILE, pd.DataFrame(rows, dtype=object).to_csv(index=False))
    if any(row["state"] == "complete" for row in rows):
        write_whole(job.folder / BEST_FILE, _preset_text(_result(study), job))


def _result(study: Study) -> Tuning:
    """The result so far, without importances, which take half a second.

    Raises:
        ValueError: No trial is complete.
    """
    rows = _rows(study)
    if not any(row["state"] == "complete" for row in rows):
        raise ValueError(
            f"tune needs one complete trial; got {len(rows)} that failed, the first with: {rows[0]['reason']}; "
            "raise --trials, or fix what they have in common"
        )
    best = study.best_trial
    return Tuning(
        trial=best.number,
        settings=dict(best.user_attrs["settings"]),
        gain=best.user_attrs["figures"]["gain"],
        best_fixed=best.user_attrs["figures"]["best_fixed"],
        preset_gain=next((t.value for t in ended(study) if not _first_try(t) and t.state is TrialState.COMPLETE), None),
        trials=rows,
        importances={},
    )


def _rows(study: Study) -> list[dict[str, Any]]:
    """One row per trial that is over, those included whose worker died; a pruned one has the gain of its last validation."""
    rows = []
    for trial in study.get_trials(deepcopy=False, states=tuple(_TRIAL_STATES)):
        facts = trial.user_attrs
        head = {"trial": trial.number, "state": _TRIAL_STATES[trial.state]}
        figures = facts.get("figures", {"gain": trial.value, "best_fixed": None, "seconds": None})
        reason = "its worker died or was interrupted" if died(trial) else facts.get("reason", "")
        rows.append(head | figures | {"reason": reason} | facts.get("settings", {}))
    return rows


def _importances(study: Study) -> dict[str, float]:
    if len({trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}) < 2:
        return {}
    # The analysis uses a random forest; a fixed seed makes it reproducible.
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}


def _preset_text(found: Tuning, job: _StudyPlan) -> str:
    """A block for a preset file, with the command that found it."""
    plan = job.plan
    preset = "failed" if found.preset_gain is None else f"{found.preset_gain:.6g}"
    more = f" --seeds-per-trial {job.seeds}" if job.seeds > 1 else ""
    lines = [
        f"# repricer tune {plan.spec.name} --algo {plan.algo} --trials {len(found.trials)} --steps {plan.steps} "
        f"--seed {plan.seed}{more}",
        f"# Gain over the best fixed price on the validation customers: {found.gain:.6g} an episode, {_share(found)}; "
        f"the preset's: {preset}.",
        "[default]",
        *(f"{name} = {json.dumps(value)}" for name, value in found.settings.items()),
    ]
    return "\n".join(lines) + "\n"


def _share(found: Tuning) -> str:
    return f"{found.gain / abs(found.best_fixed):+.2%}" if found.best_fixed else "of zero"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log, and a warning about batches that are larger than a rollout."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "You have specified a mini-batch size")
            yield
    finally:
        optuna.logging.set_verbosity(before)
