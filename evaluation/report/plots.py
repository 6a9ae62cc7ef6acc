"""Drawing of the report's plots: one style, small SVG files, each with a text alternative."""

from __future__ import annotations

import base64
import functools
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from .price_map import PriceMap

ACCENT = "#0b5fa5"
INK = "#1f2933"
GREY = "#667080"
PALE = "#d5dae1"
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
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
}
# Inches: a phone shows the plots at about their own size.
WIDTH = 4.0
NARROW = 3.3
_PIXELS_PER_INCH = 96

P = ParamSpec("P")
Floats = NDArray[np.float64]
Paths = Mapping[str, Floats]
Names = Sequence[str]
# Marks of an axis of relative changes.
_TIMES = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20)
LOSS = "#b3541e"
_PAST = {"color": GREY, "linewidth": 1.2}
_AHEAD = {"color": ACCENT, "linewidth": 1.8}


@dataclass(frozen=True)
class Plot:
    """A plot as an SVG file, its text alternative, and its size in CSS pixels."""

    svg: bytes
    alt: str
    width: int
    height: int

    @property
    def source(self) -> str:
        """A data URI for an <img>."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


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
        return Plot(buffer.getvalue(), alt, width, height)

    return drawn


def _axis(figure: Figure, height: float = 2.6, width: float = WIDTH) -> Axes:
    """The only axis of a figure of this size, in inches."""
    figure.set_size_inches(width, height)
    return figure.add_subplot()


def _rows(figure: Figure, names: Names, label: str) -> tuple[Axes, NDArray[np.intp]]:
    """An axis with one row per name and a line at zero, and the places of the rows."""
    axis = _axis(figure, 0.75 + 0.21 * len(names))
    y = np.arange(len(names))[::-1]
    axis.axvline(0, color=INK, linewidth=0.8, zorder=0)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_yticks(y, [_short(name) for name in names])
    axis.set_xlabel(label, loc="right")  # a long label then extends below the names, not out of the plot
    axis.tick_params(axis="y", length=0, pad=8)  # room for the arrows
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.grid(axis="x")
    return axis, y


# The report's plots, sized for a phone.


@plot
def interval_plot(
    figure: Figure,
    names: Names,
    centre: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    label: str,
    strong: ArrayLike,
    hollow: ArrayLike | None = None,
    crossed: ArrayLike | None = None,
    room: float = 0.08,
    interval: str = "95%",
) -> str:
    """Draw dots with intervals, one row per name, and a line at zero.

    Args:
        centre: The dots.
        low, high: Ends of the intervals.
        strong: Rows in the accent colour, which set the limits of the axis; a dot beyond them becomes
            an arrow with its figure at the edge.
        hollow: A second, hollow dot per row.
        crossed: Where the second dot is a cross.
        room: Added on either side of the axis, as a share of it.
        interval: Coverage of the intervals, for the description.
    """
    middle = np.asarray(centre, float)
    ends = np.array([low, high], float)
    strong = np.asarray(strong, bool)
    axis, y = _rows(figure, names, label)
    for rows, colour in ((strong, ACCENT), (~strong, GREY)):
        axis.hlines(y[rows], ends[0, rows], ends[1, rows], color=colour, linewidth=2)
        axis.plot(middle[rows], y[rows], "o", color=colour, markersize=5)
    reach = np.concatenate([ends[:, strong].ravel(), middle[strong], [0.0]])
    reach = reach[np.isfinite(reach)]
    spare = room * (float(np.ptp(reach)) or 1.0)
    left = reach.min() - spare
    right = reach.max() + spare
    if hollow is not None:
        second = np.asarray(hollow, float)
        cross = np.asarray(crossed, bool)
        for marker, rows, colour, size in (("o", ~cross, GREY, 4.5), ("x", cross, INK, 5)):
            axis.plot(second[rows], y[rows], marker, markerfacecolor="white", color=colour, markersize=size)
        _arrows(axis, second, y, left, right)
    _arrows(axis, middle, y, left, right)
    axis.set_xlim(left, right)
    order = np.argsort(middle)
    listed = order[::-1] if len(names) <= 8 else order[[-1, 0]]
    parts = [f"{names[i]} {middle[i]:+.2f} ({interval} interval {ends[0, i]:.2f} to {ends[1, i]:.2f})" for i in listed]
    return f"{label}: " + ("" if len(names) <= 8 else f"{len(names)} rows, between ") + "; ".join(parts) + "."


@plot
def spread_plot(figure: Figure, names: Names, draws: Sequence[Floats], *, label: str, strong: Sequence[bool]) -> str:
    """Draw the distribution of a figure over draws, one row per name, and a line at zero.

    Args:
        draws: The values of each row. A thin line holds 90% of them, a thick one half; the dot is
            their mean.
        strong: Rows in the accent colour.
    """
    axis, y = _rows(figure, names, label)
    phrases = []
    for name, values, place, accent in zip(names, draws, y, strong, strict=True):
        low, lower, upper, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95], method="weibull")
        colour = ACCENT if accent else GREY
        axis.hlines(place, low, high, color=colour, linewidth=1.2)
        axis.hlines(place, lower, upper, color=colour, linewidth=4)
        axis.plot(values.mean(), place, "o", color=colour, markeredgecolor="white", markersize=5)
        phrases.append(f"{name} {values.mean():+.2f} (90% interval {low:.2f} to {high:.2f})")
    return f"{label}: " + "; ".join(phrases) + "."


def _arrows(axis: Axes, values: Floats, y: NDArray[np.intp], left: float, right: float) -> None:
    """Mark values beyond the axis by an arrow and their figure at its edge."""
    style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": INK, "fontsize": 7.5}
    for edge, marker, beyond, side, place in (
        (left, "<", values < left, 7, "left"),
        (right, ">", values > right, -7, "right"),
    ):
        for value, row in zip(values[beyond], y[beyond], strict=True):
            axis.plot(edge, row, marker, color=GREY, markersize=5, clip_on=False, zorder=3)
            text = f"{value:.1f}".replace("-", "−")
            axis.annotate(text, (edge, row), xytext=(side, 0), ha=place, **style)


@plot
def path_plot(
    figure: Figure, product: str, prices: Paths, units: Paths, *, period: str, dates: Names, labels: Names
) -> str:
    """Draw one product's mean price path above and its units below, (T,) per policy; keys are those of `LINES`.

    Args:
        labels: What stands above each of the two.
    """
    figure.set_size_inches(NARROW, 2.7)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for axis, paths, title in ((top, prices, labels[0]), (bottom, units, labels[1])):
        for kind, path in paths.items():
            # One period makes no line.
            axis.plot(np.arange(1, len(path) + 1), path, marker="." if len(path) == 1 else None, **LINES[kind])
        axis.set_title(title)
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.grid(axis="y")
    _at_least(top, 0.1 * sum(top.get_ylim()) / 2)  # a nearly constant price should look constant
    bottom.set_ylim(bottom=0)
    _period_axis(bottom, period, dates)
    ends = {kind: (f"{path[0]:.2f}", f"{path[-1]:.2f}") for kind, path in prices.items()}
    moves = [f"{kind} {f'{a} at both ends' if a == b else f'from {a} to {b}'}" for kind, (a, b) in ends.items()]
    sold = [f"{kind} {np.nanmean(path):.1f}" for kind, path in units.items()]
    return (
        f"{product} by {period}. {labels[0]}, first to last {period}: {', '.join(moves)}. "
        f"{labels[1]}, mean: {', '.join(sold)}."
    )


def _at_least(axis: Axes, span: float) -> None:
    """Widen the vertical axis to this span where it is narrower."""
    low, high = axis.get_ylim()
    lacking = max(0.0, span - (high - low))
    axis.set_ylim(low - lacking / 2, high + lacking / 2)


@plot
def map_plot(figure: Figure, found: PriceMap, *, period: str, unit: str, dates: Names = ()) -> str:
    """Draw the price by period (x) and stock or reference price (y); 90% of visits lie between the dotted lines."""
    assert np.isfinite(found.price).any(), f"empty plot: {found.product}"
    axis = _axis(figure, 2.5, NARROW)
    money = f" ({unit})" if unit else ""
    levels = "units on hand" if found.axis == "on_hand" else f"reference price{money}"
    across = found.periods + 1.0
    up = found.levels
    extent = (*_edges(across), *_edges(up))
    axis.set_facecolor(PALE)
    given: dict[str, Any] = {"cmap": "cividis", "origin": "lower", "aspect": "auto", "interpolation": "none"}
    picture = axis.imshow(found.price, extent=extent, **given)
    figure.colorbar(picture, ax=axis, fraction=0.08, pad=0.03, ticks=MaxNLocator(4)).ax.tick_params(length=0)
    halo = [withStroke(linewidth=3, foreground="white")]
    for edge in found.band:
        axis.plot(across, edge, ":", color=INK, linewidth=1.3, path_effects=halo)
    axis.set(xlim=extent[:2], ylim=extent[2:], title=f"{levels}; colour: list price{money}")
    _period_axis(axis, period, dates)
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=found.axis == "on_hand"))
    extremes = []
    for word, place in (("lowest", np.nanargmin(found.price)), ("highest", np.nanargmax(found.price))):
        i, j = np.unravel_index(place, found.price.shape)
        when = f"in {period} {_period(across[j], dates)} at {up[i]:.4g} {levels}"
        extremes.append(f"{word} {found.price[i, j]:.2f} {when}")
    return f"List price of {found.product} by {period} and {levels}: {', '.join(extremes)}."


def _period_axis(axis: Axes, period: str, dates: Names) -> None:
    """Label the periods from 1, or by their dates."""
    axis.set_xlabel(f"first day of the {period}" if dates else period)
    axis.xaxis.set_major_locator(MaxNLocator(3 if dates else 6, integer=True))
    axis.xaxis.set_major_formatter(lambda number, _: _period(number, dates))


def _period(number: float, dates: Names) -> str:
    """A period, counted from 1, as the plots call it."""
    place = round(number) - 1
    if not dates:
        return f"{place + 1}"
    return dates[place] if 0 <= place < len(dates) else ""


def _edges(values: NDArray[np.floating]) -> tuple[float, float]:
    """The outer edges of cells around evenly spaced values."""
    half = np.ptp(values) / (2 * (len(values) - 1)) if len(values) > 1 else 0.5
    return float(values[0] - half), float(values[-1] + half)


@plot
def index_plot(figure: Figure, path: Any) -> str:
    """Draw a basket index by week, the past ones grey, with a line at 1 and one at its bound.

    Args:
        path: A `serving.price_list.image.IndexPath`.
    """
    axis = _axis(figure, 2.3, NARROW)
    days = [day.isoformat() for day in path.weeks]
    value = np.array(path.index, float)
    week = np.arange(1, len(path.index) + 1)
    for part, style in ((slice(path.past + 1), _PAST), (slice(path.past, None), _AHEAD)):
        axis.plot(week[part], value[part], marker="." if len(week[part]) == 1 else None, **style)
    axis.axhline(1, color=INK, linewidth=0.8, linestyle="--")
    if path.bound is not None:
        axis.axhline(path.bound, color=LOSS, linewidth=1.0, linestyle=":")
    axis.set_title(f"index, {path.base} are 1")
    axis.grid(axis="y")
    _at_least(axis, 0.02)
    _period_axis(axis, "week", days)
    here = np.flatnonzero(np.isfinite(value))
    ends = [f"{value[n]:.3f} in the week of {days[n]}" for n in here[[0, -1]]]
    most = "" if path.bound is None else f", at most {path.bound:.3f} by the price rules"
    return f"Basket index of {path.zone} against {path.base}: {ends[0]}, {ends[1]}{most}."


@plot
def learning_plot(
    figure: Figure, history: Sequence[Mapping[str, float]], best: Mapping[str, float], *, objective: str, unit: str
) -> str:
    """Draw the gain over the best fixed prices by training step; the kept policy, whose validation is `best`, is ringed."""
    steps, gain, error, scale = (_column([*history, best], name) for name in ("steps", "gain", "gain_se", "best_fixed"))
    if unit == "%":
        gain = 100 * gain / scale
        error = 100 * error / scale
    (steps, kept), (gain, earned), (error, doubt) = ((each[:-1], each[-1]) for each in (steps, gain, error))
    axis = figure.add_subplot()
    axis.fill_between(steps, gain - 2 * error, gain + 2 * error, color=ACCENT, alpha=0.2, linewidth=0)
    axis.plot(steps, gain, ".-", color=ACCENT)
    axis.plot(kept, earned, "o", markerfacecolor="none", color=INK, markersize=9)
    axis.annotate("kept", (kept, earned), xytext=(0, 8), textcoords="offset points", ha="center")
    axis.axhline(0, color=INK, linewidth=0.8, linestyle="--")
    axis.margins(y=0.18)
    # Policies that earn the same to the last digits should look the same.
    _at_least(axis, 0.1 if unit == "%" else 1e-3 * float(np.abs(scale).max()))
    axis.set(xlabel="training steps", title=f"{objective} above the best fixed prices ({unit})")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.grid(axis="y")
    return (
        f"{objective.capitalize()} above the best fixed prices in {unit}, at {len(steps)} validations: "
        f"from {gain[0]:+.2f} at {steps[0]:,.0f} steps to {gain[-1]:+.2f} at {steps[-1]:,.0f}; "
        f"the policy kept is that of {kept:,.0f} steps with {earned:+.2f} (two standard errors: {2 * doubt:.2f})."
    )


@plot
def fidelity_plot(figure: Figure, products: Sequence[Mapping[str, Any]]) -> str:
    """Draw units sold in the fitted market against actual units, one dot per product, with the line of equality."""
    actual = _column(products, "actual_units")
    simulated = _column(products, "simulated_units")
    axis = _axis(figure, 3.4)
    axis.plot(actual, simulated, "o", color=ACCENT, alpha=0.7, markersize=5)
    both = np.concatenate([actual, simulated])
    low = float(np.nanmin(both))
    high = float(np.nanmax(both))
    spare = 0.06 * (high - low) or 1.0
    ends = [low - spare, high + spare]
    if low > 0 and high > 30 * low:
        axis.loglog()
        ends = [low / 1.3, high * 1.3]
    for side in (axis.xaxis, axis.yaxis):
        if side.get_scale() == "linear":
            side.set_major_locator(MaxNLocator(5))
        # The default formatter of logarithms writes formulas, which are not parsed here.
        side.set_major_formatter(EngFormatter(sep=""))
        side.set_minor_formatter(NullFormatter())
    _equal_axes(axis, ends)
    axis.set(xlabel="actual units sold", title="units sold in the fitted market")
    close = ""
    if len(products) > 2 and np.ptp(actual) and np.ptp(simulated):
        close = f"; correlation {np.corrcoef(actual, simulated)[0, 1]:.2f}"
    return f"Units sold in the fitted market against actual units sold, {len(products)} products{close}."


@plot
def changes_plot(figure: Figure, changes: Sequence[Mapping[str, Any]]) -> str:
    """Draw the realised change in units against the predicted one, in logs, one dot per price change."""
    predicted = _column(changes, "predicted")
    realised = _column(changes, "realised")
    axis = _axis(figure, 3.4)
    axis.plot(predicted, realised, "o", color=ACCENT, alpha=0.5, markersize=4)
    reach = 1.05 * float(np.abs(np.concatenate([predicted, realised])).max()) or 1.0
    marks = [(mark, np.log(mark)) for mark in _TIMES if abs(np.log(mark)) <= reach]
    for side in (axis.xaxis, axis.yaxis):
        side.set_ticks([place for _, place in marks], [f"×{mark:.3g}" for mark, _ in marks])
    _equal_axes(axis, [-reach, reach])
    axis.set(xlabel="predicted change in units", title="realised change in units")
    return (
        f"Realised against predicted change in units at {len(changes)} price changes of the held-out weeks; predicted "
        f"changes lie between {np.exp(predicted.min()):.2f} and {np.exp(predicted.max()):.2f} times what was sold before."
    )


@plot
def calibration_plot(figure: Figure, calibration: Mapping[str, Any]) -> str:
    """Draw the share of actual sales in each tenth of the simulated sales, with a line at equal shares."""
    shares = np.array(calibration["pit"])
    axis = _axis(figure, 2.4)
    axis.bar(np.arange(len(shares)) + 0.5, 100 * shares, width=0.92, color=ACCENT, alpha=0.7)
    axis.axhline(100 / len(shares), color=INK, linewidth=0.8, linestyle="--")
    axis.set_xticks([0, len(shares) / 2, len(shares)], ["lowest", "median", "highest"])
    axis.set(xlim=(0, len(shares)), xlabel="position of actual sales among simulated sales")
    axis.set_title("% of products and periods")
    return (
        f"Share of actual sales in each tenth of the simulated sales, from lowest to highest: "
        f"{', '.join(f'{share:.0%}' for share in shares)}; equal shares would be {1 / len(shares):.0%} each."
    )


@plot
def trend_plot(figure: Figure, trend: Mapping[str, Any]) -> str:
    """Draw the shop's traffic by week or day and its forecast with a band."""
    history, forecast, low, high = (_floats(trend[name]) for name in ("history", "traffic", "low", "high"))
    axis = figure.add_subplot()
    axis.fill_between(_days(trend["forecast_weeks"]), low, high, color=ACCENT, alpha=0.2, linewidth=0)
    _by_date(axis, (trend["weeks"], history, _PAST), (trend["forecast_weeks"], forecast, _AHEAD))
    axis.set_title("traffic: history (grey), forecast with its band (blue)")
    return (
        f"Traffic: {len(history)} periods of history with mean {np.nanmean(history):,.0f}, "
        f"then a forecast of {len(forecast)} periods with mean {np.nanmean(forecast):,.0f}."
    )


def _equal_axes(axis: Axes, ends: list[float]) -> None:
    """The same range on both axes, with the line of equality."""
    axis.plot(ends, ends, color=INK, linewidth=0.8, linestyle="--", zorder=0)
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    axis.grid()


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=float)


def _short(name: str, limit: int = 24) -> str:
    """A long name shortened in the middle: names of one shop often differ only at the end."""
    tail = limit // 2 - 1
    return name if len(name) <= limit else f"{name[: limit - 1 - tail]}…{name[-tail:]}"


# Plots of the shop: its sales and prices by week, its demand, and where the recommended prices earn more.


@plot
def sales_plot(figure: Figure, sales: Mapping[str, Any]) -> str:
    """Draw units sold by week, and the forecast of the held-out weeks."""
    weeks = sales["weeks"]
    ahead = sales["forecast_weeks"]
    units = _floats(sales["units"])
    forecast = sales["forecast"]
    axis = figure.add_subplot()
    axis.axvspan(*_days([ahead[0], ahead[-1]]), color=PALE, alpha=0.4, linewidth=0)
    _by_date(axis, (weeks, units, _PAST), (ahead, forecast, _AHEAD))
    axis.set(ylim=(0, None), title="units sold (grey), forecast of the held-out weeks (blue)")
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    held = np.isin(weeks, ahead)
    return (
        f"Units sold in {len(weeks)} weeks or days; in the {held.sum()} held-out ones {units[held].sum():,.0f}, "
        f"forecast {sum(forecast):,.0f}."
    )


@plot
def planned_plot(figure: Figure, prices: Mapping[str, Any], *, unit: str) -> str:
    """Draw the average price planned, that of the same weeks a year ago, and that of the last weeks."""
    lines = {name: _floats(prices[name]) for name in ("recent", "planned", "year_ago")}
    ahead = prices["weeks"]
    axis = figure.add_subplot()
    _by_date(axis, (prices["recent_weeks"], lines["recent"], _PAST), (ahead, lines["planned"], _AHEAD))
    axis.plot(_days(ahead), lines["year_ago"], color=INK, linewidth=1.2, linestyle="--")
    axis.set_title(f"average price{f' ({unit})' if unit else ''}: charged (grey), planned (blue)")
    phrases = {name: f"{np.nanmean(line):.2f}" for name, line in lines.items() if np.isfinite(line).any()}
    return f"Average price, weighted by last year's units: {', '.join(f'{name} {mean}' for name, mean in phrases.items())}."


@plot
def demand_plot(
    figure: Figure, product: str, charged: tuple[Floats, Floats], curve: tuple[Floats, Floats], *, unit: str
) -> str:
    """Draw units against price, (W,) each, a dot a week, with the market's curve, (G,) each."""
    axis = _axis(figure, 2.3, NARROW)
    axis.plot(*charged, "o", color=GREY, alpha=0.5, markersize=3.5, markeredgewidth=0)
    axis.plot(*curve, color=ACCENT, linewidth=1.8)
    # A week far above all others would press the rest onto the axis.
    top = 1.1 * max(np.quantile(charged[1], 0.98), curve[1][curve[0] >= charged[0].min()].max())
    axis.set(ylim=(0, top), title=f"units by price{f' ({unit})' if unit else ''}")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.grid()
    return (
        f"{product}: units sold at {len(charged[0])} prices from {charged[0].min():.2f} to {charged[0].max():.2f}; "
        f"the fitted curve falls from {curve[1][0]:.0f} units at {curve[0][0]:.2f} to {curve[1][-1]:.0f} at {curve[0][-1]:.2f}."
    )


@plot
def bridge_plot(figure: Figure, steps: Sequence[tuple[str, float]], *, label: str) -> str:
    """Draw how the first amount becomes the last by the steps between them, all of one currency."""
    names = [name for name, _ in steps]
    amounts = np.array([amount for _, amount in steps])
    ends = np.concatenate([np.cumsum(amounts[:-1]), amounts[-1:]])
    starts = np.concatenate([[0.0], ends[:-2], [0.0]])
    axis = _axis(figure, 0.75 + 0.28 * len(names))
    y = np.arange(len(names))[::-1]
    colours = [GREY, *(ACCENT if amount >= 0 else LOSS for amount in amounts[1:-1]), INK]
    bars = axis.barh(y, np.abs(ends - starts), left=np.minimum(starts, ends), color=colours, height=0.62)
    texts = [f"{amount:{'+' if 0 < n < len(names) - 1 else ''},.0f}" for n, amount in enumerate(amounts)]
    axis.bar_label(bars, [text.replace("-", "−") for text in texts], padding=3)
    low = min(starts[1:-1].min(), ends.min())
    high = max(starts.max(), ends.max())
    room = 0.25 * (high - low or abs(high) or 1.0)
    # Bars that begin at 0 would hide steps of a few percent.
    left = 0.0 if low < 3 * (high - low) else low - room
    axis.set(xlim=(min(left, low - room) if low < 0 else left, high + room), ylim=(-0.7, len(names) - 0.3))
    axis.set_yticks(y, names)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel(label if left == 0 else f"{label}; the axis does not begin at 0", loc="right")
    return f"{label}: " + "; ".join(f"{name} {amount:+,.0f}" for name, amount in steps) + "."


def _days(values: Names) -> NDArray[np.datetime64]:
    return np.array(values, dtype="datetime64[D]")


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=float)


def _by_date(axis: Axes, *lines: tuple[Names, ArrayLike, Mapping[str, Any]]) -> None:
    """Draw lines over dates; one of a single date is a dot."""
    for dates, values, style in lines:
        axis.plot(_days(dates), values, marker="." if len(dates) == 1 else None, **style)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.grid(axis="y")
