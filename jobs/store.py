"""Results of jobs in files, so that a call that was interrupted goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..atomic import write_json
from .job import Ended, Failure, Job, Place

_RESULTS = "results"
_SCRATCH = "unfinished"


def results(jobs: Iterable[Job], place: Place, scratch: Path) -> Iterator[Ended]:
    """Run jobs and yield each as it ends, in any order.

    An exception of the work is a `Failure`, and is not tried again. A job whose process or node dies starts again,
    at most `ATTEMPTS` times.

    Args:
        jobs: The jobs, no two with the same key.
        place: Where they run.
        scratch: As for `Job.run`. On a cluster, a job that starts again finds its folder only if the nodes share it.

    Raises:
        ValueError: The cluster cannot be reached.
        ModuleNotFoundError: Ray is not installed.

    Example:
        >>> jobs = [Job("repricer.forecasting:backtest", {"series": name}) for name in ("tea", "milk")]
        >>> for job, result in results(jobs, Place("ray"), Path("unfinished")):  # doctest: +SKIP
        ...     print(job.inputs, result)
    """
    if place.on == "local":
        from .processes import run
    else:
        from .ray_cluster import run
    return run(list(jobs), place, scratch)


def run_jobs(
    jobs: Sequence[Job], folder: Path, *, place: Place, on_end: Callable[[Job, Any], None] = lambda job, result: None
) -> list[Any]:
    """The results of jobs, from files where they are known.

    A result is written by this process alone, once, as soon as it is known. A failure is not kept: the next call
    tries again.

    Args:
        jobs: The jobs; those with the same key are one.
        folder: Folder of the results, one JSON file each.
        place: Where the jobs run.
        on_end: Called with each job and its result or `Failure`; first for the jobs whose results are in files already.

    Returns:
        For each job its result, or a `Failure`.

    Example:
        >>> run_jobs([Job("mypackage.work:add", {"x": 1})], Path("runs/sums"), place=Place())  # doctest: +SKIP
        [2]
    """
    kept = folder / _RESULTS
    kept.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for job in {job.key: job for job in jobs}.values():
        path = kept / f"{job.key}.json"
        if path.is_file():
            found[job.key] = json.loads(path.read_text(encoding="utf-8"))["result"]
            on_end(job, found[job.key])
    left = {job.key: job for job in jobs if job.key not in found}
    for job, result in results(left.values(), place, folder / _SCRATCH):
        if not isinstance(result, Failure):
            write_json(kept / f"{job.key}.json", {"work": job.work, "inputs": job.inputs, "result": result})
            shutil.rmtree(folder / _SCRATCH / job.key, ignore_errors=True)
        found[job.key] = result
        on_end(job, result)
    return [found[job.key] for job in jobs]
