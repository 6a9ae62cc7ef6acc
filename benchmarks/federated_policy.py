"""What a policy earns that a shop learns alone, and one that five shops learn together, over drawn shops.

`python -m repricer.benchmarks.federated_policy [--sets N]`: sets of five synthetic shops, each with a market fitted on
its own tables. Each shop is a process of its own; what is learned together goes over loopback, as `repricer train
--shops` does.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from ..agents import train
from ..agents.averaging import with_shops
from ..envs import rollout, seed_for
from ..evaluation import named_policy
from ..forecasting.federated import average
from ..scenarios import MarketSpec
from .customers import markdown
from .uplift import StudySettings, draw_shop
from .uplift.public_path import fit_files, write_files

SHOPS, WEEKS, PRODUCTS, KEY = 5, 52, 12, bytes(32)
STEPS, EPISODES = (5_000, 20_000, 80_000), 500


def market(seed: int) -> MarketSpec:
    """The market fitted on a drawn shop's tables."""
    settings = StudySettings("clean", products=PRODUCTS, weeks=WEEKS)
    shop = draw_shop(settings.truth, seed=seed, products=PRODUCTS, weeks=WEEKS)
    with tempfile.TemporaryDirectory() as folder:
        return fit_files(write_files(shop, Path(folder)), settings, seed).spec


def earned(seed: int, steps: int, port: int | None) -> float:
    """What a shop's policy earns on unseen customers over its best fixed prices, less 1."""
    shops = None
    if port is not None:
        shops = partial(with_shops, KEY, name=f"shop-{seed}", host="127.0.0.1", port=port)
    spec = market(seed)
    run = train(spec, steps=steps, settings={"product_wise": True}, shops=shops)
    unseen = {"episodes": EPISODES, "seed": seed_for("test", seed), "expected": True}
    learned, fixed = (
        rollout(spec, policy, **unseen).objective.mean() for policy in (run.policy, named_policy("best-fixed", spec))
    )
    return float(learned / fixed - 1)


def shares(seeds: range, steps: int, *, together: bool) -> list[float]:
    """The same of all shops of a set, each in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = threading.Thread(target=lambda: asyncio.run(average(KEY, shops=SHOPS, port=port)))
    if together:
        line.start()
    with ProcessPoolExecutor(SHOPS, mp_context=get_context("spawn")) as processes:
        work = partial(earned, steps=steps, port=port if together else None)
        found = list(processes.map(work, seeds))
    if together:
        line.join()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2, help="sets of five shops")
    sets = parser.parse_args().sets
    for steps in STEPS:
        alone, together = (
            np.array([shares(range(s * SHOPS, (s + 1) * SHOPS), steps, together=way) for s in range(sets)]).ravel()
            for way in (False, True)
        )
        gap = together - alone
        row = {
            "steps of each shop": steps,
            "alone": alone.mean(),
            "together": together.mean(),
            "difference": gap.mean(),
        }
        print(markdown(pd.DataFrame([row | {"±": gap.std(ddof=1) / np.sqrt(gap.size)}])), flush=True)


if __name__ == "__main__":
    main()
