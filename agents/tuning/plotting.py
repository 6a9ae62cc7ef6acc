"""A plot of a study's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import whole_file

_MARKS = {"complete": "o", "pruned": "x"}


def plot_trials(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the gain of each trial, the best so far and the preset (trial 0) as an SVG file.

    Failed trials are marked at the bottom; trials far below the others lie on the lower edge.

    Args:
        rows: As `Tuning.trials`, at least one of them complete.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    gains = np.array([np.nan if row["gain"] is None else row["gain"] for row in rows], dtype=float)
    state = np.array([row["state"] for row in rows])
    best = np.fmax.accumulate(np.where(state == "complete", gains, np.nan))
    low = _edge(gains[np.isfinite(gains)], float(np.nanmax(best)))
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axis = figure.add_subplot()
    for name, mark in _MARKS.items():
        chosen = np.flatnonzero((state == name) & np.isfinite(gains))
        axis.plot(chosen, np.maximum(gains[chosen], low), mark, label=name, clip_on=False)
    failed = np.flatnonzero(state == "failed")
    if failed.size:
        axis.plot(failed, np.full(failed.size, low), "v", label="failed", clip_on=False)
    axis.step(range(len(rows)), best, where="post", label="best so far")
    if state[0] == "complete":
        axis.axhline(gains[0], linestyle="--", linewidth=0.8, color="black", label="preset")
    axis.set(xlabel="trial", ylabel="gain over best fixed, money per episode")
    axis.set_ylim(bottom=low)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    with whole_file(path) as temporary, rc_context({"svg.hashsalt": "tuning"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _edge(gains: np.ndarray, best: float) -> float:
    """The lower limit of the plot: a single bad trial must not compress all others."""
    return float(max(gains.min(), best - 3 * max(best - np.median(gains), 1e-9 + 0.01 * abs(best))))
