"""PPO on the markets of gym-invmgmt: `python -m repricer.benchmarks.inventory.networks`.

Shown is the mean profit over the suite's ten episodes, with its standard error over the training runs, beside the
published results of others. Words restrict the table to scenarios whose names hold all of them.
"""

from __future__ import annotations

import importlib.util
import sys
import time

import numpy as np

from .adapter import OrdersAroundRule
from .suite import STEPS, Shipped, learned, score, shipped

RUNS = 3


def ours(scenario: Shipped) -> tuple[float, float]:
    """Mean profit of the runs, and its standard error."""
    means = []
    for run in range(RUNS):
        model, scale = learned(scenario.build, run=run)
        means.append(score(OrdersAroundRule(scenario.build(), scale), model).mean())
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(RUNS))


def main() -> None:
    """Print the table in Markdown."""
    if importlib.util.find_spec("gym_invmgmt") is None:
        sys.exit("this benchmark needs the suite; it is not installed; run pip install gym-invmgmt")
    started, off = time.process_time(), []
    scenarios = [each for each in shipped() if all(word in each.name for word in sys.argv[1:])]
    if not scenarios:
        words = " and ".join(sys.argv[1:])
        sys.exit(f"no scenario has {words} in its name; the first is '{shipped()[0].name}'; use words of such names")
    print(f"| {STEPS:,} steps, {RUNS} runs | ours | best RL | best imitation | best rule | programme | oracle |")
    print("|---|---|---|---|---|---|---|")
    for each in scenarios:
        off.append(score(OrdersAroundRule(each.build())).mean() - each.newsvendor)
        mean, error = ours(each)
        print(
            f"| {each.name} | {mean:,.0f} ± {error:.0f} | {each.rl:,.0f} ({each.rl_by}) "
            f"| {each.imitation:,.0f} ({each.imitation_by}) | {each.rule:,.0f} ({each.rule_by}) "
            f"| {each.programme:,.0f} | {each.oracle:,.0f} |",
            flush=True,
        )
    print(f"\nThe newsvendor rule scored here is within {np.abs(off).max():.3f} of the published profit everywhere.")
    print(f"{(time.process_time() - started) / 60:.0f} minutes of CPU.")


if __name__ == "__main__":
    main()
