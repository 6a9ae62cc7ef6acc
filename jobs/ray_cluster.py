"""Jobs on a Ray cluster, a core each; Ray starts a job again whose worker or node dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]  an extra that few install
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from .job import ATTEMPTS, Ended, Failure, Job, Place, attempted
from .processes import THREADS

_AHEAD = 1_000
"""Jobs that are handed to the cluster before the first of them has ended."""


def run(jobs: list[Job], place: Place, scratch: Path) -> Iterator[Ended]:
    """As `results`, on a cluster."""
    connects_here = not ray.is_initialized()
    if connects_here:
        _connect(place.on)
    try:
        # Ray prints what it has to say of dead workers to stdout, where the caller's results go.
        with redirect_stdout(sys.stderr):
            yield from _results(jobs, scratch)
    finally:
        if connects_here:
            ray.shutdown()


def _connect(on: str) -> None:
    # A job has one core: neither threads nor processes of its own.
    environment = {"env_vars": dict.fromkeys((*THREADS, "LOKY_MAX_CPU_COUNT"), "1")}
    options: dict[str, Any] = {"runtime_env": environment, "log_to_driver": False, "logging_level": "error"}
    if on != "ray":
        options["address"] = on
    try:
        ray.init(**options)
    except (ConnectionError, RayError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"--on {on} must reach a running Ray cluster; got: {reason}; start it with `ray start`"
        ) from error


def _results(jobs: list[Job], scratch: Path) -> Iterator[Ended]:
    # A job is idempotent, so that one which was cut off may start again; its own errors are results.
    remote_attempt = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1, retry_exceptions=False)(attempted)
    waiting = list(reversed(jobs))
    running = dict[Any, Job]()
    while waiting or running:
        while waiting and len(running) < _AHEAD:
            job = waiting.pop()
            reference = remote_attempt.remote(job, scratch.resolve())
            running[reference] = job
        ended, _ = ray.wait(list(running), num_returns=1)
        for reference in ended:
            yield running.pop(reference), _value(reference)


def _value(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayError as error:
        return Failure(f"its worker or node died, {ATTEMPTS} times: {' '.join(str(error).split())[:200]}")
