"""How much the worst posterior draws and the mean gain move with the objective of training, over drawn shops.

`python -m repricer.benchmarks.risk [--seed N]` prints mean gain over current prices, and its mean in the worst
tenth of the draws, both in percent of what current prices earn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..agents import best_fixed, train
from ..agents.posterior import current_prices
from ..evaluation.uncertainty import compare_draws
from ..pricing import Policy
from ..scenarios import MarketSpec
from .customers import markdown
from .uplift import StudySettings, draw_shop
from .uplift.shop import fit_files, write_files

FAMILIES, STEPS, EPISODES = ("clean", "endogenous", "short"), 100_000, 16


def market(family: str, seed: int) -> MarketSpec:
    """The market fitted on a drawn shop's tables."""
    settings = StudySettings(family)
    with tempfile.TemporaryDirectory() as folder:
        return fit_files(write_files(draw_shop(family, seed=seed), Path(folder)), settings, seed).spec


def policies(spec: MarketSpec) -> Iterator[tuple[str, Policy]]:
    """What is compared, with its words."""
    yield "best fixed, of the mean market", best_fixed(replace(spec, posterior=None))
    yield "best fixed, over the draws", best_fixed(spec)
    yield "PPO in the mean market", train(spec, steps=STEPS, settings={"draws": 0}).policy
    yield "PPO over the draws", train(spec, steps=STEPS).policy
    yield "PPO with cvar:0.1", train(spec, steps=STEPS, risk="cvar:0.1").policy


def rows(family: str, seed: int) -> pd.DataFrame:
    """The table of a shop."""
    spec = market(family, seed)
    current, found = current_prices(spec), []
    for words, policy in policies(spec):
        gain = compare_draws(spec, [policy, current], episodes=EPISODES).gain(policy.name, current.name)
        figures = {"mean gain": f"{gain.share:.1%}", "worst tenth of the draws": f"{gain.cvar10 / abs(gain.base):.1%}"}
        found.append({"shop": f"{family}, {seed}", "prices": words} | figures)
    return pd.DataFrame(found)


def main() -> None:
    """Print the table, shop by shop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the shops")
    seed = parser.parse_args().seed
    for family in FAMILIES:
        print(markdown(rows(family, seed)), flush=True)


if __name__ == "__main__":
    main()
