"""How policies do in markets that differ from the one they were built for: one table, worst case first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agents import best_fixed
from ..envs import rollout, seed_for
from ..optimum import Optimum, exact_value, solve
from ..pricing import Policy
from ..scenarios import STRESSES, MarketSpec, ScenarioError, load_scenario
from ..scenarios.stress import stressed
from .comparison import Estimate, plain
from .policies import policies_of

NOMINAL = "none"


@dataclass(frozen=True)
class StressRow:
    """One policy under one stress, on the test seeds. Money in the scenario's currency per episode.

    Attributes:
        stress: Name of the stress.
        meaning: What happens, in one line.
        policy: Name of the policy.
        objective: What the policy earns.
        loss: Lost fraction of the policy's own result in the market as described, paired by
            episode; negative where it earns more, NaN where that result is zero.
        vs_fixed: Paired difference to the best fixed prices of the market as described, which the
            shop would have gone on charging.
        vs_hindsight: The same to the best fixed prices of the market under stress; None with
            several products, where the search is expensive.
        share_of_optimum: Share of the exact optimum under stress; None where no solver applies.

    Example:
        >>> from repricer.evaluation import stress_table
        >>> table = stress_table("stationary-logit", ["fixed:9"], stresses=["demand-halved"], episodes=20)
        >>> table.rows[0].stress, table.rows[0].loss.mean > 0
        ('demand-halved', True)
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
        return plain(self) | ({"loss": None} if np.isnan(self.loss.mean) else {})


@dataclass(frozen=True)
class StressTable:
    """What `stress_table` found.

    Attributes:
        count: Number of test episodes.
        rows: One row per policy and stress, the largest loss first.
        nominal: One row per policy in the market as described.
        skipped: By name of a stress, why it does not apply to this market.

    Example:
        >>> from repricer.evaluation import stress_table
        >>> table = stress_table("stationary-logit", ["fixed:9"], stresses=["supplier-delay"], episodes=20)
        >>> list(table.skipped)
        ['supplier-delay']
    """

    count: int
    rows: list[StressRow]
    nominal: list[StressRow]
    skipped: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --stress --json` prints it."""
        rows = {name: [row.to_dict() for row in getattr(self, name)] for name in ("rows", "nominal")}
        shown = {"episodes": self.count, "customers": "test (the same in every market)"}
        return shown | rows | {"skipped": self.skipped}


def stress_table(
    scenario: MarketSpec | str,
    policies: Sequence[Policy | str],
    *,
    stresses: Sequence[str] | None = None,
    episodes: int = 1000,
    seed: int = 0,
) -> StressTable:
    """Evaluate policies in markets that differ from the one they were built for.

    The policies keep seeing the forecasts and elasticities of the market as described, while the
    customers, the competitors or the supplier are those of the market under stress. Every policy
    meets the same customers in every market.

    Args:
        scenario: The market as described, or the name or path of one.
        policies: Policy objects or names (see `POLICY_NAMES`).
        stresses: Names from `repricer.scenarios.STRESSES`; all by default.
        episodes: Number of test episodes, one per market.
        seed: Selects the test seeds.

    Raises:
        ValueError: For an unknown stress or policy, or two policies with one name.

    Example:
        >>> from repricer.evaluation import stress_table
        >>> table = stress_table("stationary-logit", ["fixed:9"], stresses=["demand-halved"], episodes=20)
        >>> [row.policy for row in table.rows]
        ['fixed:9']
    """
    spec = load_scenario(scenario)
    chosen = policies_of(spec, policies, seed)
    markets, skipped = _markets(spec, STRESSES if stresses is None else stresses)
    evaluation = _Evaluation(spec, chosen, episodes, seed)
    nominal = evaluation.rows(NOMINAL, "the market as described", spec)
    rows = [row for name, market in markets.items() for row in evaluation.rows(name, STRESSES[name].meaning, market)]
    # A loss that is not a number comes last.
    rows.sort(key=lambda row: (np.isnan(row.loss.mean), -row.loss.mean))
    return StressTable(episodes, rows, nominal, skipped)


def _markets(spec: MarketSpec, names: Sequence[str] | dict[str, Any]) -> tuple[dict[str, MarketSpec], dict[str, str]]:
    """The market under each stress, and for the others the reason why there is none."""
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
class _Evaluation:
    """What is the same for every market: the policies, and how they are simulated."""

    spec: MarketSpec
    policies: list[Policy]
    episodes: int
    seed: int

    @cached_property
    def before(self) -> list[NDArray[np.float64]]:
        """What each policy earns in the market as described, one (E,) array per policy."""
        return [self._earned(self.spec, policy) for policy in self.policies]

    def rows(self, stress: str, meaning: str, market: MarketSpec) -> list[StressRow]:
        """One row per policy in this market."""
        fixed = self._earned(market, best_fixed(self.spec, seed=self.seed))
        optimum = solve(market)
        hindsight = None
        if len(market.products.names) == 1:
            hindsight = self._earned(market, best_fixed(market, seed=self.seed))
        rows = []
        for policy, before in zip(self.policies, self.before, strict=True):
            now = before if market is self.spec else self._earned(market, policy)
            loss = relative_loss(before, now)
            gap = Estimate.of(now - fixed)
            beside = None if hindsight is None else Estimate.of(now - hindsight)
            share = None if optimum is None else self._share(market, policy, now, optimum)
            rows.append(StressRow(stress, meaning, policy.name, Estimate.of(now), loss, gap, beside, share))
        return rows

    def _earned(self, market: MarketSpec, policy: Policy) -> NDArray[np.float64]:
        """(E,) objective of each test episode, while the policy believes in the market as described."""
        seed = seed_for("test", self.seed)
        return rollout(market, policy, episodes=self.episodes, seed=seed, assumed=self.spec).objective

    def _share(self, market: MarketSpec, policy: Policy, earned: NDArray[np.float64], optimum: Optimum) -> float | None:
        """Share of the optimum, exact or simulated; None where a simulated episode misses the
        periods after it, or the optimum is not above 0.
        """
        exact = exact_value(market, policy, assumed=self.spec)
        if (exact is None and market.market.ending == "truncated") or optimum.value <= 0:
            return None
        return (float(earned.mean()) if exact is None else exact) / optimum.value


def relative_loss(before: NDArray[np.float64], now: NDArray[np.float64]) -> Estimate:
    """The lost fraction of a mean, with its 95% interval.

    The interval is that of a ratio of two means by the delta method (Cochran 1977, Sampling
    Techniques, section 6.4).

    Args:
        before: (E,) values before; a negative mean counts by its size.
        now: (E,) values now, paired with those before.

    Returns:
        The estimate, NaN where the mean before is zero.
    """
    scale = abs(float(before.mean()))
    if scale == 0:
        return Estimate(np.nan, np.nan, np.nan)
    ratio = float((before - now).mean()) / scale
    half = Estimate.of((before - now - ratio * np.sign(before.mean()) * before) / scale).high
    return Estimate(ratio, ratio - half, ratio + half)
