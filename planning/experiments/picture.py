"""Pictures of an experiment: which store charges the test prices when, what effects it can see, and what it reads so far."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from scipy.stats import norm

from ...evaluation.report.plots import ACCENT, INK, PALE, WIDTH, plot
from .effects import POWER
from .experiment import Experiment
from .reading import ExperimentReading

_MOST_NAMED = 16


@plot
def plan_plot(figure: Figure, experiment: Experiment) -> str:
    """Draw stores x weeks by arm for the first group, and the probability of finding an effect over its size.

    Args:
        experiment: The plan.
    """
    plan = experiment.plan
    group = plan.groups[0]
    reading = next((each for each in plan.readings if each.measure == "arm"), plan.readings[0])
    figure.set_size_inches(2 * WIDTH, max(2.6, 1.0 + 0.16 * min(len(plan.stores), 40)))
    left, right = figure.subplots(1, 2)
    arms = np.repeat(experiment.arms[0], plan.block_weeks, axis=1)
    left.pcolormesh(arms, cmap=ListedColormap([PALE, ACCENT]), vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    first = f", the first of {len(plan.groups)} groups" if len(plan.groups) > 1 else ""
    named = plan.stores if len(plan.stores) <= _MOST_NAMED else ()
    left.set_yticks(np.arange(len(named)) + 0.5, named)
    left.set_xticks(np.arange(plan.weeks) + 0.5, [str(week + 1) for week in range(plan.weeks)])
    left.invert_yaxis()
    left.set(xlabel=f"week from {plan.first_day}", title=f"{group.name}{first}: {group.change:+.0%} (blue) by store")
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


@plot
def reading_plot(figure: Figure, experiment: Experiment, found: ExperimentReading) -> str:
    """Draw the first effect of an experiment over its days, with the interval that may be looked at on all of them.

    Args:
        experiment: The experiment.
        found: Its reading.
    """
    reading, (effect, low, high) = found.effects[0], (np.array(ends) for ends in found.looks)
    figure.set_size_inches(WIDTH, 3.0)
    axis = figure.add_subplot()
    days = np.arange(1, found.days + 1)
    axis.fill_between(days, low, high, color=PALE, linewidth=0, label="95%, on all days together")
    axis.plot(days, effect, color=ACCENT, label="so far")
    axis.axhline(0.0, color=INK, linewidth=0.6)
    shown = np.isfinite(effect)
    # The first looks say little; their interval would hide the later ones.
    reach = 4 * float(high[-1] - low[-1]) or 1.0
    axis.set(ylim=(effect[-1] - reach, effect[-1] + reach), xlim=(1, found.planned), xlabel="day of the experiment")
    what = "elasticity" if reading.measure == "elasticity" else f"change of {reading.outcome}"
    axis.set(ylabel=what, title=f"{experiment.plan.name}: {reading.name}")
    axis.legend(frameon=False)
    return (
        f"{what} of {reading.name} over {int(shown.sum())} looks: {reading.effect:+.2f}, between {reading.low:+.2f} and "
        f"{reading.high:+.2f} on the last."
    )
