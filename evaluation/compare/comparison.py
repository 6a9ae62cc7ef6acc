"""Policies side by side on the same judging customers, against the best fixed price and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ...envs import Episodes, rollout, seed_for
from ...pricing import Policy
from ...scenarios import MarketSpec, load_scenario
from ..optimum import Bound, Optimum, exact_value, solve, upper_bound
from ..policies import named_policy
from .result_warnings import CONSTANT, FRESH, NOT_FRESH, shrinks
from .segments import SegmentFigures, segment_figures

BASELINE = "best-fixed"
_SEGMENT_EPISODES = 50


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
    the simulated mean; `method` says which. vs_best_fixed: paired difference of the objective, and vs_best_fixed_fresh the
    same on a second judging set, which tells whether the first was foreseen. share_of_optimum: of the exact optimum, or
    None; share_of_bound: of the upper bound, or None. price_changes, price_variance: of a product. price_paid,
    consumer_surplus: by segment, expected; segment_price_ratio: the highest price paid over the lowest. response_ms: of a
    decision, milliseconds. holds_on_fresh: the gain is, but for luck, as high on the second judging set. constant: the prices
    never change, or stand at a bound.
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
    share_of_bound: float | None
    vs_best_fixed: Estimate
    vs_best_fixed_fresh: Estimate
    price_changes: float
    price_variance: float
    at_bound_share: float
    stockout_rate: float
    price_paid: dict[str, float]
    consumer_surplus: dict[str, float]
    segment_price_ratio: float
    response_ms: float
    holds_on_fresh: bool

    @property
    def constant(self) -> bool:
        """Whether this policy is, in truth, a constant: no price changes, or always at a bound."""
        return self.price_changes == 0 or self.at_bound_share > 0.99

    @property
    def flags(self) -> tuple[str, ...]:
        """What to know before the gain is believed."""
        return (CONSTANT,) * self.constant + (NOT_FRESH,) * (not self.holds_on_fresh)

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document |= {name: value.to_dict() for name, value in document.items() if isinstance(value, Estimate)}
        return document | {"constant": self.constant, "flags": self.flags}


@dataclass(frozen=True)
class Comparison:
    """What `evaluate` found: a row a policy, with the mean paths behind it in `episodes`."""

    spec: MarketSpec
    count: int
    seed: int
    optimum: dict[str, Any] | None
    bound: dict[str, Any] | None
    rows: list[Row]
    episodes: dict[str, Episodes]

    def row(self, policy: str) -> Row:
        """The row of this policy."""
        return next(row for row in self.rows if row.policy == policy)

    @property
    def seeds(self) -> dict[str, Any]:
        """Which set of customers each figure comes from: the sets share nobody."""
        return {
            "tuning": {
                "seed": seed_for("tuning", self.seed),
                "for": "best-fixed, and a time-only path that is searched",
            },
            "training": {"seed": None, "for": "learned policies, with the seed of their run"},
            "validation": {"seed": None, "for": "the checkpoint that a run keeps, with the seed of the run"},
            "judging": {"seed": seed_for("test", self.seed), "for": "every figure but vs_best_fixed_fresh"},
            "second judging": {"seed": seed_for("test", self.seed + FRESH), "for": "vs_best_fixed_fresh"},
        }

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "objective": self.spec.market.objective,
            "episodes": self.count,
            "seed": self.seed,
            "customers": "judging (disjoint from those of training, tuning and validation)",
            "seeds": self.seeds,
            "optimum": self.optimum,
            "bound": self.bound,
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
    chosen = policies_of(spec, policies, seed)
    if BASELINE not in [p.name for p in chosen]:
        chosen.append(named_policy(BASELINE, spec, seed=seed))
    judging, second = seed_for("test", seed), seed_for("test", seed + FRESH)
    run, fresh = ({p.name: rollout(spec, p, episodes=episodes, seed=s) for p in chosen} for s in (judging, second))
    optimum, bound = (_said(limit(spec)) for limit in (solve, upper_bound))
    rows = []
    for policy in chosen:
        gain, again = (sets[policy.name].objective - sets[BASELINE].objective for sets in (run, fresh))
        segments = segment_figures(spec, policy, seed=judging, episodes=min(episodes, _SEGMENT_EPISODES))
        rows.append(_row(spec, policy, run[policy.name], (gain, again), segments, (optimum, bound)))
    rows.sort(key=lambda row: -row.value)
    return Comparison(spec, episodes, seed, optimum, bound, rows, run)


def policies_of(spec: MarketSpec, policies: Sequence[Policy | str], seed: int) -> list[Policy]:
    """Policy objects, those given by name made for the market. Raises ValueError for an unknown name, or one twice."""
    chosen = [named_policy(p, spec, seed=seed) if isinstance(p, str) else p for p in policies]
    names = [p.name for p in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"policies must have different names; got '{name}' {names.count(name)} times; drop one")
    return chosen


def _said(limit: Optimum | Bound | None) -> dict[str, Any] | None:
    return None if limit is None else {"value": limit.value, "method": limit.method}


def _row(
    spec: MarketSpec,
    policy: Policy,
    now: Episodes,
    gains: tuple[NDArray[np.float64], NDArray[np.float64]],
    segments: SegmentFigures,
    limits: tuple[dict[str, Any] | None, dict[str, Any] | None],
) -> Row:
    """gains: paired differences on both judging sets. limits: optimum and bound."""
    exact = exact_value(spec, policy)
    value = float(now.objective.mean()) if exact is None else exact
    of_optimum, of_bound = (None if limit is None else value / limit["value"] for limit in limits)
    names = spec.arrivals.segments
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
        share_of_optimum=of_optimum,
        share_of_bound=of_bound,
        vs_best_fixed=Estimate.of(gains[0]),
        vs_best_fixed_fresh=Estimate.of(gains[1]),
        price_changes=float(now.price_changes.mean()),
        price_variance=float(now.price_variance.mean()),
        at_bound_share=float(now.at_bound.mean()),
        stockout_rate=float(now.stockout.mean()),
        price_paid=dict(zip(names, segments.price_paid.tolist(), strict=True)),
        consumer_surplus=dict(zip(names, segments.surplus.tolist(), strict=True)),
        segment_price_ratio=segments.price_ratio,
        response_ms=1000 * segments.response_seconds,
        holds_on_fresh=not shrinks(*gains),
    )
