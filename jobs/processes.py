"""Jobs on the cores of this machine, in processes of one thread each."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import joblib

from .job import ATTEMPTS, Ended, Failure, Job, Place, attempted

JOBS = min(joblib.cpu_count(), 4)
"""Processes in which `fit` works side by side; the environment variable LOKY_MAX_CPU_COUNT limits them."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(jobs: list[Job], place: Place, scratch: Path) -> Iterator[Ended]:
    """As `results`, on this machine."""
    waiting = list(reversed(jobs))
    suspects = list[Job]()
    while waiting:
        # A process that dies ends its pool, and each job that was running then may have been the cause.
        suspects += yield from _pool(waiting, place.workers or 1, scratch)
    for job in suspects:
        # Alone in a pool, only the job that is the cause fails again. Its first attempt was the one above.
        for _ in range(1, ATTEMPTS):
            interrupted = yield from _pool([job], 1, scratch)
            if not interrupted:
                break
        else:
            yield job, Failure(f"its process died, {ATTEMPTS} times; give it more memory")


def _pool(waiting: list[Job], workers: int, scratch: Path) -> Generator[Ended, None, list[Job]]:
    """Run jobs in a pool of processes until none is left or a process dies.

    Args:
        waiting: The jobs, the next one last; each is removed when it starts.
        workers: Number of processes, at most.
        scratch: As for `Job.run`.

    Returns:
        The jobs that were running when a process died; none if all jobs ended.
    """
    running = dict[Future[Any], Job]()
    workers = min(workers, len(waiting))
    spawn = get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    # A broken pool refuses the job, which then stays among those that wait.
                    future = pool.submit(attempted, waiting[-1], scratch)
                    running[future] = waiting.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    # A dead process raises here, so that its job is still among those that run.
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            # Interrupted, or the caller wants no more results: do not wait for jobs that still run.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


def _end_with_parent() -> None:
    """End this process when the one that started it is killed; else it would wait for work for ever."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start meanwhile compute in one thread each.

    The processes share the cores, and results do not depend on how many processes there are.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
