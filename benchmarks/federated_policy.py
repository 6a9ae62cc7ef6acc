"""One pricing network for shops that share no rows: each alone, averaged over the shops, and with as many rows as all.

Run `python -m repricer.benchmarks.federated_policy [--sets N]`. Five sampled shops have six products each, with reference
prices and seasons. `alone` trains each by itself; `averaged` is federated averaging (McMahan et al. 2017): in each round all
shops start from the mean weights of the round before, which they imitate first, and train on their own market; weights
alone leave a shop. `more rows` trains each by itself on as many rows as all shops have together: a simulated market makes
as many as are asked for, so that this is what pooling could gain at most. Gains are over each shop's best fixed prices.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ..agents import Run, train
from ..evaluation import evaluate
from ..pricing import Policy
from ..scenarios import MarketSpec
from ..scenarios.sampler import sample_catalogue
from .customers import markdown

SHOPS, PRODUCTS, ROUNDS, ROWS, EPISODES = 5, 6, 3, 60_000, 200
_PARTS = ("reference_price", "season")


def shops(seed: int) -> list[MarketSpec]:
    """Shops with the same rules and products of their own."""
    return [sample_catalogue(PRODUCTS, seed, parts=_PARTS, assortment=1 + n) for n in range(SHOPS)]


def mean_actor(runs: Sequence[Run]) -> torch.nn.Module:
    """The mean of the shops' weights, which is all that they send."""
    actor = copy.deepcopy(runs[0].actor)
    states = [run.actor.state_dict() for run in runs]
    actor.load_state_dict({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]})
    return actor


def averaged(specs: Sequence[MarketSpec], rows: int) -> list[Policy]:
    """The policy of the last mean in each shop."""
    teachers: list[Policy | None] = [None] * len(specs)
    policies: list[Policy] = []
    for _ in range(ROUNDS):
        runs = [
            train(spec, steps=rows // ROUNDS, seed=0, teacher=teacher)
            for spec, teacher in zip(specs, teachers, strict=True)
        ]
        actor = mean_actor(runs)
        policies = [replace(run, actor=actor).policy for run in runs]
        teachers = [*policies]
    return policies


def gain(spec: MarketSpec, policy: Policy) -> float:
    """Expected objective over that of the best fixed prices, less one."""
    rows = {row["policy"]: row for row in evaluate(spec, [policy], episodes=EPISODES, seed=1).to_dict()["policies"]}
    best = next(row for name, row in rows.items() if name.startswith("best-fixed"))
    return rows[policy.name]["objective"]["mean"] / best["objective"]["mean"] - 1


def gains(seed: int, rows: int = ROWS) -> dict[str, float]:
    """Mean gain over the shops, by way of training."""
    specs = shops(seed)
    ways = {
        "alone": [train(spec, steps=rows, seed=0).policy for spec in specs],
        "averaged": averaged(specs, rows),
        "more rows": [train(spec, steps=rows * SHOPS, seed=0).policy for spec in specs],
    }
    return {
        way: float(np.mean([gain(spec, policy) for spec, policy in zip(specs, policies, strict=True)]))
        for way, policies in ways.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    rows = pd.DataFrame([gains(seed, given.rows) for seed in range(given.sets)])
    print(markdown(rows.assign(set=range(given.sets))))
    apart = rows.sub(rows["alone"], axis=0)
    print(
        markdown(
            pd.DataFrame({"mean": rows.mean(), "over alone": apart.mean(), "error of it": apart.sem()}).reset_index()
        )
    )


if __name__ == "__main__":
    main()
