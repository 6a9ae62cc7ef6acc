"""A sweep's results by algorithm: interquartile means over markets and seeds, as a table and as a chart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...atomic import whole_file
from ...evaluation import Estimate, interquartile_mean
from .run import DONE, FAILED, UNFIT

CHART_FILE = "summary.svg"
_BLUE, _GREY = "#0b5fa5", "#667080"


@dataclass(frozen=True)
class Summary:
    """One algorithm over all markets that it can learn.

    Attributes:
        algo: The algorithm.
        done: Trainings with a result.
        unfit: Trainings of markets that it cannot learn.
        failed: Trainings that ended with an error.
        scenarios: Markets with a result.
        gain: Interquartile mean of the gain over the best fixed prices, as a share of what they earn; None where that
            is always 0.
        share: Interquartile mean of the share of the exact optimum, on the markets that have one; None without any.
        seconds: Median time of a training.

    Example:
        >>> Summary("dqn", 0, 9, 0, scenarios=0, gain=None, share=None, seconds=None).to_dict()["unfit"]
        9
    """

    algo: str
    done: int
    unfit: int
    failed: int
    scenarios: int
    gain: Estimate | None
    share: Estimate | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        estimates = {name: one and one.to_dict() for name in ("gain", "share") for one in [getattr(self, name)]}
        return asdict(self) | estimates


def summarise(table: pd.DataFrame) -> list[Summary]:
    """Results by algorithm, the largest gain first.

    The interval is of a bootstrap stratified by market (Agarwal et al. 2021, see `interquartile_mean`): it holds
    what another set of seeds would change, not another set of markets.

    Args:
        table: Rows of `run_sweep`.

    Example:
        >>> rows = {"algo": ["a2c"] * 2, "scenario": "regimes", "state": "done", "gain_share": [0.02, 0.04]}
        >>> (found,) = summarise(pd.DataFrame(rows | {"share_of_optimum": 0.9, "seconds": 5.0}))
        >>> round(found.gain.mean, 3)
        0.03
    """
    found = [_summary(str(algo), rows) for algo, rows in table.groupby("algo", sort=False)]
    return sorted(found, key=lambda one: -np.inf if one.gain is None else one.gain.mean, reverse=True)


def _summary(algo: str, rows: pd.DataFrame) -> Summary:
    done = rows[rows["state"] == DONE]
    counts = [int((rows["state"] == state).sum()) for state in (DONE, UNFIT, FAILED)]
    if done.empty:
        return Summary(algo, *counts, scenarios=0, gain=None, share=None, seconds=None)
    known, gained = (done[done[name].notna()] for name in ("share_of_optimum", "gain_share"))
    return Summary(
        algo,
        *counts,
        scenarios=int(done["scenario"].nunique()),
        gain=None if gained.empty else interquartile_mean(gained["gain_share"], strata=gained["scenario"]),
        share=None if known.empty else interquartile_mean(known["share_of_optimum"], strata=known["scenario"]),
        seconds=float(done["seconds"].median()),
    )


def plot_summary(found: list[Summary], path: Path, title: str) -> None:
    """Draw the gain of each algorithm with its 95% interval as an SVG file.

    Args:
        found: Of `summarise`.
        path: The file.
        title: Title of the chart.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    shown = [(one.algo, one.gain) for one in reversed(found) if one.gain is not None]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "sweep", "font.size": 9}):
        figure = Figure(figsize=(6, 1.2 + 0.35 * len(shown)), layout="constrained")
        axis = figure.add_subplot()
        for place, (_, gain) in enumerate(shown):
            ends = [end if np.isfinite(end) else gain.mean for end in (gain.low, gain.high)]
            axis.hlines(place, ends[0], ends[1], color=_BLUE, linewidth=6, alpha=0.3)
            axis.plot(gain.mean, place, "|", color=_BLUE, markersize=12, markeredgewidth=2)
        axis.axvline(0, color=_GREY, linewidth=0.5, linestyle=":")
        axis.set_yticks(range(len(shown)), [algo for algo, _ in shown])
        axis.set(xlabel="gain over the best fixed prices: interquartile mean and 95% interval", title=title)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        axis.spines[["top", "right"]].set_visible(False)
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
