"""What experiments are worth: shops with known customers that run one for four weeks, or none, and their 26 weeks.

Results are kept in `runs/uplift` by shop, settings and code, so a run that was killed continues. `FIELD_SHOPS` caps the
number of shops for a quick look, `FIELD_FIRST` is the seed of the first.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from repricer.benchmarks.uplift import StudySettings
from repricer.benchmarks.uplift.experiments import run_experiments
from repricer.jobs import Place

from .checks import check
from .uplift import OUT

FIRST, SHOPS = int(os.environ.get("FIELD_FIRST", "400")), int(os.environ.get("FIELD_SHOPS", "24"))
CASE, PERCENT = f"{SHOPS} shops with deals, 26 weeks", 0.01


@functools.cache
def rows() -> list[dict[str, Any]]:
    """One result per shop."""
    settings, place = StudySettings("regular-and-deal", bounds="default"), Place(workers=os.cpu_count() or 1)
    return run_experiments(settings, range(FIRST, FIRST + SHOPS), OUT, place=place)


def gains(arm: str, when: str = "earned") -> np.ndarray:
    """What an arm earns beyond that of no experiment, as a share, by shop."""
    return np.array([row[when][arm] / row[when]["never"] - 1 for row in rows()])


def narrower(response: str) -> float:
    """By how much an experiment narrows an interval, the mean over the shops."""
    widths = np.array([[row["interval"][arm][response] for arm in ("planned", "never")] for row in rows()])
    return float(1 - (widths[:, 0] / widths[:, 1]).mean()) / PERCENT


@check("field", f"{CASE}: shops that earn more with a planned experiment than without", ">=", round(0.75 * SHOPS))
def better() -> float:
    return float((gains("planned") > 0).sum())


@check("field", f"{CASE}: of these, in the weeks after the experiment alone", ">=", round(0.75 * SHOPS))
def better_after() -> float:
    # Test prices may leave the ceiling that the sales set, where these customers are worth most: that is no information.
    after = [{arm: row["earned"][arm] - row["first"][arm] for arm in ("planned", "never")} for row in rows()]
    return float(sum(row["planned"] > row["never"] for row in after))


@check("field", f"{CASE}: planned experiments earn more than drawn ones, mean", ">=", 0, "%")
def planned_over_drawn() -> float:
    return float((gains("planned") - gains("random")).mean()) / PERCENT


@check("field", f"{CASE}: mean loss in the weeks of the experiment", "<=", 1, "%")
def cost() -> float:
    return -float(gains("planned", "first").mean()) / PERCENT


for _name, _words in {"own": "own response to regular prices", "category": "response of a category to all"}.items():

    @check("field", f"{CASE}: 90% interval of the {_words} narrower by", ">=", 30, "%")
    def interval(name: str = _name) -> float:
        return narrower(name)


@check("field", f"{CASE}: processor time of a shop", "<=", 120, "seconds")
def seconds() -> float:
    return float(np.mean([row["cpu_seconds"] for row in rows()]))
