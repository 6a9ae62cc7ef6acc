"""Rule policies by name, as every command and `evaluate` take them."""

from __future__ import annotations

import numpy as np

from ..agents import best_fixed, myopic
from ..pricing import CostPlus, FixedPrice, Policy, PricePath, RandomPrice, competitor
from ..scenarios import MarketSpec
from .optimum import solve

RULES = {
    "fixed:PRICE": "the same price for every product, in currency per unit",
    "regular": "every product at its regular price",
    "historical": "what the shop itself charged, where the scenario knows",
    "best-fixed": "the best prices that never change, tuned on customers of their own",
    "cost-plus:RATE": "unit cost plus this fraction of it",
    "undercut:STEP": "the lowest rival price less a step (currency, or STEP%); also match, two-bound:LOW:HIGH:STEP",
    "myopic": "the true response known, the future and the stock ignored",
    "optimum": "the exact optimum, where a solver reaches",
    "random": "log-uniform between the price bounds",
}


_AGAINST_RIVALS = ("undercut", "match", "two-bound", "edgeworth")


def named_policy(name: str, spec: MarketSpec, *, seed: int = 0) -> Policy:
    """The rule policy of this name for a scenario. Raises ValueError, one line, where there is none."""
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
        promotion = None if spec.promotion is None else spec.history.promotion.astype(np.float32)
        return PricePath(spec.history.price.astype(np.float32), promotion, name=name)
    if name == "best-fixed":
        return best_fixed(spec, seed=seed)
    if kind in _AGAINST_RIVALS:
        if spec.competitors is None:
            raise ValueError(f"policy {kind} needs a scenario with competitors; got {spec.name}; leave it out")
        return competitor(name)
    if name == "myopic":
        return myopic(spec)
    if name == "random":
        return RandomPrice(rules.low, rules.high, seed=seed)
    if name == "optimum":
        optimum = solve(spec)
        if optimum is None:
            raise ValueError(f"policy optimum needs a market with an exact solver; got {spec.name}; leave it out")
        return optimum.policy
    raise ValueError(f"policy must be a run folder, a bundle or one of {', '.join(RULES)}; got '{name}'; choose one")


def _number(name: str, argument: str) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"policy {name.partition(':')[0]} takes a number >= 0 after the colon; got '{name}'; mend it")
    return number
