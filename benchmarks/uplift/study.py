"""Many shops: one JSON file each, written as soon as it is known, so that a killed run continues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...atomic import write_json
from ...jobs import Failure, Job, Place, results
from .settings import StudySettings

OnShop = Callable[[dict[str, Any], int, int], None]


def run_study(
    settings: StudySettings,
    seeds: Iterable[int],
    out: Path,
    *,
    place: Place = Place(),  # noqa: B008  it is frozen
    on_shop: OnShop = lambda row, done, total: None,
) -> list[dict[str, Any]]:
    """Assess shops, except those whose results lie in a folder already.

    Args:
        settings: How the shops are drawn, fitted and evaluated.
        seeds: One per shop.
        out: Folder of the results; a file belongs to one shop under one set of settings.
        place: Where the shops are assessed; by default one after the other in this process.
        on_shop: Called with each result, the number of shops done and of all shops.

    Returns:
        One row per shop, in the order of the seeds.

    Raises:
        ValueError: There are no shops.
        RuntimeError: A shop that another process assessed ended with an error.

    Example:
        >>> rows = run_study(StudySettings("clean"), range(40), Path("runs/uplift"), place=Place(workers=2))  # doctest: +SKIP
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
    for seed, row in _assessed(settings, left, place):
        write_json(result_path(settings, seed, out), row)
        rows[seed] = row
        on_shop(row, len(rows), len(wanted))
    return [rows[seed] for seed in wanted]


def result_path(settings: StudySettings, seed: int, out: Path) -> Path:
    """The file of one shop's result."""
    return out / f"{settings.truth}-{settings.products}-{seed}-{settings.key(seed)}.json"


def _assessed(settings: StudySettings, seeds: list[int], place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    if place.on == "local" and (place.workers or 1) == 1:
        for seed in seeds:
            yield seed, _one(settings, seed)
        return
    jobs = [Job(f"{__name__}:assessed", {"settings": settings.to_dict(), "seed": seed}) for seed in seeds]
    for job, result in results(jobs, place, Path()):
        if isinstance(result, Failure):
            raise RuntimeError(f"shop {job.inputs['seed']} of {settings.truth}: {result.reason}")
        yield job.inputs["seed"], result


def assessed(inputs: dict[str, Any], _: Path) -> dict[str, Any]:
    """The result of one shop, as a job; it keeps nothing for a second start."""
    return _one(StudySettings(**inputs["settings"]), inputs["seed"])


def _one(settings: StudySettings, seed: int) -> dict[str, Any]:
    import joblib

    from .assess import assess_shop

    # The shops run side by side; the models of one shop do not.
    with joblib.parallel_config(backend="sequential"):
        return assess_shop(settings, seed)
