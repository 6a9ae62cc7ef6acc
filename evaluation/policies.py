"""Rule policies by name, as every command and `evaluate` take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..agents import Run, best_fixed, myopic, time_only
from ..agents.posterior import current_prices
from ..optimum import best_path, certainty_equivalent, solve
from ..pricing import (
    CostPlus,
    EpsilonGreedy,
    FixedPrice,
    Policy,
    RandomPrice,
    ThompsonPrice,
    checked_policy,
    competitor,
)
from ..scenarios import MarketSpec

BEST_FIXED = "best-fixed"

POLICY_NAMES = {
    "fixed:PRICE": "the same price for every product, in currency per unit",
    "regular": "every product at its regular price",
    "historical": "the current prices, those that the shop itself charged or plans, where the scenario has them",
    "best-fixed": "the best prices that never change, tuned on seeds of their own",
    "cost-plus:RATE": "unit cost plus this fraction of it",
    "undercut:STEP": "the lowest rival price less a step (currency, or STEP%); also match, two-bound:LOW:HIGH:STEP, "
    "and cycle:LOW:HIGH:STEP",
    "myopic": "the best prices of each period alone, with demand known and stock ignored",
    "time-only": "the best prices that depend on the period alone: searched exactly, or tuned on seeds of their own",
    "certainty-equivalent": "the deterministic problem, solved again each period for the stock left; demand known",
    "thompson": "learns demand price by price within the episode, given the stock left (Thompson sampling)",
    "thompson-no-stock": "the same, ignoring the stock",
    "epsilon-greedy:EPSILON": "best-fixed, but a random step with this probability; a log of it can evaluate others",
    "optimum": "the exact optimum, where a solver applies",
    "random": "log-uniform between the price bounds",
}
"""Rule policies by name, with what each does."""

_STEPS = 10
AGAINST_RIVALS = ("undercut", "match", "two-bound", "cycle", "edgeworth")


def named_policy(name: str, spec: MarketSpec, *, seed: int = 0) -> Policy:
    """The rule policy of this name for a scenario.

    Args:
        name: A name of `POLICY_NAMES`, with its argument.
        spec: The market that the policy is built for.
        seed: Seed of policies that are tuned or that draw.

    Raises:
        ValueError: One line, where the scenario has no such policy.

    Example:
        >>> from repricer.evaluation import named_policy
        >>> from repricer.scenarios import load_scenario
        >>> named_policy("cost-plus:0.2", load_scenario("grocery")).name
        'cost-plus:0.2'
    """
    kind, _, argument = name.partition(":")
    rules = spec.guardrails
    if kind in ("fixed", "cost-plus"):
        number = _number(name, argument)
        return FixedPrice(number, name=name) if kind == "fixed" else CostPlus(number)
    if name == "regular":
        return FixedPrice(spec.products.regular_price.astype(np.float32), name=name)
    if name == "historical":
        if spec.history is None:
            raise ValueError(f"policy historical needs a scenario fitted on data; got {spec.name}; leave it out")
        return current_prices(spec)
    if name == BEST_FIXED:
        return best_fixed(spec, seed=seed)
    if kind in AGAINST_RIVALS:
        if spec.competitors is None:
            raise ValueError(f"policy {kind} needs a scenario with competitors; got {spec.name}; leave it out")
        return competitor(name)
    if name == "myopic":
        return myopic(spec)
    if kind == "epsilon-greedy":
        return EpsilonGreedy(best_fixed(spec, seed=seed), price_steps(spec), _number(name, argument), seed=seed)
    if name == "random":
        return RandomPrice(rules.low, rules.high, seed=seed)
    policy = _solved(name, spec, seed)
    if policy is not None:
        return policy
    raise ValueError(
        f"policy must be a run folder, a bundle or one of {', '.join(POLICY_NAMES)}; got '{name}'; choose one"
    )


def policies_of(spec: MarketSpec, policies: Sequence[Policy | Run | str], seed: int) -> list[Policy]:
    """Policy objects: those of runs, and those given by name built for the market.

    Raises:
        ValueError: For an unknown name, something that is no policy, or two policies with one name.
    """
    chosen = [
        named_policy(p, spec, seed=seed)
        if isinstance(p, str)
        else p.policy
        if isinstance(p, Run)
        else checked_policy(p)
        for p in policies
    ]
    names = [p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"policies must have different names; got '{name}' {names.count(name)} times; drop one")
    return chosen


def _solved(name: str, spec: MarketSpec, seed: int) -> Policy | None:
    """The policies that are solved for or learn; None for another name."""
    if name == "time-only":
        return best_path(spec) or time_only(spec, seed=seed)
    if name == "certainty-equivalent":
        policy = certainty_equivalent(spec)
        if policy is None:
            raise ValueError(
                f"policy {name} needs stock that is never replenished, of one product or of several with one logit "
                f"segment; got {spec.name}; take myopic"
            )
        return policy
    if name in ("thompson", "thompson-no-stock"):
        single, mind_stock = spec.arrivals.process == "single", name == "thompson"
        return ThompsonPrice(price_steps(spec), one_customer=single, mind_stock=mind_stock, seed=seed, name=name)
    if name == "optimum":
        optimum = solve(spec)
        if optimum is None:
            raise ValueError(f"policy optimum needs a market with an exact solver; got {spec.name}; leave it out")
        return optimum.policy
    return None


def price_steps(spec: MarketSpec) -> NDArray[np.float64]:
    """(K, N) prices to choose from: the ladder, or ten steps between the price bounds with a constant ratio."""
    low, high = spec.guardrails.low.astype(np.float64), spec.guardrails.high.astype(np.float64)
    if spec.prices.price_ladder is not None:
        steps = spec.guardrails.allowed_prices(low=low.min(), high=high.max())
        assert steps is not None, "the market has a ladder"
        return np.clip(steps[:, None], low, high)
    steps = low * (high / low) ** np.linspace(0, 1, _STEPS)[:, None]
    return spec.guardrails.nearest(steps)


def _number(name: str, argument: str) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"policy {name.partition(':')[0]} takes a number >= 0 after the colon; got '{name}'; fix it")
    return number
