"""Policies side by side on the same test episodes, against the best fixed price and the exact optimum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t
from scipy.stats import trim_mean, ttest_ind

from ..agents import Run
from ..envs import Episodes, Outcome, expected_units, rollout, seed_for
from ..optimum import Bound, Optimum, exact_value, solve, upper_bound
from ..pricing import Action, MarketView, Policy
from ..scenarios import MarketSpec, load_scenario
from ..scenarios.planned_deals import planned_deals
from .policies import AGAINST_RIVALS, BEST_FIXED, POLICY_NAMES, named_policy, policies_of
from .uncertainty import Assessment, assess
from .uncertainty.draws import check_draws
from .uncertainty.recommendation import MEAN, tail_of

BASELINE = BEST_FIXED
_SEGMENT_EPISODES = 50
Array = NDArray[np.float64]

# All prices are raised together, up to thirty-fold, to integrate demand over price: Gauss-Legendre
# nodes over the logarithm of the factor, after the factor 1, which has no weight.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)
_HALF_RANGE = np.log(30) / 2
_FACTORS = np.append(1.0, np.exp(_HALF_RANGE * (1 + _NODES)))
_QUADRATURE_WEIGHTS = np.append(0.0, _HALF_RANGE * _NODE_WEIGHTS) * _FACTORS
CONSTANT = "this policy is a constant"
NOT_FRESH = "its gain does not hold on the second test set"
FRESH = 1 << 20
"""Added to the user's seed for the second test set, which shares no episode with any other set
of that seed.
"""
_CONFIDENCE = 0.995
Document = dict[str, Any]


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
        mean = float(values.mean())
        count = values.size
        half = float("inf") if count < 2 else float(student_t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
        return cls(mean, mean - half, mean + half)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; an infinite bound is null."""
        return {"mean": self.mean, "ci95": [x if np.isfinite(x) else None for x in (self.low, self.high)]}

    def __str__(self) -> str:
        return interval(self.to_dict())


def plain(row: Any) -> Document:
    """The attributes of a row, its estimates as JSON holds them."""
    return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in vars(row).items()}


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
        return plain(self) | {"constant": self.constant, "flags": self.flags}


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
        uses = (
            ("tuning", seed_for("tuning", self.seed), "best-fixed, and a time-only path that is searched"),
            ("training", None, "learned policies, with the seed of their run"),
            ("validation", None, "the checkpoint that a run keeps, with the seed of the run"),
            ("judging", seed_for("test", self.seed), "every figure but vs_best_fixed_fresh"),
            ("second judging", seed_for("test", self.seed + FRESH), "vs_best_fixed_fresh"),
        )
        return {name: {"seed": seed, "for": use} for name, seed, use in uses}

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        spec = self.spec
        market = {"scenario": spec.name, "scenario_version": spec.version, "objective": spec.market.objective}
        who = "test (disjoint from those of training, tuning and validation)"
        how = {"episodes": self.count, "seed": self.seed, "customers": who, "seeds": self.seeds}
        found: Document = {"policies": [self._row(row) for row in self.rows]}
        if self.uncertainty is not None:
            found["uncertainty"] = self.uncertainty.to_dict()
        return market | how | {"optimum": self.optimum, "bound": self.bound} | found

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
    test = seed_for("test", seed)
    second = seed_for("test", seed + FRESH)
    run, fresh = ({p.name: rollout(spec, p, episodes=episodes, seed=s) for p in chosen} for s in (test, second))
    optimum = _limit(solve(spec))
    # Where customers remember prices or deals are planned, it would be several times what can be earned.
    bound = None if planned_deals(spec) is not None else _limit(upper_bound(spec))
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
        must = "draws and risk need a market with a posterior"
        raise ValueError(f"{must}; got {spec.name}, which has none; leave them out")
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
    figures: dict[str, Any] = {name: Estimate.of(getattr(now, name)) for name in ("objective", "revenue", "profit")}
    figures |= {name: float(getattr(now, name).mean()) for name in ("units", "lost", "price_changes", "price_variance")}
    figures |= {"at_bound_share": float(now.at_bound.mean()), "stockout_rate": float(now.stockout.mean())}
    return Row(
        policy=policy.name,
        **figures,
        average_transaction_price=now.average_transaction_price,
        value=value,
        method=f"simulated, {now.revenue.size} episodes" if exact is None else "exact, forward induction",
        share_of_optimum=of_optimum,
        share_of_bound=of_bound,
        vs_best_fixed=Estimate.of(gains[0]),
        vs_best_fixed_fresh=Estimate.of(gains[1]),
        price_paid=dict(zip(names, segments.price_paid.tolist(), strict=True)),
        consumer_surplus=dict(zip(names, segments.surplus.tolist(), strict=True)),
        segment_price_ratio=segments.price_ratio,
        holds_on_fresh=not shrinks(*gains),
    )


# A policy without one part of its action, to measure the value of that part.


@dataclass(frozen=True)
class Without:
    """A policy without its personal discounts, or with the recommender's own choice in the slots.

    Attributes:
        policy: The policy.
        part: The part of its action that is left out.

    Example:
        >>> from repricer.evaluation import Without, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> policy = named_policy("regular", load_scenario("stationary-logit"))
        >>> Without(policy, "discount").name
        'regular without discount'
    """

    policy: Policy
    part: Literal["discount", "recommendation"]

    @property
    def name(self) -> str:
        """`NAME without PART`."""
        return f"{self.policy.name} without {self.part}"

    def act(self, view: MarketView) -> Action:
        """Propose what the policy proposes, without the part."""
        return replace(self.policy.act(view), **{self.part: None})


# Units, price paid and consumer surplus by segment.


@dataclass(frozen=True)
class SegmentFigures:
    """Expected figures of an episode by segment.

    Attributes:
        units: (K,) units bought.
        price_paid: (K,) currency per unit, NaN for a segment that buys nothing.
        surplus: (K,) consumer surplus, currency.
        basket: (T, N) units that all segments buy together.
        charged: (T, N, K) mean price after personal discounts, currency per unit.
    """

    units: Array
    price_paid: Array
    surplus: Array
    basket: Array
    charged: Array

    @property
    def price_ratio(self) -> float:
        """Highest price paid over the lowest, among the segments that buy; 1 for a single one."""
        paid = self.price_paid[self.units > 0]
        return float(paid.max() / paid.min()) if paid.size else 1.0


def segment_figures(
    spec: MarketSpec, policy: Policy, *, seed: int, episodes: int, assumed: MarketSpec | None = None
) -> SegmentFigures:
    """Simulate a policy and add up what each segment is expected to buy of the products in stock.

    Consumer surplus is the area under the segment's demand as all its prices rise in proportion. For a
    logit segment with one price sensitivity that is the log-sum over the sensitivity: Small and
    Rosen (1981), Applied Welfare Economics with Discrete Choice Models, Econometrica 49(1). Demand
    shocks, loyalty, strategic waiting, recommendations and promotions are left out.

    Args:
        spec: The market.
        policy: Sets its prices.
        seed: Seed of the customers.
        episodes: Number of episodes.
        assumed: The market that the policy believes in; `spec` by default.
    """
    watch = _SegmentWatch(spec, policy)
    rollout(spec, watch, episodes=episodes, seed=seed, watch=watch.note, assumed=assumed)
    units = watch.units / episodes
    money = watch.money / episodes
    paid = np.divide(money, units, out=np.full_like(money, np.nan), where=units > 0)
    return SegmentFigures(units, paid, *(each / episodes for each in (watch.surplus, watch.basket, watch.charged)))


class _SegmentWatch:
    """The policy, with its last action recorded."""

    def __init__(self, spec: MarketSpec, policy: Policy) -> None:
        self.spec = spec
        self.policy = policy
        self.name = policy.name
        self.units, self.money, self.surplus = np.zeros((3, len(spec.arrivals.segments)))
        shape = (spec.sizes["T"], spec.sizes["N"])
        self.basket = np.zeros(shape)
        self.charged = np.zeros((*shape, spec.sizes["K"]))
        self._action: Action | None = None

    def act(self, view: MarketView) -> Action:
        """Propose what the policy proposes."""
        self._action = self.policy.act(view)
        return self._action

    def note(self, view: MarketView, outcome: Outcome) -> None:
        """Add the figures of one period."""
        assert self._action is not None, "a policy acts before the market steps"
        discount = None
        if self.spec.prices.max_discount > 0:
            discount = self.spec.guardrails.apply(self._action, view).discount
        price = outcome.list_price.astype(np.float64)
        given: dict[str, Any] = {"reference": view.reference_price, "discount": discount}
        given["rival_price"] = outcome.rival_price if self.spec.competitors is not None else None
        given["in_stock"] = None if self.spec.stock.shortage == "backlog" else view.on_hand > 0
        given["regime"] = 0 if view.regime is None else view.regime
        paid = price[..., None] * (1 - (np.zeros(1) if discount is None else discount.astype(np.float64)))
        for factor, weight in zip(_FACTORS, _QUADRATURE_WEIGHTS, strict=True):
            units = expected_units(self.spec, int(view.period[0]), factor * price, **given)
            money = (paid.swapaxes(1, 2) * units).sum(axis=(0, 2))
            self.surplus += weight * money
            if factor == 1:
                self.units += units.sum(axis=(0, 2))
                self.basket[view.period[0]] += units.sum(axis=(0, 1))
                self.charged[view.period[0]] += paid.sum(axis=0)
                self.money += money


# Checks that a gain must pass before it is reported as one.


def shrinks(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether a gain on the first test set exceeds the gain on the second by more
    than sampling noise.

    A policy that was tuned on the first test set, or knows its future, gains there and not
    elsewhere. Welch's one-sided t-test at the 0.5% level: an honest policy is flagged in one
    evaluation out of two hundred.

    Args:
        first: Paired differences on the first test set, one per episode.
        second: The same on the second test set.
    """
    if min(first.size, second.size) < 2:
        return False
    if first.std() == second.std() == 0:
        return bool(first.mean() > second.mean())
    return bool(ttest_ind(first, second, equal_var=False, alternative="greater").pvalue < 1 - _CONFIDENCE)


# The comparison as a table: one declaration of its columns, for plain text and for a terminal.


def columns(document: Document) -> dict[str, Callable[[Document], str]]:
    """The cells of a row of `policies` by the heading of their column, for a comparison as `Comparison.to_dict` gives
    it; the first names the policy.
    """
    # There is no share of an optimum that is not above 0.
    limit = next((name for name in ("optimum", "bound") if (document[name] or {"value": 0})["value"] > 0), None)
    shares = {} if limit is None else {f"share of {limit}": lambda row: _share(row, limit)}
    return {
        "policy": lambda row: row["policy"] + (" (constant)" if row["constant"] else ""),
        "objective": lambda row: interval(row["objective"]),
        **shares,
        "against best fixed": lambda row: interval(row["vs_best_fixed"], sign="+"),
        "revenue": lambda row: f"{row['revenue']['mean']:,.2f}",
        "average price": lambda row: f"{row['average_transaction_price']:.3f}",
        "price changes": lambda row: f"{row['price_changes']:.1f}",
    }


def title(document: Document, currency: str) -> str:
    """What stands above the table."""
    return f"{document['scenario']}: {document['episodes']:,} test episodes, {currency} per episode"


def caption(document: Document) -> str:
    """What stands below the table."""
    return f"Objective: {document['objective']}. Brackets: 95% intervals; differences are paired by episode."


def as_text(document: Document, currency: str) -> str:
    """The whole table as plain text, the first column aligned left and the others right."""
    cells_of = columns(document)
    rows = [[*cells_of], *([cell(row) for cell in cells_of.values()] for row in document["policies"])]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([title(document, currency), "", lines[0], rule, *lines[1:], "", caption(document)])


def interval(estimate: Document, sign: str = "") -> str:
    """A mean with its interval, `12.30 [11.90, 12.70]`; a single episode has no interval.

    Args:
        estimate: As `Estimate.to_dict` gives it.
        sign: "+" to show the sign of positive numbers.
    """
    low, high = estimate["ci95"]
    bounds = "" if low is None else f" [{low:{sign},.2f}, {high:{sign},.2f}]"
    return f"{estimate['mean']:{sign},.2f}{bounds}"


def _share(row: Document, limit: str) -> str:
    exact = " exact" if row["method"].startswith("exact") else ""
    return f"{row[f'share_of_{limit}']:.2%}{exact}"


# One figure for the results of several training seeds.


def interquartile_mean(
    values: ArrayLike, *, strata: ArrayLike | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The mean of the middle half of several runs' results, with a 95% percentile bootstrap
    interval over runs.

    One lucky or failed run moves it less than it moves the mean, and it uses more of the runs than
    the median does: Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, NeurIPS 34.

    Args:
        values: One result per training seed, all on the same test seeds.
        strata: For each result the task that it belongs to; the bootstrap then draws within each
            task, so that all tasks keep their number of runs.
        resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        The estimate; its interval is infinite for a single run.

    Raises:
        ValueError: Where there is no value, or one that is not finite.

    Example:
        >>> from repricer.evaluation import interquartile_mean
        >>> interquartile_mean([1.0, 10.0, 11.0, 12.0, 13.0, 90.0, 11.0, 12.0]).mean
        11.5
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    if runs.size == 0 or not np.isfinite(runs).all():
        raise ValueError(f"values must be finite, at least one; got {runs.tolist()}; give one result per training seed")
    mean = float(trim_mean(runs, 0.25))
    if runs.size == 1:
        return Estimate(mean, -np.inf, np.inf)
    rng = np.random.default_rng(seed)
    tasks = np.zeros(runs.size) if strata is None else np.asarray(strata).ravel()
    by_task = [runs[tasks == task] for task in np.unique(tasks)]
    draws = np.hstack([rng.choice(task, (resamples, task.size)) for task in by_task])
    low, high = np.quantile(trim_mean(draws, 0.25, axis=1), [0.025, 0.975])
    return Estimate(mean, float(low), float(high))
