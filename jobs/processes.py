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
    left = list(reversed(jobs))
    suspects = list[Job]()
    while left:
        # A process that dies ends its pool. Which of the jobs that ran then was its end shows when each is alone.
        suspects += yield from _pool(left, place.workers or 1, scratch)
    for job in suspects:
        for _ in range(1, ATTEMPTS):
            if not (yield from _pool([job], 1, scratch)):
                break
        else:
            yield job, Failure(f"its process died, {ATTEMPTS} times; give it more memory")


def _pool(left: list[Job], workers: int, scratch: Path) -> Generator[Ended, None, list[Job]]:
    """Take jobs from the end of the list until it is empty or a process dies; those that ran then are returned."""
    running = dict[Future[Any], Job]()
    workers = min(workers, len(left))
    spawn = get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            while left or running:
                while left and len(running) < workers:
                    future = pool.submit(attempted, left[-1], scratch)
                    running[future] = left.pop()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
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
    """One thread a process, as the processes share the cores; results then do not depend on their number."""
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
