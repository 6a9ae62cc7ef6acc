"""A study in a database, on which several workers work, on one machine or on many."""

from __future__ import annotations

import time
from collections.abc import Callable

import optuna
from optuna import Study, Trial
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

HEARTBEAT_SECONDS, GRACE_SECONDS = 5, 30
"""How often a worker reports that it lives, and after which silence its trial is given to another."""
_RETRIES = 3
_WAIT_SECONDS = 1.0
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def open_shared(url: str, name: str, pruner: BasePruner) -> Study:
    """The study of this name in a database, new or as others left it.

    Args:
        url: SQLAlchemy's URL, such as postgresql+psycopg://user@host/database.
        pruner: What ends hopeless trials.

    Raises:
        ValueError: The database cannot be reached or is none of Optuna's.
    """
    try:
        storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES),
        )
        # Running trials count as bad ones, so that workers do not draw the same settings.
        sampler = TPESampler(multivariate=True, constant_liar=True)
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", sampler=sampler, pruner=pruner, load_if_exists=True
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--storage must be the URL of a database; got: {reason}; fix the URL") from error


def work(study: Study, trials: int, objective: Callable[[Trial], float], after: Callable[[], None]) -> None:
    """Run trials until as many have ended, whoever ran them.

    A trial whose worker is silent has failed; its settings are tried again, and the failure does not count.

    Args:
        study: The study.
        trials: Number of trials to end with.
        objective: Runs a trial; a ValueError or MemoryError is a failure, whose `reason` it has kept.
        after: Called after each trial of this worker.
    """
    while (counted := len(ended(study))) < trials:
        optuna.storages.fail_stale_trials(study)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if counted + len(running) < trials:
            study.optimize(objective, n_trials=1, catch=(ValueError, MemoryError))
            after()
        else:
            time.sleep(_WAIT_SECONDS)


def ended(study: Study) -> list[FrozenTrial]:
    """The trials that count: without those whose worker died, which are tried again."""
    return [trial for trial in study.get_trials(deepcopy=False, states=_ENDED) if not died(trial)]


def died(trial: FrozenTrial) -> bool:
    """Whether a trial ended because its worker did."""
    return trial.state is TrialState.FAIL and "reason" not in trial.user_attrs
