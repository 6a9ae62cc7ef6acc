"""Rule policies by name, as every command and `evaluate` take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..agents import Run, best_fixed, myopic, time_only
from ..agents.posterior import current_prices
from ..agents.posterior.best_plan import PLAN, best_plan
from ..optimum import best_path, certainty_equivalent, solve
from ..pricing import (
    CostPlus,
    EpsilonGreedy,
    FixedPrice,
    Policy,
    PricePath,
    RandomPrice,
    ThompsonPrice,
    checked_policy,
    competitor,
)
from ..scenarios import MarketSpec
from ..scenarios.planned_deals import planned_deals

BEST_FIXED = "best-fixed"
REGULAR = "regular"

POLICY_NAMES = {
    "fixed:PRICE": "the same price for every product, in currency per unit",
    "regular": "every product at its regular price",
    "historical": "the current prices, those that the shop itself charged or plans, where the scenario has them",
    "best-fixed": "the best prices that never change, tuned on seeds of their own",
    "plan": "one regular price a product and the shop's deals kept, moved, dropped or changed, the best over the posterior",
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

_TRIED_PRICES = 10
_WITH_NUMBER = ("fixed", "cost-plus", "epsilon-greedy")
_ONE_STOCK = "stock that is never replenished, of one product or of several with one logit segment"
_NEEDS = {
    "historical": ("a scenario fitted on data", "leave it out"),
    "plan": ("a scenario fitted on data", "take best-fixed"),
    "optimum": ("a market with an exact solver, whose prices hold no VAT", "leave it out"),
    "certainty-equivalent": (_ONE_STOCK, "take myopic"),
}
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
    makers: dict[str, Callable[[], Policy | None]] = {
        "fixed": lambda: FixedPrice(_number(name, argument), name=name),
        "cost-plus": lambda: CostPlus(_number(name, argument)),
        "epsilon-greedy": lambda: EpsilonGreedy(
            best_fixed(spec, seed=seed), price_steps(spec), _number(name, argument), seed=seed
        ),
        REGULAR: lambda: _regular(spec),
        "historical": lambda: None if spec.plan is None else current_prices(spec),
        BEST_FIXED: lambda: best_fixed(spec, seed=seed),
        PLAN: lambda: None if spec.plan is None else best_plan(spec),
        "myopic": lambda: myopic(spec),
        "time-only": lambda: best_path(spec) or time_only(spec, seed=seed),
        "certainty-equivalent": lambda: certainty_equivalent(spec),
        "thompson": lambda: _thompson(name, spec, seed),
        "thompson-no-stock": lambda: _thompson(name, spec, seed),
        "optimum": lambda: getattr(solve(spec), "policy", None),
        "random": lambda: RandomPrice(rules.low, rules.high, seed=seed),
    }
    makers |= dict.fromkeys(AGAINST_RIVALS, lambda: None if spec.competitors is None else competitor(name))
    make = makers.get(kind if kind in (*_WITH_NUMBER, *AGAINST_RIVALS) else name)
    if make is None:
        names = ", ".join(POLICY_NAMES)
        raise ValueError(f"policy must be a run folder, a bundle or one of {names}; got '{name}'; choose one")
    policy = make()
    if policy is None:
        needs, fix = _NEEDS.get(name, ("a scenario with competitors", "leave it out"))
        raise ValueError(f"policy {kind} needs {needs}; got {spec.name}; {fix}")
    return policy


def _regular(spec: MarketSpec) -> Policy:
    """The regular prices, of which no deal is announced."""
    price = spec.products.regular_price.astype(np.float32)
    deals = planned_deals(spec)
    if deals is None:
        return FixedPrice(price, name=REGULAR)
    path = np.broadcast_to(price, deals.price.shape)
    return PricePath(path, name=REGULAR, deal=np.zeros(path.shape, np.bool_))


def _thompson(name: str, spec: MarketSpec, seed: int) -> Policy:
    single = spec.arrivals.process == "single"
    mind_stock = name == "thompson"
    return ThompsonPrice(price_steps(spec), one_customer=single, mind_stock=mind_stock, seed=seed, name=name)


def policies_of(spec: MarketSpec, policies: Sequence[Policy | Run | str], seed: int) -> list[Policy]:
    """Policy objects: those of runs, and those given by name built for the market.

    Raises:
        ValueError: For an unknown name, something that is no policy, or two policies with one name.
    """
    chosen = []
    for given in policies:
        named = named_policy(given, spec, seed=seed) if isinstance(given, str) else given
        chosen.append(named.policy if isinstance(named, Run) else checked_policy(named))
    names = [p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"policies must have different names; got '{name}' {names.count(name)} times; drop one")
    return chosen


def price_steps(spec: MarketSpec) -> NDArray[np.float64]:
    """(K, N) prices to choose from: the ladder, or ten steps between the price bounds with a constant ratio."""
    low = spec.guardrails.low.astype(np.float64)
    high = spec.guardrails.high.astype(np.float64)
    if spec.prices.price_ladder is not None:
        steps = spec.guardrails.allowed_prices(low=low.min(), high=high.max())
        assert steps is not None, "the market has a ladder"
        return np.clip(steps[:, None], low, high)
    steps = low * (high / low) ** np.linspace(0, 1, _TRIED_PRICES)[:, None]
    return spec.guardrails.nearest(steps)


def _number(name: str, argument: str) -> float:
    try:
        number = float(argument)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"policy {name.partition(':')[0]} takes a number >= 0 after the colon; got '{name}'; fix it")
    return number
