"""The suite's scenarios, its published results, and its scorer; and PPO trained on a scenario."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from ...agents.algorithms import algorithm, make_model
from ...agents.networks import one_thread
from ...agents.presets import installed_preset
from ...agents.settings import settings_from
from .adapter import OrdersAroundRule, Scale, measured

SEEDS = (42, 123, 456, 789, 1011, 2022, 3033, 4044, 5055, 6066)
"""Seeds of the suite's ten episodes of a scenario."""
PERIODS, MEAN_DEMAND = 30, 20
STEPS = 80_000
CHANGED = {"gae_lambda": 0.98, "batch_size": 480, "n_epochs": 10, "log_std_init": -1.5}
"""What differs from the preset: orders pay off only a lead time later, and what too high a level ordered stays."""


class Shipped(NamedTuple):
    """A scenario, with mean profits that the suite's authors publish and whose they are.

    Attributes:
        topology: "network" or "serial".
        demand: "stationary", or effects joined by a plus sign.
        goodwill: "yes" where demand depends on past service.
        unmet: "backlog" or "lost".
        newsvendor: Profit of the informed newsvendor rule.
        rule: Of the best rule.
        rule_by: Its name.
        rl: Of the best agent learned by reinforcement.
        rl_by: Its name.
        imitation: Of the best agent that imitates the oracle.
        imitation_by: Its name.
        programme: Of the stochastic programme that knows the mean demand.
        oracle: Of the plan that knows all demand.
    """

    topology: str
    demand: str
    goodwill: str
    unmet: str
    newsvendor: float
    rule: float
    rule_by: str
    rl: float
    rl_by: str
    imitation: float
    imitation_by: str
    programme: float
    oracle: float

    @property
    def name(self) -> str:
        """Name in the table."""
        goodwill = ["goodwill"] if self.goodwill == "yes" else []
        return ", ".join([self.topology, self.demand, *goodwill, self.unmet])

    def build(self) -> Any:
        """The scenario's `CoreEnv`; needs gym-invmgmt."""
        from gym_invmgmt import CoreEnv  # pyright: ignore[reportMissingImports]

        effects = [] if self.demand == "stationary" else self.demand.split("+")
        demand = {"effects": effects, "base_mu": MEAN_DEMAND, "use_goodwill": self.goodwill == "yes"}
        return CoreEnv(
            scenario=self.topology, demand_config=demand, num_periods=PERIODS, backlog=self.unmet == "backlog"
        )


def shipped() -> list[Shipped]:
    """The scenarios with their published results."""
    lines = Path(__file__).with_name("shipped.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    kinds = get_type_hints(Shipped)
    return [Shipped(**{name: kinds[name](text) for name, text in row.items()}) for row in rows]


def score(env: OrdersAroundRule, model: BaseAlgorithm | None = None) -> NDArray[np.float64]:
    """(seeds,) profits by the suite's own scorer.

    Args:
        env: The scenario.
        model: Who orders; by default the base-stock rule.
    """
    from gym_invmgmt import compute_kpis, run_episode  # pyright: ignore[reportMissingImports]

    def act(seen: NDArray) -> NDArray:
        return np.zeros(len(env.rule.buyer)) if model is None else model.predict(seen, deterministic=True)[0]

    profits = []
    for seed in SEEDS:
        run_episode(env, act, seed=seed)
        profits.append(compute_kpis(env)["total_profit"])
    return np.array(profits)


def learned(build: Any, *, run: int, steps: int = STEPS) -> tuple[BaseAlgorithm, Scale]:
    """PPO trained on a scenario, and what its observations are measured in.

    Args:
        build: Makes the scenario's `CoreEnv`.
        run: Number of the run, which its seeds follow from; they are none of the suite's.
        steps: Number of periods.
    """
    algo, preset = algorithm("ppo"), installed_preset("ppo")["default"]
    settings = settings_from(preset | CHANGED | {"product_wise": False}, {*algo.options, *preset})
    scale = measured(build())
    venv: Any = DummyVecEnv([lambda: OrdersAroundRule(build(), scale)] * settings.num_envs)
    with one_thread():
        model = make_model(algo, venv, settings, seed=10_000 * (run + 1)).learn(steps)
    return model, scale
