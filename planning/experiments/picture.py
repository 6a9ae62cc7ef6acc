"""The picture of a plan: which store charges the test prices in which week, and what effects the experiment can see."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import norm

from ...evaluation.report.plots import ACCENT, INK, PALE, WIDTH, plot
from .effects import POWER
from .experiment import Experiment

_MOST_NAMED = 16


@plot
def plan_plot(figure: Figure, experiment: Experiment) -> str:
    """Draw stores x weeks by arm for the first group, and the probability of finding an effect over its size.

    Args:
        experiment: The plan.
    """
    plan = experiment.plan
    group, reading = plan.groups[0], next((each for each in plan.readings if each.measure == "arm"), plan.readings[0])
    figure.set_size_inches(2 * WIDTH, max(2.6, 1.0 + 0.16 * min(len(plan.stores), 40)))
    left, right = figure.subplots(1, 2)
    arms = np.repeat(experiment.arms[0], plan.block_weeks, axis=1)
    left.pcolormesh(arms, cmap=ListedColormap([PALE, ACCENT]), vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    named = plan.stores if len(plan.stores) <= _MOST_NAMED else ()
    left.set_yticks(np.arange(len(named)) + 0.5, named)
    left.set_xticks(np.arange(plan.weeks) + 0.5, [str(week + 1) for week in range(plan.weeks)])
    left.invert_yaxis()
    left.set(xlabel=f"week from {plan.first_day}", title=f"{group.name}: {group.change:+.0%} (blue) by store")
    bars = reading.analysis.height * reading.analysis.shape()[-1]
    sizes = np.linspace(0, 2 * reading.power.planning, 60)
    for found, colour, style, label in (
        (reading.power.planning, ACCENT, "-", "planning"),
        (reading.power.optimistic, INK, ":", "optimistic"),
    ):
        # The interval leaves zero where the estimate is beyond its half-width.
        error = max(found, 1e-9) / (bars + norm.ppf(POWER))
        right.plot(sizes, norm.cdf(sizes / error - bars), color=colour, linestyle=style, label=label)
    right.axhline(POWER, color=PALE, linewidth=0.8)
    if reading.measure == "arm":
        right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    what = "change of units" if reading.measure == "arm" else "elasticity"
    right.set(xlabel=f"{what}, {reading.name}", title="probability of finding it by the end", ylim=(0, 1.02))
    right.legend(frameon=False)
    return (
        f"{group.name} is at its test price in {arms.mean():.0%} of the weeks of {len(plan.stores)} stores; an effect of "
        f"{reading.power.planning:.2f} on {reading.name} is found in {POWER:.0%} of cases."
    )
