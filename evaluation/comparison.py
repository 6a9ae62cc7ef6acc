"""Policies side by side on the same judging customers, against the best fixed price and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..envs import Episodes, rollout, seed_for
from ..pricing import Policy
from ..scenarios import MarketSpec, load_scenario
from .optimum import exact_value, solve
from .policies import named_policy

BASELINE = "best-fixed"


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval (Student's t over episodes)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Estimate:
        """From one value an episode; the interval is infinite for a single episode."""
        mean, count = float(values.mean()), values.size
        half = float("inf") if count < 2 else float(student_t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
        return cls(mean, mean - half, mean + half)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; an infinite bound is null."""
        return {"mean": self.mean, "ci95": [x if np.isfinite(x) else None for x in (self.low, self.high)]}


@dataclass(frozen=True)
class Row:
    """One policy's figures an episode. Money in the scenario's currency; shares are fractions.

    objective: what the scenario rewards (revenue or profit). value: the objective exactly where it can be had, else
    the simulated mean; `method` says which. vs_best_fixed: paired difference of the objective. share_of_optimum: of the
    exact optimum, or None. price_changes: a product and episode. constant: the prices never change, or stand at a
    bound.
    """

    policy: str
    objective: Estimate
    revenue: Estimate
    profit: Estimate
    units: float
    lost: float
    average_transaction_price: float
    value: float
    method: str
    share_of_optimum: float | None
    vs_best_fixed: Estimate
    price_changes: float
    at_bound_share: float
    stockout_rate: float

    @property
    def constant(self) -> bool:
        """Whether this policy is, in truth, a constant: no price changes, or always at a bound."""
        return self.price_changes == 0 or self.at_bound_share > 0.99

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document |= {name: value.to_dict() for name, value in document.items() if isinstance(value, Estimate)}
        return document | {"constant": self.constant}


@dataclass(frozen=True)
class Comparison:
    """What `evaluate` found: a row a policy, with the mean paths behind it in `episodes`."""

    spec: MarketSpec
    count: int
    seed: int
    optimum: dict[str, Any] | None
    rows: list[Row]
    episodes: dict[str, Episodes]

    def row(self, policy: str) -> Row:
        """The row of this policy."""
        return next(row for row in self.rows if row.policy == policy)

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "objective": self.spec.market.objective,
            "episodes": self.count,
            "seed": self.seed,
            "customers": "judging (disjoint from those of training, tuning and validation)",
            "optimum": self.optimum,
            "policies": [row.to_dict() for row in self.rows],
        }


def evaluate(
    scenario: MarketSpec | str, policies: Sequence[Policy | str], *, episodes: int = 1000, seed: int = 0
) -> Comparison:
    """Compare policies on the judging customers; every policy meets the same ones.

    policies: Policy objects or names (see `RULES`); the best fixed price is always added. episodes: markets, one
    episode each. Raises ValueError for an unknown name, or two policies with one name.
    """
    spec = load_scenario(scenario)
    chosen = [named_policy(p, spec, seed=seed) if isinstance(p, str) else p for p in policies]
    if BASELINE not in [p.name for p in chosen]:
        chosen.append(named_policy(BASELINE, spec, seed=seed))
    names = [p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"policies must have different names; got '{name}' {names.count(name)} times; drop one")
    run = {p.name: rollout(spec, p, episodes=episodes, seed=seed_for("judging", seed)) for p in chosen}
    best = solve(spec)
    optimum = None if best is None else {"value": best.value, "method": best.method}
    rows = [_row(spec, p, run[p.name], run[BASELINE], best.value if best else None) for p in chosen]
    rows.sort(key=lambda row: -row.value)
    return Comparison(spec, episodes, seed, optimum, rows, run)


def _row(spec: MarketSpec, policy: Policy, now: Episodes, baseline: Episodes, optimum: float | None) -> Row:
    exact = exact_value(spec, policy)
    value = float(now.objective.mean()) if exact is None else exact
    return Row(
        policy=policy.name,
        objective=Estimate.of(now.objective),
        revenue=Estimate.of(now.revenue),
        profit=Estimate.of(now.profit),
        units=float(now.units.mean()),
        lost=float(now.lost.mean()),
        average_transaction_price=now.average_transaction_price,
        value=value,
        method=f"simulated, {now.revenue.size} episodes" if exact is None else "exact, forward induction",
        share_of_optimum=None if optimum is None else value / optimum,
        vs_best_fixed=Estimate.of(now.objective - baseline.objective),
        price_changes=float(now.price_changes.mean()),
        at_bound_share=float(now.at_bound.mean()),
        stockout_rate=float(now.stockout.mean()),
    )
