"""Plots of the shop: its sales and prices by week, its demand, and where the recommended prices earn more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from .drawing import ACCENT, GREY, INK, NARROW, PALE, WIDTH, plot

_LOSS = "#b3541e"


@plot
def sales_plot(figure: Figure, sales: Mapping[str, Any]) -> str:
    """Draw units sold by week, and the forecast of the held-out weeks."""
    weeks, units = _days(sales["weeks"]), np.array(sales["units"], dtype=float)
    ahead, forecast = _days(sales["forecast_weeks"]), np.array(sales["forecast"], dtype=float)
    axis = figure.add_subplot()
    axis.axvspan(ahead[0], ahead[-1], color=PALE, alpha=0.4, linewidth=0)
    axis.plot(weeks, units, color=GREY, linewidth=1.2)
    axis.plot(ahead, forecast, color=ACCENT, linewidth=1.8, marker="." if len(ahead) == 1 else None)
    axis.set(ylim=(0, None), title="units sold (grey), forecast of the held-out weeks (blue)")
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))
    _dates(axis)
    held = np.isin(weeks, ahead)
    return (
        f"Units sold in {len(weeks)} weeks or days; in the {held.sum()} held-out ones {units[held].sum():,.0f}, "
        f"forecast {forecast.sum():,.0f}."
    )


@plot
def planned_plot(figure: Figure, prices: Mapping[str, Any], *, unit: str) -> str:
    """Draw the average price planned, that of the same weeks a year ago, and that of the last weeks."""
    ahead, recent = _days(prices["weeks"]), _days(prices["recent_weeks"])
    lines = {name: np.array(prices[name], dtype=float) for name in ("recent", "planned", "year_ago")}
    axis = figure.add_subplot()
    axis.plot(recent, lines["recent"], color=GREY, linewidth=1.2)
    axis.plot(ahead, lines["planned"], color=ACCENT, linewidth=1.8, marker="." if len(ahead) == 1 else None)
    axis.plot(ahead, lines["year_ago"], color=INK, linewidth=1.2, linestyle="--")
    axis.set_title(f"average price{f' ({unit})' if unit else ''}: charged (grey), planned (blue)")
    _dates(axis)
    said = {name: f"{np.nanmean(line):.2f}" for name, line in lines.items() if np.isfinite(line).any()}
    return (
        f"Average price, weighted by last year's units: {', '.join(f'{name} {mean}' for name, mean in said.items())}."
    )


@plot
def demand_plot(
    figure: Figure,
    product: str,
    charged: tuple[NDArray[np.float64], NDArray[np.float64]],
    curve: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    unit: str,
) -> str:
    """Draw units against price, (W,) each, a dot a week, with the market's curve, (G,) each."""
    figure.set_size_inches(NARROW, 2.3)
    axis = figure.add_subplot()
    axis.plot(*charged, "o", color=GREY, alpha=0.5, markersize=3.5, markeredgewidth=0)
    axis.plot(*curve, color=ACCENT, linewidth=1.8)
    # A week far above all others would press the rest onto the axis.
    top = 1.1 * max(np.quantile(charged[1], 0.98), curve[1][curve[0] >= charged[0].min()].max())
    axis.set(ylim=(0, top), title=f"units by price{f' ({unit})' if unit else ''}")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.grid()
    axis.set_axisbelow(True)
    return (
        f"{product}: units sold at {len(charged[0])} prices from {charged[0].min():.2f} to {charged[0].max():.2f}; "
        f"the fitted curve falls from {curve[1][0]:.0f} units at {curve[0][0]:.2f} to {curve[1][-1]:.0f} at {curve[0][-1]:.2f}."
    )


@plot
def bridge_plot(figure: Figure, steps: Sequence[tuple[str, float]], *, label: str) -> str:
    """Draw how the first amount becomes the last by the steps between them, all of one currency."""
    names, amounts = [name for name, _ in steps], np.array([amount for _, amount in steps])
    ends = np.concatenate([np.cumsum(amounts[:-1]), amounts[-1:]])
    starts = np.concatenate([[0.0], ends[:-2], [0.0]])
    y = np.arange(len(names))[::-1]
    figure.set_size_inches(WIDTH, 0.75 + 0.28 * len(names))
    axis = figure.add_subplot()
    colours = [GREY, *(ACCENT if amount >= 0 else _LOSS for amount in amounts[1:-1]), INK]
    axis.barh(y, ends - starts, left=starts, color=colours, height=0.62)
    low, high = min(starts[1:-1].min(), ends.min()), max(starts.max(), ends.max())
    room = 0.25 * (high - low or abs(high) or 1.0)
    # Bars that begin at 0 would hide steps of a few percent.
    left = 0.0 if low < 3 * (high - low) else low - room
    axis.set(xlim=(min(left, low - room) if low < 0 else left, high + room), ylim=(-0.7, len(names) - 0.3))
    for place, end, start, amount in zip(y, ends, starts, amounts, strict=True):
        inner = 0 < place < len(names) - 1
        text = f"{amount:+,.0f}" if inner else f"{amount:,.0f}"
        axis.annotate(
            text.replace("-", "−"), (max(end, start), place), xytext=(3, 0), textcoords="offset points", va="center"
        )
    axis.set_yticks(y, names)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel(label if left == 0 else f"{label}; the axis does not begin at 0", loc="right")
    return f"{label}: " + "; ".join(f"{name} {amount:+,.0f}" for name, amount in steps) + "."


def _days(values: Sequence[str]) -> NDArray[np.datetime64]:
    return np.array(values, dtype="datetime64[D]")


def _dates(axis: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.grid(axis="y")
