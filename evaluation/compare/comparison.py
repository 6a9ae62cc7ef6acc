"""Policies side by side on the same test episodes, against the best fixed price and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ...agents import Run
from ...envs import Episodes, rollout, seed_for
from ...optimum import Bound, Optimum, exact_value, solve, upper_bound
from ...pricing import Policy
from ...scenarios import MarketSpec, load_scenario
from ..policies import AGAINST_RIVALS, BEST_FIXED, POLICY_NAMES, named_policy, policies_of
from ..uncertainty import Assessment, assess
from ..uncertainty.draws import check_draws, market_of
from ..uncertainty.recommendation import MEAN, tail_of
from .ablation import Without
from .result_warnings import CONSTANT, FRESH, NOT_FRESH, shrinks
from .segments import SegmentFigures, segment_figures
from .table import as_text, interval

BASELINE = BEST_FIXED
_SEGMENT_EPISODES = 50


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval (Student's t over episodes).

    Attributes:
        mean: The mean.
        low: Lower end of the interval.
        high: Upper end of the interval.

    Example:
        >>> import numpy as np
        >>> from repricer.evaluation import Estimate
        >>> print(Estimate.of(np.array([9.0, 10.0, 11.0])))
        10.00 [7.52, 12.48]
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Estimate:
        """The estimate from one value per episode; the interval of a single episode is infinite."""
        mean, count = float(values.mean()), values.size
        half = float("inf") if count < 2 else float(student_t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
        return cls(mean, mean - half, mean + half)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; an infinite bound is null."""
        return {"mean": self.mean, "ci95": [x if np.isfinite(x) else None for x in (self.low, self.high)]}

    def __str__(self) -> str:
        return interval(self.to_dict())


@dataclass(frozen=True)
class Row:
    """One policy's figures per episode. Money in the scenario's currency; shares are fractions.

    Attributes:
        policy: Name of the policy.
        objective: What the scenario rewards, revenue or profit.
        revenue: Money that customers paid.
        profit: Revenue less costs.
        units: Mean units sold.
        lost: Mean units of lost sales.
        average_transaction_price: Revenue over units, currency per unit.
        value: The objective, exact where an exact value exists, else the simulated mean.
        method: How `value` was found.
        share_of_optimum: `value` over the exact optimum, or None where none is known or it is not above 0.
        share_of_bound: `value` over the upper bound, likewise.
        vs_best_fixed: Paired difference of the objective to the best fixed price.
        vs_best_fixed_fresh: The same on a second test set.
        price_changes: Mean number of price changes of a product.
        price_variance: Mean variance of a product's price over the episode, currency squared.
        at_bound_share: Share of prices that stand at a bound of the price rules.
        stockout_rate: Share of products and periods in which sales were lost for lack of stock.
        price_paid: Expected price paid by segment, currency per unit.
        consumer_surplus: Expected consumer surplus by segment.
        segment_price_ratio: Highest price paid over the lowest, among segments.
        response_ms: Time of one decision, milliseconds.
        holds_on_fresh: Whether the gain on the second test set is, within sampling noise, as high.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> row = evaluate("stationary-logit", ["fixed:9"], episodes=20).row("fixed:9")
        >>> row.constant, row.average_transaction_price
        (True, 9.0)
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
        """Whether the policy amounts to a constant: its prices never change, or always stand at a bound."""
        return self.price_changes == 0 or self.at_bound_share > 0.99

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons to doubt the gain, one clause each."""
        return (CONSTANT,) * self.constant + (NOT_FRESH,) * (not self.holds_on_fresh)

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document |= {name: value.to_dict() for name, value in document.items() if isinstance(value, Estimate)}
        return document | {"constant": self.constant, "flags": self.flags}


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `evaluate` found; it prints as a table.

    Attributes:
        spec: The scenario.
        count: Number of test episodes.
        seed: The user's seed.
        optimum: `value` and `method` of the exact optimum, or None where no solver applies.
        bound: `value` and `method` of the upper bound, or None.
        rows: One row per policy, the highest value first.
        episodes: By policy, the simulated episodes behind the row.
        uncertainty: On a market with a posterior, the gains over its draws and
            the recommended prices.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> comparison = evaluate("stationary-logit", ["fixed:9"], episodes=20)
        >>> print(str(comparison).splitlines()[0])
        stationary-logit: 20 test episodes, currency per episode
        >>> float(comparison.to_frame().loc["fixed:9", "average_transaction_price"])
        9.0
    """

    spec: MarketSpec
    count: int
    seed: int
    optimum: dict[str, Any] | None
    bound: dict[str, Any] | None
    rows: list[Row]
    episodes: dict[str, Episodes]
    uncertainty: Assessment | None = None

    def row(self, policy: str) -> Row:
        """The row of this policy."""
        return next(row for row in self.rows if row.policy == policy)

    @property
    def seeds(self) -> dict[str, Any]:
        """The set of random seeds behind each figure; no two sets share an episode."""
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
            "customers": "test (disjoint from those of training, tuning and validation)",
            "seeds": self.seeds,
            "optimum": self.optimum,
            "bound": self.bound,
            "policies": [self._row(row) for row in self.rows],
        } | ({} if self.uncertainty is None else {"uncertainty": self.uncertainty.to_dict()})

    def _row(self, row: Row) -> dict[str, Any]:
        """A row with what the posterior draws say of it. The best fixed prices' part keeps its own mean."""
        document = row.to_dict()
        if self.uncertainty is None:
            return document
        found = self.uncertainty.of(row.policy)
        against = found.pop("vs_best_fixed")
        against["posterior_mean"] = against.pop("mean")
        return document | {"vs_best_fixed": against | document["vs_best_fixed"]} | found

    def to_frame(self) -> pd.DataFrame:
        """The rows as a data frame, one row per policy.

        Returns:
            A frame with the policy's name as index `policy` and the attributes of `Row` as columns,
            under their names. An `Estimate` takes three columns: its mean under the attribute's
            name and the ends of its 95% interval as `NAME_low` and `NAME_high`. A figure by segment
            takes one column per segment, `price_paid[SEGMENT]` and `consumer_surplus[SEGMENT]`. A
            share that does not exist is NaN.
        """
        return pd.DataFrame([_cells(row) for row in self.rows]).set_index("policy")

    def __str__(self) -> str:
        table = as_text(self.to_dict(), self.spec.market.currency)
        return table if self.uncertainty is None else f"{table}\n\n{self.uncertainty}"

    __repr__ = __str__


def _cells(row: Row) -> dict[str, Any]:
    """One row of `Comparison.to_frame`."""
    cells: dict[str, Any] = {}
    for name in (field.name for field in fields(Row)):
        value = getattr(row, name)
        if isinstance(value, Estimate):
            cells |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
        elif isinstance(value, dict):
            cells |= {f"{name}[{segment}]": figure for segment, figure in value.items()}
        else:
            cells[name] = np.nan if value is None else value
    return cells | {"constant": row.constant}


def evaluate(
    scenario: MarketSpec | str,
    policies: Sequence[Policy | Run | str],
    *,
    episodes: int = 1000,
    seed: int = 0,
    draws: int | None = None,
    risk: str = MEAN,
) -> Comparison:
    """Compare policies on the test seeds; every policy meets the same customers.

    Args:
        scenario: A market, or the name or path of one.
        policies: Policy objects, runs or names (see `POLICY_NAMES`); the best fixed price
            is always added. Beside it, those that are no rules of `POLICY_NAMES` may be recommended.
        episodes: Number of test episodes, one per market.
        seed: Selects the test seeds; they are disjoint from those of training,
            tuning and validation.
        draws: On a market with a posterior, how many of its draws to use; 200 by default, or all of
            fewer.
        risk: What recommended prices are chosen by: `mean`, or `cvar:0.1` for the mean of the worst
            tenth of the draws.

    Raises:
        ValueError: For an unknown policy name, or two policies with one name.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> comparison = evaluate("stationary-logit", ["optimum", "fixed:9"], episodes=20)
        >>> [row.policy for row in comparison.rows]
        ['optimum', 'best-fixed', 'fixed:9']
    """
    spec = load_scenario(scenario)
    _check_draws(spec, draws, risk)
    chosen = policies_of(spec, policies, seed)
    if BASELINE not in [p.name for p in chosen]:
        chosen.append(named_policy(BASELINE, spec, seed=seed))
    test, second = seed_for("test", seed), seed_for("test", seed + FRESH)
    run, fresh = (
        {p.name: rollout(market_of(spec, p), p, episodes=episodes, seed=s) for p in chosen} for s in (test, second)
    )
    optimum, bound = (_limit(found(spec)) for found in (solve, upper_bound))
    rows = []
    for policy in chosen:
        gain, again = (sets[policy.name].objective - sets[BASELINE].objective for sets in (run, fresh))
        segments = segment_figures(spec, policy, seed=test, episodes=min(episodes, _SEGMENT_EPISODES))
        rows.append(_row(spec, policy, run[policy.name], (gain, again), segments, (optimum, bound)))
    rows.sort(key=lambda row: -row.value)
    found = None
    if spec.num_draws:
        found = assess(spec, chosen, learned=[p for p in chosen if _is_learned(p)], draws=draws, seed=seed, risk=risk)
    return Comparison(spec, episodes, seed, optimum, bound, rows, run, found)


def _check_draws(spec: MarketSpec, draws: int | None, risk: str) -> None:
    """Check what concerns the posterior before the policies are run."""
    tail_of(risk)
    if not spec.num_draws and (draws is not None or risk != MEAN):
        raise ValueError(
            f"draws and risk need a market with a posterior; got {spec.name}, which has none; leave them out"
        )
    if draws is not None:
        check_draws(spec, draws)


def _is_learned(policy: Policy) -> bool:
    """Whether a policy is no rule of `POLICY_NAMES`, and no policy without a part of its action."""
    rules = {rule.partition(":")[0] for rule in POLICY_NAMES} | set(AGAINST_RIVALS)
    return policy.name.partition(":")[0] not in rules and not isinstance(policy, Without)


def _limit(found: Optimum | Bound | None) -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "method": found.method}


def _row(
    spec: MarketSpec,
    policy: Policy,
    now: Episodes,
    gains: tuple[NDArray[np.float64], NDArray[np.float64]],
    segments: SegmentFigures,
    limits: tuple[dict[str, Any] | None, dict[str, Any] | None],
) -> Row:
    """The row of one policy. gains: paired differences on both test sets; limits:
    optimum and bound.
    """
    exact = exact_value(spec, policy)
    value = float(now.objective.mean()) if exact is None else exact
    tops = (0.0 if limit is None else limit["value"] for limit in limits)
    of_optimum, of_bound = (value / top if top > 0 else None for top in tops)
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
