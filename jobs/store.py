"""Results of jobs in files, so that a call that was interrupted goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..atomic import write_json
from .job import Failure, Job, Place, results

_RESULTS, _SCRATCH = "results", "unfinished"


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    place: Place,
    on_end: Callable[[Job, Any], None] = lambda job, result: None,
) -> list[Any]:
    """The results of jobs, from files where they are known.

    A result is written by this process alone, once, as soon as it is known. A failure is not kept: the next call
    tries again.

    Args:
        jobs: The jobs; those with the same key are one.
        folder: Folder of the results, one JSON file each.
        place: Where the jobs run.
        on_end: Called with each job and its result or `Failure`, those of files first.

    Returns:
        For each job its result, or a `Failure`.
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
