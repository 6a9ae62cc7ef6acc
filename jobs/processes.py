"""Jobs on the cores of this machine, in processes of one thread each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from .job import ATTEMPTS, Ended, Failure, Job, Place, attempted

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(jobs: list[Job], place: Place, scratch: Path) -> Iterator[Ended]:
    """As `results`, on this machine."""
    left, starts = {job.key: job for job in jobs}, Counter[str]()
    while left:
        # A process that dies ends its pool; what has no result then starts in the next one.
        starts.update(left)
        for job, result in _pool(list(left.values()), place.workers, scratch):
            del left[job.key]
            yield job, result
        for key in [key for key in left if starts[key] >= ATTEMPTS]:
            yield left.pop(key), Failure(f"its process died, {ATTEMPTS} times; give it more memory")


def _pool(jobs: list[Job], workers: int, scratch: Path) -> Iterator[Ended]:
    """The jobs that end before a process dies."""
    with _one_thread(), ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(attempted, job, scratch): job for job in jobs}
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    continue
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
