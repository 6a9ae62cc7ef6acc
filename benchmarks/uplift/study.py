"""Many shops: one JSON file each, written as soon as it is known, so that a killed run continues."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...atomic import write_json
from .settings import StudySettings

OnShop = Callable[[dict[str, Any], int, int], None]


def run_study(
    settings: StudySettings,
    seeds: Iterable[int],
    out: Path,
    *,
    jobs: int = 1,
    on_shop: OnShop = lambda row, done, total: None,
) -> list[dict[str, Any]]:
    """Assess shops, except those whose results lie in a folder already.

    Args:
        settings: How the shops are drawn, fitted and evaluated.
        seeds: One per shop.
        out: Folder of the results; a file belongs to one shop under one set of settings.
        jobs: Processes.
        on_shop: Called with each result, the number of shops done and of all shops.

    Returns:
        One row per shop, in the order of the seeds.

    Raises:
        ValueError: There are no shops.

    Example:
        >>> rows = run_study(StudySettings("clean"), range(40), Path("runs/uplift"), jobs=2)  # doctest: +SKIP
    """
    wanted = list(seeds)
    if not wanted:
        raise ValueError("shops must be 1 or more; got 0; ask for one")
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[int, dict[str, Any]] = {}
    for seed in wanted:
        path = result_path(settings, seed, out)
        if path.is_file():
            rows[seed] = json.loads(path.read_text(encoding="utf-8"))
    for done, row in enumerate(rows.values(), start=1):
        on_shop(row, done, len(wanted))
    left = [seed for seed in wanted if seed not in rows]
    for seed, row in _assessed(settings, left, jobs):
        write_json(result_path(settings, seed, out), row)
        rows[seed] = row
        on_shop(row, len(rows), len(wanted))
    return [rows[seed] for seed in wanted]


def result_path(settings: StudySettings, seed: int, out: Path) -> Path:
    """The file of one shop's result."""
    return out / f"{settings.truth}-{settings.products}-{seed}-{settings.key(seed)}.json"


def _assessed(settings: StudySettings, seeds: list[int], jobs: int) -> Iterable[tuple[int, dict[str, Any]]]:
    if jobs == 1 or len(seeds) < 2:
        for seed in seeds:
            yield seed, _one(settings, seed)
        return
    # One thread per process: the processes share the cores.
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))
    try:
        pool = ProcessPoolExecutor(min(jobs, len(seeds)), mp_context=get_context("spawn"))
        with pool:
            futures = {pool.submit(_one, settings, seed): seed for seed in seeds}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        for name, value in threads.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _one(settings: StudySettings, seed: int) -> dict[str, Any]:
    import joblib

    from .assess import assess_shop

    # The shops run side by side; the models of one shop do not.
    with joblib.parallel_config(backend="sequential"):
        return assess_shop(settings, seed)
