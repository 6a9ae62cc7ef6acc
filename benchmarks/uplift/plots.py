"""The plot of predicted against realised gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import whole_file

_BLUE, _RED, _GREY = "#0b5fa5", "#b3261e", "#667080"


def plot_gains(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Plot each shop's realised gain over its predicted one, with the 90% interval.

    Args:
        rows: Results of `assess_shop`.
        path: The file to write or to replace: .png, .svg or .pdf.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    predicted, gain = (np.array([row[name] for row in rows]) for name in ("predicted", "realised"))
    low, high = np.array([row["interval90"] for row in rows]).T
    covered = (low <= gain) & (gain <= high)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "uplift", "font.size": 9}):
        figure = Figure(figsize=(5, 4.6), layout="constrained")
        axis = figure.add_subplot()
        ends = np.array([min(low.min(), gain.min(), 0.0), max(high.max(), gain.max())])
        axis.plot(ends, ends, color=_GREY, linewidth=0.8, label="realised as predicted")
        for shown, colour, label in ((covered, _BLUE, "within the 90% interval"), (~covered, _RED, "outside")):
            if shown.any():
                axis.hlines(gain[shown], low[shown], high[shown], color=colour, linewidth=1, alpha=0.35)
                axis.plot(predicted[shown], gain[shown], "o", color=colour, markersize=4, label=label)
        axis.axhline(0, color=_GREY, linewidth=0.5, linestyle=":")
        axis.set(
            xlabel="predicted gain over regular prices, with its 90% interval", ylabel="realised gain", title=title
        )
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.legend(frameon=False, loc="upper left")
        axis.spines[["top", "right"]].set_visible(False)
        # Without a date, the same results make the same file.
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with whole_file(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
