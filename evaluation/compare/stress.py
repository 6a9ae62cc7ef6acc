"""What is left of a policy where the market turns into something that it was not told of: one table, worst case first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...agents import best_fixed
from ...envs import rollout, seed_for
from ...pricing import Policy
from ...scenarios import STRESSES, MarketSpec, ScenarioError, load_scenario
from ...scenarios.stress import stressed
from ..optimum import Optimum, exact_value, solve
from .comparison import Estimate, policies_of

NOMINAL = "none"


@dataclass(frozen=True)
class StressRow:
    """One policy under one stress, on the judging customers. Money in the scenario's currency an episode.

    stress, meaning: its name and what happens, in one line. objective: what the policy earns. loss: the fraction of its own
    result in the market as described that is lost, from the same customers (below zero: it earns more); NaN where that
    result is zero. vs_fixed: paired difference to the best fixed prices of the market as described, which is what the shop
    would have gone on charging. vs_hindsight: the same to the best fixed prices of the market under stress, None where they
    are dear to search (several products). share_of_optimum: of the exact optimum under stress, None where no solver reaches.
    """

    stress: str
    meaning: str
    policy: str
    objective: Estimate
    loss: Estimate
    vs_fixed: Estimate
    vs_hindsight: Estimate | None
    share_of_optimum: float | None

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --stress --json` prints it."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document |= {name: value.to_dict() for name, value in document.items() if isinstance(value, Estimate)}
        return document | ({"loss": None} if np.isnan(self.loss.mean) else {})


@dataclass(frozen=True)
class StressTable:
    """What `stress_table` found.

    rows: sorted by loss, worst first. nominal: a row a policy, in the market as described. skipped: why a stress does not
    apply to this market, by its name.
    """

    spec: MarketSpec
    count: int
    seed: int
    rows: list[StressRow]
    nominal: list[StressRow]
    skipped: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --stress --json` prints it."""
        return {
            "episodes": self.count,
            "customers": "judging (the same in every market)",
            "rows": [row.to_dict() for row in self.rows],
            "nominal": [row.to_dict() for row in self.nominal],
            "skipped": self.skipped,
        }


def stress_table(
    scenario: MarketSpec | str,
    policies: Sequence[Policy | str],
    *,
    stresses: Sequence[str] | None = None,
    episodes: int = 1000,
    seed: int = 0,
) -> StressTable:
    """Judge policies where the market is not what they were told.

    They were made for the market as described and go on seeing its forecasts and elasticities, while the customers, the
    rivals or the supplier are those of the market under stress. Every policy meets the same customers in every market.

    stresses: names of `STRESSES`, all where left out. episodes: judging markets, one episode each. Raises ValueError for an
    unknown stress or policy, or two policies with one name.
    """
    spec = load_scenario(scenario)
    chosen = policies_of(spec, policies, seed)
    markets, skipped = _markets(spec, STRESSES if stresses is None else stresses)
    judge = _Judge(spec, chosen, episodes, seed)
    nominal = judge.rows(NOMINAL, "the market as described", spec)
    rows = [row for name, market in markets.items() for row in judge.rows(name, STRESSES[name].meaning, market)]
    # A loss that is not a number says nothing, and stands last.
    rows.sort(key=lambda row: (np.isnan(row.loss.mean), -row.loss.mean))
    return StressTable(spec, episodes, seed, rows, nominal, skipped)


def _markets(spec: MarketSpec, names: Sequence[str] | dict[str, Any]) -> tuple[dict[str, MarketSpec], dict[str, str]]:
    """The market under each stress, and why there is none."""
    markets: dict[str, MarketSpec] = {}
    skipped: dict[str, str] = {}
    for name in names:
        try:
            markets[name] = stressed(spec, name)
        except ScenarioError as error:
            if name not in STRESSES:
                raise
            skipped[name] = str(error.__cause__ or error)
    return markets, skipped


@dataclass(frozen=True)
class _Judge:
    """What every market is judged with."""

    spec: MarketSpec
    policies: list[Policy]
    episodes: int
    seed: int

    @cached_property
    def before(self) -> list[NDArray[np.float64]]:
        """What each policy earns in the market as described, (E,) each."""
        return [self._earned(self.spec, policy) for policy in self.policies]

    def rows(self, stress: str, meaning: str, market: MarketSpec) -> list[StressRow]:
        """A row a policy in this market."""
        fixed = self._earned(market, best_fixed(self.spec, seed=self.seed))
        optimum, hindsight = solve(market), None
        if len(market.products.names) == 1:
            hindsight = self._earned(market, best_fixed(market, seed=self.seed))
        rows = []
        for policy, before in zip(self.policies, self.before, strict=True):
            now = before if market is self.spec else self._earned(market, policy)
            rows.append(
                StressRow(
                    stress=stress,
                    meaning=meaning,
                    policy=policy.name,
                    objective=Estimate.of(now),
                    loss=relative_loss(before, now),
                    vs_fixed=Estimate.of(now - fixed),
                    vs_hindsight=None if hindsight is None else Estimate.of(now - hindsight),
                    share_of_optimum=None if optimum is None else self._share(market, policy, now, optimum),
                )
            )
        return rows

    def _earned(self, market: MarketSpec, policy: Policy) -> NDArray[np.float64]:
        """(E,) the objective of each judging market; what the policy is told of is the market as described."""
        judging = seed_for("test", self.seed)
        return rollout(market, policy, episodes=self.episodes, seed=judging, believed=self.spec).objective

    def _share(self, market: MarketSpec, policy: Policy, earned: NDArray[np.float64], optimum: Optimum) -> float | None:
        """Of the optimum: exactly, or simulated; None where a simulated episode would miss what comes after it."""
        exact = exact_value(market, policy, known=self.spec)
        if exact is None and market.market.ending == "truncated":
            return None
        return (float(earned.mean()) if exact is None else exact) / optimum.value


def relative_loss(before: NDArray[np.float64], now: NDArray[np.float64]) -> Estimate:
    """The fraction of the mean before that is gone now, from paired values (E,), with its 95% interval.

    The interval of a ratio of two means by the delta method (Cochran 1977, Sampling Techniques, section 6.4). A mean below
    zero counts by its size; NaN where it is zero.
    """
    scale = abs(float(before.mean()))
    if scale == 0:
        return Estimate(np.nan, np.nan, np.nan)
    ratio = float((before - now).mean()) / scale
    half = Estimate.of((before - now - ratio * np.sign(before.mean()) * before) / scale).high
    return Estimate(ratio, ratio - half, ratio + half)
