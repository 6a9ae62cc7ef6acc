"""A distilled policy: its size, its speed at batch 10,000 and what it keeps of the gain; the worst of four markets.

`python -m repricer.benchmarks.light` prints the table with all methods.
"""

from __future__ import annotations

import functools
from typing import Any

from repricer.agents import train
from repricer.agents.compression import compressed, parameters
from repricer.benchmarks.light import MARKETS, batch_rates
from repricer.serving.exporter.compression import kept

from .checks import check


@functools.cache
def _found() -> list[dict[str, Any]]:
    rows = []
    for name in MARKETS:
        run = train(name, steps=400_000, seed=0)
        student = compressed(run)[0]
        before, after = batch_rates(run, student)
        share = parameters(student.actor) / parameters(run.actor)
        rows.append({"share": share, "faster": after / before, **kept(run, student.policy)})
    return rows


@check("trust", "a distilled policy, parameters over those of the learned one (worst of four markets)", "<=", 0.1)
def parameters_left() -> float:
    return max(row["share"] for row in _found())


@check("trust", "a distilled policy, share of the gain over best fixed prices kept (worst of four markets)", ">=", 0.99)
def gain_kept() -> float:
    return min(row["kept"] for row in _found())


@check("trust", "a distilled policy at batch 10,000, times as fast (worst of four markets)", ">=", 2)
def faster() -> float:
    return min(row["faster"] for row in _found())
