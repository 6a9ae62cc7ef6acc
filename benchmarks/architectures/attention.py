"""Attention over the products of a category, against the shared row.

`python -m repricer.benchmarks.architectures.attention [MARKET[=STEPS] ...] [--seeds S]`: each market is learned with
both networks; with the shared row again, on as many times more rows as attention took more CPU time; and with a row a
market where products are few. Learning opens at the best fixed prices. Gains are over these, on the same test
customers; differences are paired by seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from ...agents import best_fixed, train
from ...envs import rollout, seed_for
from ...optimum import solve, upper_bound
from ...scenarios import MarketSpec, load_scenario
from ..customers import markdown

MARKETS = {"three-stocks": 60_000, "bench-10-full": 150_000, "bench-100": 154_000}
"""Markets with the rows that each run learns from."""
WAYS: dict[str, dict[str, Any]] = {
    "shared row": {},
    "attention": {"network": "attention"},
    "shared row, longer": {},
    "row a market": {"product_wise": False},
}
"""Settings by their name in the table."""
EPISODES, JOINT_TO = 2_000, 3


def learned(spec: MarketSpec, way: str, steps: int, seed: int) -> tuple[float, float]:
    """Mean money of an episode on the test customers, and the CPU seconds of the training."""
    started = time.process_time()
    policy = train(spec, steps=steps, seed=seed, settings=WAYS[way] | {"opening": "base-price"}).policy
    seconds = time.process_time() - started
    return earned(spec, policy), seconds


def earned(spec: MarketSpec, policy: Any) -> float:
    """Mean expected money of an episode on the test customers."""
    return float(rollout(spec, policy, episodes=EPISODES, seed=seed_for("test"), expected=True).objective.mean())


def runs(spec: MarketSpec, steps: int, seeds: int) -> pd.DataFrame:
    """Money, CPU seconds and rows of every way to learn, a row a seed."""
    ways, found = [way for way in WAYS if way != "row a market" or spec.sizes["N"] <= JOINT_TO], []
    for way in ways:
        learned(spec, way, 1, 0)  # compiles
    for seed in range(seeds):
        best_fixed(spec, seed=seed)  # kept for all runs, whose time it would not belong to
        seconds: dict[str, float] = {}
        for way in ways:
            longer = seconds["attention"] / seconds["shared row"] if way == "shared row, longer" else 1.0
            money, seconds[way] = learned(spec, way, round(steps * longer), seed)
            found.append({"way": way, "seed": seed, "money": money, "seconds": seconds[way], "rows": steps * longer})
            print(found[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(found)


def table(name: str, steps: int, seeds: int) -> pd.DataFrame:
    """The rows of a market."""
    spec = load_scenario(name)
    optimum, bound, fixed = solve(spec), upper_bound(spec), earned(spec, best_fixed(spec))
    # An optimum has met the same customers.
    most = np.nan if bound is None else bound.value
    most, all_runs = most if optimum is None else earned(spec, optimum.policy), runs(spec, steps, seeds)
    money, rows = all_runs.pivot(index="seed", columns="way", values="money"), []
    for way, own in all_runs.groupby("way", sort=False):
        more = 100 * (money[way] - money["shared row"]) / fixed
        rows.append(
            {
                "market": spec.name,
                "network": way,
                "rows": f"{own['rows'].mean():,.0f}",
                "CPU s": f"{own['seconds'].mean():.0f}",
                "over best fixed": f"{100 * (own['money'].mean() / fixed - 1):+.2f}%",
                "worst seed": f"{100 * (own['money'].min() / fixed - 1):+.2f}%",
                "of the optimum or its bound": f"{own['money'].mean() / most:.2%}",
                "points over shared row": "" if not np.any(more) else f"{more.mean():+.2f} ± {more.sem():.2f}",
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Print the tables, a market as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("markets", nargs="*", default=[f"{name}={steps}" for name, steps in MARKETS.items()])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for market in asked.markets:
        name, _, steps = market.partition("=")
        print(markdown(table(name, int(steps or MARKETS.get(name, 200_000)), asked.seeds)), flush=True)


if __name__ == "__main__":
    main()
