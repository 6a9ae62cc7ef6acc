"""Drawing of the report's plots: one style, small SVG files, each with a text alternative."""

from __future__ import annotations

import base64
import functools
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

ACCENT, INK, GREY, PALE = "#0b5fa5", "#1f2933", "#667080", "#d5dae1"
LINES = {
    "learned": {"color": ACCENT, "linestyle": "-", "linewidth": 2.0},
    "paid": {"color": ACCENT, "linestyle": "-", "linewidth": 0.8},
    "best-fixed": {"color": INK, "linestyle": "--", "linewidth": 1.3},
    "historical": {"color": GREY, "linestyle": ":", "linewidth": 1.6},
}
"""How the line of each kind of policy is drawn; they differ without colour too."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, which the browser draws
    "svg.hashsalt": "report",  # the same data make the same file
    "figure.facecolor": "none",  # that of the page, dark or light
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Segoe UI", "Helvetica Neue", "Arial"],
    "font.size": 8.5,
    "text.parse_math": False,  # a product may be called "$1 off $5"
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.formatter.useoffset": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
}
WIDTH, NARROW = 4.0, 3.3  # inches; a phone shows them at about their own size
_PIXELS_PER_INCH = 96

P = ParamSpec("P")


@dataclass(frozen=True)
class Plot:
    """A plot for an <img>: data URI, text alternative, and size in CSS pixels."""

    source: str
    alt: str
    width: int
    height: int


def plot(draw: Callable[Concatenate[Figure, P], str]) -> Callable[P, Plot]:
    """Turn a function that draws on a figure and returns the alternative text into one that returns a Plot."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Plot:
        with rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has the glyphs
            figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
            alt = draw(figure, *args, **kwargs)
            for axis in figure.axes:
                assert np.isfinite(axis.dataLim.get_points()).all(), f"empty plot: {alt}"
            buffer = io.BytesIO()
            metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            figure.savefig(buffer, format="svg", metadata=metadata)
        width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
        source = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        return Plot(source, alt, width, height)

    return drawn
