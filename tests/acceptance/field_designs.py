"""Experiments in simulated chains: coverage on all looks, widths, power, false alarms.

Chains of 12 to 60 stores of different sizes, with a week, a season, shocks that last, days on which stores are closed and
stores that close for good; customers take days to get used to a price, and what a store did before goes on for days.
"""

from __future__ import annotations

import functools
import os

import joblib
import numpy as np
from repricer.planning.experiments.designs import DESIGNS, Design
from repricer.planning.experiments.effects import POWER, Cells, calibrated
from scipy.stats import t as student_t

from ..planning.experiments.chain import draw_chain, felt
from .checks import check

COUNT = int(os.environ.get("FIELD_EXPERIMENTS", "2000"))
SEED = int(os.environ.get("FIELD_SEED", "1"))
BLOCKS = {"stores": (1, 8), "switchback": (4, 2), "both": (4, 2)}
EFFECTS, PASTS = (0.0, 0.05, -0.08, -0.2), (182, 364)
COVERED, RATIO, ALARM, FOUND = range(4)


def experiment(kind: str, seed: int) -> tuple[bool, float, bool, float]:
    """Whether all looks cover the effect, the width at the end against that of a fixed end, whether an experiment without
    an effect raises an alarm, and the effect that would have been found, relative to the planned detectable one.
    """
    random = np.random.default_rng([SEED, seed, DESIGNS.index(kind)])
    stores, past = int(random.integers(12, 61)), int(random.choice(PASTS))
    blocks, block_weeks = BLOCKS[kind]
    days, effect = 7 * blocks * block_weeks, random.choice(EFFECTS)
    chain = draw_chain(random, stores, past + days, days)
    history = chain.sold(random)[:, :past]
    design = Design(kind, blocks, block_weeks, 7, np.log1p(np.nanmean(history[:, -56:], axis=1))[:, None])
    cells = Cells.of_groups(stores, np.ones(1))
    analysis, power = calibrated(cells, history, design, random)
    z, read = cells.regressor(design, design.draw(random, 1))

    def looks(size: float):
        factor = np.pad(1 + size * felt(z), ((0, 0), (past, 0)), constant_values=1.0)
        path = analysis.path(cells, history, chain.sold(random, factor)[:, past:], z, read)
        return path, *analysis.interval(path)

    path, low, high = looks(effect)
    seen = np.isfinite(low)
    covered = bool(((low <= effect) & (effect <= high))[seen].all())
    fixed = float(student_t.ppf(0.975, stores - 2) * path.error[-1])
    null, low_null, high_null = looks(0.0)
    alarm = bool(((low_null > 0) | (high_null < 0))[np.isfinite(low_null)].any())
    needed = float(np.nanmin(analysis.height * analysis.shape() * null.error - null.effect))
    return covered, float(high[-1] - low[-1]) / 2 / fixed, alarm, needed / power.planning


@functools.cache
def experiments(kind: str) -> np.ndarray:
    """(COUNT, 4) results."""
    jobs = (joblib.delayed(experiment)(kind, seed) for seed in range(COUNT))
    return np.array(joblib.Parallel(os.cpu_count())(jobs), dtype=float)


def _register(kind: str) -> None:
    own = functools.partial(experiments, kind)

    @check("field", f"{kind}: experiments whose effect lies inside the interval on all daily looks", ">=", 0.94)
    def _() -> float:
        return own()[:, COVERED].mean()

    @check("field", f"{kind}: width at the planned end over that of a fixed horizon, median", "<=", 1.6, "times")
    def _() -> float:
        return float(np.median(own()[:, RATIO]))

    @check("field", f"{kind}: effect found in 80%, off the planned detectable effect", "<=", 10, "%")
    def _() -> float:
        return 100 * abs(float(np.quantile(own()[:, FOUND], POWER)) - 1)

    @check("field", f"{kind}: false alarms of experiments without an effect", "<=", 0.05)
    def _() -> float:
        return own()[:, ALARM].mean()


for _kind in DESIGNS:
    _register(_kind)
