"""Training on logged data alone: supervised deep pricing and offline reinforcement learning."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from ...envs import LearnerView, Market, rollout, seed_for
from ...pricing import Policy
from ...scenarios import MarketSpec, floor_market, goal_market, load_scenario
from ..actor import actor_of, learning_policy
from ..algorithms import Algorithm, algorithm, check_actions, make_policy
from ..base_price import base_of
from ..classical import best_fixed
from ..logged_data import LoggedData, record_history, record_policy
from ..networks import normalise_features, one_thread
from ..profit_floor import ProfitFloor
from ..run import RUN_FILE, Run, learner_view_of, load_run, made_with, open_folder, run_of, save_policy, save_result
from ..settings import Settings, settings_for
from .deep_pricing import learn_prices
from .offline_rl import cql, td3_bc

Learner = Callable[[Any, LearnerView, LoggedData, Settings, int], dict[str, Any]]


@dataclass(frozen=True)
class LogAlgorithm:
    """An algorithm that learns from logged data.

    Attributes:
        learn: Sets the weights of a policy from a log.
        network: The algorithm in `ALGORITHMS` whose networks it uses.
    """

    learn: Learner
    network: str


LOG_ALGORITHMS = {
    "deep-pricing": LogAlgorithm(learn_prices, "td3"),
    "td3-bc": LogAlgorithm(td3_bc, "td3"),
    "cql": LogAlgorithm(cql, "dqn"),
}


def learn_from_log(
    scenario: MarketSpec | str | Path,
    *,
    algo: str,
    log: Policy | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train a pricing policy on logged data, without interaction with the market.

    The market evaluates the result at the end, but chooses nothing.

    Args:
        scenario: A spec, a registered name or the path of a scenario file.
        algo: A key of `LOG_ALGORITHMS`.
        log: A policy that generates the log: `clone_episodes` episodes on the training seeds. None
            for the shop's own history, in a scenario that was fitted on data.
        seed: Seed of the run.
        out: Run folder, as for `train`.
        settings: Values that override the preset; see `Settings`.

    Returns:
        The run.

    Raises:
        ValueError: The algorithm or a setting is unknown, the algorithm does not support the
            actions of the market, or the log contains no information.

    Example:
        >>> from repricer.pricing import RandomPrice
        >>> few = {"clone_episodes": 16, "clone_epochs": 1, "validation_episodes": 64}
        >>> run = learn_from_log("stationary-logit", algo="cql", log=RandomPrice(5.0, 20.0), settings=few)
        >>> run.facts["log"]
        'random'
    """
    if algo not in LOG_ALGORITHMS:
        raise ValueError(f"algo must be one of {', '.join(LOG_ALGORITHMS)}; got {algo!r}; choose one of them")
    started, spec, own = time.perf_counter(), load_scenario(scenario), LOG_ALGORITHMS[algo]
    chosen = settings_for(spec, algo, settings)
    base = algorithm(own.network)
    goal, count = goal_market(spec), chosen.clone_episodes
    market = Market(goal, num_markets=count, seed=seed_for("training", seed), believed=spec)
    learner_view = learner_view_of(market, chosen, *base_of(spec, chosen.base_price, seed))
    check_actions(base, learner_view)
    identity = _identity(spec, algo, seed, chosen, log)
    folder = None if out is None else Path(out)
    if folder is not None and (folder / RUN_FILE).is_file() and open_folder(folder, spec, identity) == "finished":
        return load_run(folder)
    with one_thread():
        policy, figures = _learned(own, base, learner_view, log, chosen, seed)
        validated = _validate(spec, policy, learner_view, chosen, seed)
    best = validated | {"steps": figures["rows"] * chosen.clone_epochs}
    facts = identity | {
        "steps": best["steps"],
        "base_price": learner_view.base_price.tolist(),
        "network": own.network,
        "device": "cpu (a log is small)",
        "weights": sum(p.numel() for p in actor_of(policy, learner_view).parameters()),
        "best": best,
        "log_figures": figures,
        "seconds": time.perf_counter() - started,
    }
    shown = learner_view_of(Market(spec), chosen, learner_view.base_price, learner_view.base)
    run = run_of(policy, shown, facts | made_with(), [best])
    if folder is not None:
        open_folder(folder, spec, identity)
        save_policy(folder, policy, best)
        save_result(folder, run)
    return run


def _identity(spec: MarketSpec, algo: str, seed: int, settings: Settings, log: Policy | None) -> dict[str, Any]:
    """The facts that determine the run."""
    return {
        "scenario": spec.name,
        "scenario_version": spec.version,
        "algo": algo,
        "seed": seed,
        "settings": settings.to_dict(),
        "log": "history" if log is None else log.name,
    }


def _learned(
    own: LogAlgorithm, base: Algorithm, learner_view: LearnerView, log: Policy | None, settings: Settings, seed: int
) -> tuple[BasePolicy, dict[str, Any]]:
    """The policy that a log taught, and the learner's figures."""
    data = record_history(learner_view) if log is None else record_policy(learner_view, log)
    torch.manual_seed(seed)
    policy = make_policy(base, learner_view, settings)
    if settings.normalise:
        normalise_features(policy, data.features)
    policy.set_training_mode(True)
    figures = own.learn(policy, learner_view, data, settings, seed)
    policy.set_training_mode(False)
    return policy, figures


def _validate(
    spec: MarketSpec, policy: Any, learner_view: LearnerView, settings: Settings, seed: int
) -> dict[str, float]:
    """Expected objective against the best fixed prices, less what is missing of their profit where it must not fall."""
    market = floor_market(spec) or goal_market(spec)
    count, customers = settings.validation_episodes, seed_for("validation", seed)
    learned, fixed = (
        rollout(market, each, episodes=count, seed=customers, expected=True, believed=spec)
        for each in (learning_policy(policy, learner_view), best_fixed(spec, seed=seed))
    )
    own, before = learned.objective, fixed.objective
    if floor_market(spec) is not None:
        floor = ProfitFloor.of(spec, float(before.mean()), float(fixed.profit.mean()), 1)
        own = floor.value(own, float(learned.profit.mean()))
    gain = own - before
    return {
        "objective": float(own.mean()),
        "best_fixed": float(before.mean()),
        "gain": float(gain.mean()),
        "gain_se": float(gain.std() / np.sqrt(count)),
    }
