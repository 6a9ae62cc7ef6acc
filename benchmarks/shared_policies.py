"""What a policy earns that shops learn together, against that of each alone and one learned on all their rows.

`python -m repricer.benchmarks.shared_policies`: sets of five shops, each with
20 products of its own from one catalogue. The shops meet in a folder by the command `repricer train --shops`,
a process each. Gains are over the best fixed prices, in the market
of each shop (`own`) and in three shops that took no part and train nothing (`new`).
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..agents import Run, best_fixed, load_run, train
from ..envs import rollout, seed_for
from ..scenarios import MarketSpec, load_scenario
from .customers import markdown

SHOPS, NEW, PRODUCTS, EPISODES = 5, 3, 20, 512
SETS, STEPS = 3, (50_000, 200_000)
"""Sets of shops, and rows that each shop learns from."""
_SECONDS = 1_800
"""After which a shop that waits for the others is a failure of the benchmark."""


def together(names: Sequence[str], steps: int, folder: Path) -> list[Run]:
    """Train in the markets of these names, a process each."""
    key, place = folder / "shops.key", folder / "meeting"
    key.write_text(secrets.token_hex(32))
    place.mkdir()
    shared = ["--shops", str(place), "--shops-number", str(len(names)), "--shops-key", f"file:{key}"]
    calls = [
        ["train", name, "--steps", str(steps), "--out", str(folder / str(n)), "--shop-name", f"shop-{n}", *shared]
        for n, name in enumerate(names)
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "repricer.cli", *call], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for call in calls
    ]
    try:
        for process in running:
            _, output = process.communicate(timeout=_SECONDS)
            if process.returncode:
                raise RuntimeError(output)
    finally:
        for process in running:
            process.kill()
    return [load_run(folder / str(n)) for n in range(len(names))]


def gain(run: Run, spec: MarketSpec) -> float:
    """Percent that a policy earns more than the best fixed prices of a market."""
    policies = (run.policy_for(spec), best_fixed(spec))
    own, fixed = (
        rollout(spec, policy, episodes=EPISODES, seed=seed_for("test"), expected=True).objective.mean()
        for policy in policies
    )
    return 100 * float(own / fixed - 1)


def gains(seed: int, steps: int) -> dict[str, float]:
    """Mean gain of one set of shops, by way of learning, in their own markets and in new ones."""
    names = [f"catalogue:{PRODUCTS}:{seed}:{n}" for n in range(1, SHOPS + NEW + 1)]
    specs = [load_scenario(name) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        pooled = train(names[0], steps=SHOPS * steps, assortments=names[1:SHOPS])
        ways = {
            "alone": [train(name, steps=steps) for name in names[:SHOPS]],
            "together": together(names[:SHOPS], steps, Path(folder)),
            "pooled": [pooled] * SHOPS,
        }
        return {
            f"{way}, {where}": float(np.mean([gain(run, spec) for run, spec in pairs]))
            for way, runs in ways.items()
            for where, pairs in (
                ("own", list(zip(runs, specs, strict=False))),
                ("new", [(run, spec) for run in runs for spec in specs[SHOPS:]]),
            )
        }


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    for steps in STEPS:
        found = pd.DataFrame([gains(seed, steps) for seed in range(SETS)])
        row = {"steps": f"{steps:,}"} | found.mean().to_dict()
        for where in ("own", "new"):
            more = found[f"together, {where}"] - found[f"alone, {where}"]
            row |= {f"points over alone, {where}": more.mean(), f"its error, {where}": more.sem()}
        print(markdown(pd.DataFrame([row])), flush=True)


if __name__ == "__main__":
    main()
