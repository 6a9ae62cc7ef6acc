"""Fitted markets: what was learned is never below the plan that it opened at, and keeps the floor; no blend with the
current prices beats it.

`FITTED` names markets, between semicolons, for a part of them.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from repricer.agents import train
from repricer.agents.posterior import current_prices
from repricer.agents.posterior.best_plan import PLAN, best_plan
from repricer.benchmarks.uplift.settings import StudySettings
from repricer.benchmarks.uplift.shop import draw_shop, fitted_files, write_files
from repricer.data.complete_journey import load_complete_journey
from repricer.data.product_selection import choose_products
from repricer.evaluation.uncertainty import compare_draws
from repricer.fitting import fit
from repricer.pricing import BlendedPrice, Policy
from repricer.scenarios import MarketSpec, floor_market, load_scenario

from .checks import check
from .shops import fit_folder

SEEDS, DRAWS, EPISODES = range(3), 48, 4
SHARES = (0.25, 0.5, 0.75)
_POINT = 0.01


def _shop(seed: int) -> MarketSpec:
    """A synthetic shop whose customers answer to deals and to regular prices in two ways."""
    settings = StudySettings("regular-and-deal", bounds="default")
    shop = draw_shop(settings.truth, seed, settings.products, settings.weeks)
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="sequential"):
        return fitted_files(write_files(shop, Path(folder)), settings, seed).spec


def _grocer(categories: int, per_category: int) -> MarketSpec:
    """A market of the demo's grocer."""
    tables, _ = load_complete_journey(key=b"agents-fitted-key")
    return fit(tables, choose_products(tables, n_categories=categories, per_category=per_category)).spec


def _zone(number: int) -> MarketSpec:
    """A price zone of orange juice: the market of the weeks to come."""
    names = sorted(path.parent.name for path in fit_folder().glob("*/scenario.toml"))
    return load_scenario(str(fit_folder() / names[number]))


MARKETS: dict[str, Callable[[], MarketSpec]] = {
    "grocer, 7 categories": lambda: _grocer(7, 4),
    "grocer, 11 categories": lambda: _grocer(11, 4),
    **{f"orange juice, zone {n + 1}": functools.partial(_zone, n) for n in range(3)},
    **{f"regular-and-deal, shop {seed}": functools.partial(_shop, seed) for seed in range(3, 7)},
}
if asked := os.environ.get("FITTED"):
    MARKETS = {name: MARKETS[name] for name in asked.split(";")}


class Learned(NamedTuple):
    """What three runs came to in one market, the worst of them; shares of what the plan earns.

    Attributes:
        over_plan: What the kept policy earns over the plan in the judged market.
        blend: What the best blend with the current prices earns over the kept policy.
        floor: Profit at the floor's costs less that of the current prices, as a share of its size; 0 without a floor.
        kept: How many runs kept what was learned.
        adds: Mean of what learning added, by the runs themselves.
        over_current: What the plan earns over the current prices.
    """

    over_plan: float
    blend: float
    floor: float
    kept: int
    adds: float
    over_current: float


def _profits(spec: MarketSpec, policies: list[Policy]) -> dict[str, float]:
    """Mean profit at the costs of a market's floor, by all sales: each half alone says less of it."""
    floor = floor_market(spec)
    if floor is None:
        return dict.fromkeys((policy.name for policy in policies), 1.0)
    whole = replace(floor, halves=None)
    compared = compare_draws(whole, policies, draws=whole.num_draws, episodes=EPISODES, assumed=spec)
    return {policy.name: float(compared.expected[policy.name][1].mean()) for policy in policies}


@functools.cache
def learned(name: str, algo: str = "ppo", seeds: int = len(SEEDS)) -> Learned:
    """Runs with all defaults in one market, judged over posterior draws."""
    spec = MARKETS[name]()
    own, plan = current_prices(spec), best_plan(spec)
    over, blends, floors, kept, adds, gain = [], [], [], 0, [], 0.0
    for seed in range(seeds):
        run = train(spec, algo=algo, seed=seed, steps=300_000)
        found = run.policy
        mixed = [BlendedPrice(found, own, share) for share in SHARES]
        compared = compare_draws(spec, [own, plan, found, *mixed], draws=DRAWS, episodes=EPISODES)
        over.append(compared.gain(found.name, PLAN).share)
        blends.append(max(compared.gain(each.name, found.name).share for each in mixed))
        profits = _profits(spec, [own, found])
        floors.append((profits[found.name] - profits[own.name]) / abs(profits[own.name]))
        kept += run.facts["kept"] == "learned"
        adds.append(run.facts["beside_plan"]["learning_adds"])
        gain = compared.gain(PLAN, own.name).share
    result = Learned(min(over), max(blends), min(floors), kept, float(np.mean(adds)), gain)
    print(f"    {name}, {algo}: {result}", flush=True)
    return result


def _register(name: str) -> None:
    @check("agents", f"{name}: PPO over the plan, the worst of three runs", ">=", -0.3, "%")
    def over_plan() -> float:
        return learned(name).over_plan / _POINT

    @check(
        "agents", f"{name}: the best blend with the current prices over PPO, the worst of three runs", "<=", 0.3, "%"
    )
    def blend() -> float:
        return learned(name).blend / _POINT

    @check("agents", f"{name}: profit of PPO over that of the current prices at the floor's costs", ">=", -0.1, "%")
    def floor() -> float:
        return learned(name).floor / _POINT


for _name in MARKETS:
    _register(_name)


def _register_other(algo: str, name: str) -> None:
    @check("agents", f"{name}: {algo} over the plan", ">=", -1.0, "%")
    def over_plan() -> float:
        return learned(name, algo, 1).over_plan / _POINT


for _algo in ("sac", "a2c"):
    for _name in list(MARKETS)[-3:]:
        _register_other(_algo, _name)
