"""A plot of the sales summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import whole_file
from .schema import DataError
from .summary import SalesSummary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".svg", ".pdf")
_SHOWN = 10
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def check_plot_path(path: Path) -> None:
    """Check that a plot can be written to this file, before the work for it is done.

    Args:
        path: The file.

    Raises:
        DataError: Its ending is not .png, .svg or .pdf.

    Example:
        >>> check_plot_path(Path("sales.png"))
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"the plot file must end in {', '.join(_SUFFIXES)}; got {path.name}; rename it")


def plot_summary(summary: SalesSummary, path: Path) -> None:
    """Plot revenue, units, discounts, prices, the largest categories (or else the best
    sellers) and seasons.

    Args:
        summary: What to plot.
        path: The file to write, or to replace: .png, .svg or .pdf.

    Raises:
        DataError: The file has another ending.

    Example:
        >>> plot_summary(sales_summary(tables), Path("sales.png"))  # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    check_plot_path(path)
    figure = Figure(figsize=(15, 12), layout="constrained")
    axes = figure.subplots(3, 2)
    weekly = summary.weekly
    _line(axes[0, 0], "revenue per week (currency)", weekly.index, weekly["revenue"])
    _line(axes[0, 1], "units per week", weekly.index, weekly["units"])
    _line(axes[1, 0], "price index (first week = 1)", weekly.index, summary.price_index, bottom=None)
    _line(axes[1, 1], "discount on the regular price (%)", weekly.index, 100 * weekly["discount_share"])
    axes[1, 1].set_ylim(top=max(5.0, 110 * weekly["discount_share"].max()))
    _mark_stockouts(axes[0, 1], summary)
    best = summary.top_products if summary.categories is None else summary.categories.head(_SHOWN)
    labels = best["category" if summary.categories is not None else "name" if "name" in best else "product"]
    axes[2, 0].barh([str(label)[:40] for label in labels][::-1], best["revenue"].tolist()[::-1])
    shown = "best sellers" if summary.categories is None else "largest categories"
    axes[2, 0].set_title(f"revenue of the {shown} (currency)")
    names = [_MONTHS[month - 1] for month in summary.seasonality.index]
    axes[2, 1].bar(names, summary.seasonality.tolist())
    axes[2, 1].bar([_WEEKDAYS[day - 1] for day in summary.weekdays.index], summary.weekdays.tolist())
    axes[2, 1].axhline(1.0, color="black", linewidth=0.8)
    axes[2, 1].set_title("revenue per day by month and by weekday (mean = 1)")
    axes[2, 1].tick_params(axis="x", labelrotation=90)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))


def _line(axes: Axes, title: str, weeks: pd.Index, values: pd.Series, bottom: float | None = 0.0) -> None:
    axes.plot(weeks, values, marker="." if len(weeks) < 20 else None)
    axes.set_title(title)
    axes.set_ylim(bottom=bottom)
    axes.tick_params(axis="x", labelrotation=30)


def _mark_stockouts(axes: Axes, summary: SalesSummary) -> None:
    """Mark the weeks in which a product was sold out: units are then below demand."""
    if summary.stockouts is None:
        return
    weeks = summary.stockouts[summary.stockouts > 0].index
    axes.plot(weeks, summary.weekly.loc[weeks, "units"], "x", label="a product sold out")
    if len(weeks):
        axes.legend()
