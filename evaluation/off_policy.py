"""Off-policy evaluation: the money of an episode under a policy, estimated from
another policy's decisions.

A decision is the prices of one category in one period, among which its customers choose. The weight
of a decision is one over the probability of its prices where the policy would have charged the
same, and zero elsewhere.

- `ips`: inverse propensity scoring, the mean of weight times money (Horvitz and Thompson 1952).
- `snips`: the same over the mean weight, with less variance and a small bias (Swaminathan and
  Joachims 2015, The Self-Normalized Estimator for Counterfactual Learning, NeurIPS 28).
- `doubly_robust`: the prediction of a response model, corrected by weighted errors (Dudík, Langford
  and Li 2011, Doubly Robust Policy Evaluation and Learning, ICML 28). The model predicts only
  markets that it was not fitted on (five folds).
  The first three evaluate each price in the states of the log. They are withheld where stock is
  never replenished, since they would credit a price that sells out with such sales in every period.
- `fitted_q`: the value of every state under the policy, fitted backwards through the periods (Le,
  Voloshin and Yue 2019, Batch Policy Learning under Constraints, ICML 36), and corrected by its errors in the
  decisions that the policy would have taken, weighted within their period. What is left is the errors of states that
  the policy reaches more often than the log.
- `sequential_doubly_robust`: the same values, corrected with the product of the weights of all decisions so far, each
  period's over their mean (Jiang and Li 2016, Doubly Robust Off-policy Value Evaluation for Reinforcement
  Learning, ICML 33, equation 10; Thomas and Brunskill 2016, Data-Efficient Off-Policy Policy Evaluation for
  Reinforcement Learning, ICML 33, section 5). Consistent where the values are wrong, and withheld where too few
  episodes went as the policy would have.
  These two alone account for the effect of prices on later stock and reference prices. They are of the markets that
  the log has in every period.

Intervals of 95% are Student's t over markets, as the periods of one market are not independent. They cover
sampling noise in the log, not errors of a model; that of `fitted_q` also holds an error as large as its correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from ..pricing import Policy, is_deterministic, product_features
from ..scenarios import MarketSpec
from .comparison import Estimate
from .price_log import Array, PriceLog

WEIGHTED = ("ips", "snips", "doubly_robust")
"""The estimates that take periods one by one."""
SEQUENTIAL = ("fitted_q", "sequential_doubly_robust")
"""The estimates that follow whole episodes."""
LEAST_VARIATION = 0.01
"""Least share of decisions that would differ if they were drawn again; a log with less
variation is refused.
"""
LEAST_SAMPLE = 10
"""Least effective number of decisions; a policy with fewer is refused."""
_SAME_AS_LOGGED = 1e-5
FOLDS = 5
# Very little shrinkage: the columns are standardised.
_PENALTY = 1e-4
_TREES = 30
# Small leaves: a log holds few decisions at each price, and an average over neighbouring prices is
# biased.
_LEAF = 5


@dataclass(frozen=True)
class OffPolicy:
    """The estimates for one policy.

    Attributes:
        policy: Name of the policy.
        markets: Markets in the log.
        decisions: Decisions in the log.
        matched_share: Share of the decisions in which the policy would have charged the same.
        effective_sample_size: Number of unweighted decisions with the same information, Kish's
            (sum of weights) ** 2 / sum of squared weights, in the category where it is least.
        ignored: Links between periods that the three estimates of `WEIGHTED` leave out.
        logged: Money of an episode at the log's own prices.
        estimates: Money of an episode by estimator, None where an estimate would mislead.

    Example:
        >>> from repricer.evaluation import OffPolicy
        >>> sorted(OffPolicy.__dataclass_fields__)[:3]
        ['decisions', 'effective_sample_size', 'estimates']
    """

    policy: str
    markets: int
    decisions: int
    matched_share: float
    effective_sample_size: float
    ignored: tuple[str, ...]
    logged: Estimate
    estimates: dict[str, Estimate | None]

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --from-log --json` prints it."""
        document = dict(vars(self))
        estimates = {name: value and value.to_dict() for name, value in self.estimates.items()}
        return document | {"logged": self.logged.to_dict(), "estimates": estimates}


def estimate_from_log(log: PriceLog, policy: Policy) -> OffPolicy:
    """Estimate the money of an episode under a policy from a log.

    Args:
        log: Decisions with propensities.
        policy: A deterministic policy that sets list prices alone.

    Raises:
        ValueError: One line, where the log does not support an estimate: without propensities, with
            too little variation, or with too few decisions that the policy would have taken.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.evaluation import LogRecorder, estimate_from_log, named_policy
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("seen-segments")
        >>> recorder = LogRecorder(spec)
        >>> explorer = named_policy("epsilon-greedy:0.5", spec)
        >>> episodes = rollout(spec, explorer, episodes=40, seed=0, watch=recorder)
        >>> found = estimate_from_log(recorder.log(), named_policy("best-fixed", spec))
        >>> found.markets, sorted(found.estimates)
        (40, ['doubly_robust', 'fitted_q', 'ips', 'sequential_doubly_robust', 'snips'])
    """
    check_log(log)
    target = target_prices(log, policy)
    weights = matched_weights(log, target)
    size = effective_sample(weights, policy.name)
    ignored = links_between_periods(log.spec)
    whole = _whole_episodes(log)
    if "stock" in ignored and not whole.any():
        must = "log must hold whole episodes where stock is never replenished"
        fix = "log to the end of the season"
        raise ValueError(f"{must}; got no market with all {log.spec.market.horizon_periods} periods; {fix}")
    found: dict[str, Estimate | None] = dict.fromkeys((*WEIGHTED, *SEQUENTIAL))
    if "stock" not in ignored:
        found |= weighted_estimates(log, target)
    if whole.any():
        found |= episode_estimates(log, target)
    logged = _over_markets(_episode_money(log, log.money).sum(axis=1), log.market)
    counts = (int(np.unique(log.market).size), len(log), float((weights > 0).mean()), size)
    return OffPolicy(policy.name, *counts, ignored, logged, found)


def weighted_estimates(log: PriceLog, target: Array) -> dict[str, Estimate]:
    """The three estimates that use propensities, for the prices `target` (D, N)."""
    weight = matched_weights(log, target)
    money = _episode_money(log, log.money)
    at_logged, at_target = (_episode_money(log, predicted) for predicted in predicted_money(log, log.price, target))
    scores = (weight * money, _normalised(weight, money), at_target + weight * (money - at_logged))
    means = (_over_markets(rows.sum(axis=1), log.market) for rows in scores)
    return dict(zip(WEIGHTED, means, strict=True))


def episode_estimates(log: PriceLog, target: Array) -> dict[str, Estimate | None]:
    """The two estimates that follow whole episodes, for the prices `target` (D, N)."""
    kept = _whole_episodes(log)
    log = log.only(kept)
    target = target[kept]
    at_logged, at_target = state_values(log, target)
    episodes, periods = at_logged.shape[:2]
    factor = log.spec.market.discount_factor ** np.arange(periods)[:, None]
    after = log.spec.market.discount_factor * np.concatenate([at_target[:, 1:], 0 * at_target[:, :1]], axis=1)
    error = (log.money @ category_members(log)).reshape(at_logged.shape) + after - at_logged
    weight = matched_weights(log, target).reshape(at_logged.shape)
    market = np.arange(episodes)

    def corrected(weight: Array) -> Estimate:
        errors = (factor * _normalised(weight, error)).sum(axis=(1, 2))
        return _over_markets(at_target[:, 0].sum(axis=1) + errors, market)

    of_period = corrected(weight)
    half = np.hypot(of_period.high - of_period.mean, of_period.mean - at_target[:, 0].sum(axis=1).mean())
    so_far = weight.cumprod(axis=1)
    size = float(np.min(so_far.sum(axis=0) ** 2 / np.maximum((so_far**2).sum(axis=0), 1e-300)))
    return {
        "fitted_q": Estimate(of_period.mean, of_period.mean - half, of_period.mean + half),
        "sequential_doubly_robust": corrected(so_far) if size >= LEAST_SAMPLE else None,
    }


def _normalised(weight: Array, values: Array) -> Array:
    """Scores whose mean over the first axis is that of the values, weighted, to first order also in its spread."""
    total = np.maximum(weight.mean(axis=0), 1e-300)
    mean = (weight * values).mean(axis=0) / total
    return mean + weight * (values - mean) / total


def links_between_periods(spec: MarketSpec) -> tuple[str, ...]:
    """The effects of one period's prices on later periods."""
    if spec.market.horizon_periods == 1:
        return ()
    stock = () if np.isinf(spec.stock.initial_units).all() and spec.capacity is None else ("stock",)
    if spec.stock.replenishment != "none":
        stock = ("replenished stock",)
    sections = ("reference_price", "loyalty", "strategic", "competitors")
    return stock + tuple(name for name in sections if getattr(spec, name) is not None)


def category_members(log: PriceLog) -> Array:
    """(N, C) which category a product is of."""
    return np.eye(len(log.spec.category_names))[log.spec.category_index]


def _episode_money(log: PriceLog, money: Array) -> Array:
    """(D, C) money by category, scaled so that the mean over decisions is the discounted money of an episode."""
    factor = log.spec.market.discount_factor ** log.view.period.astype(np.float64)
    return (money @ category_members(log)) * (log.spec.market.horizon_periods * factor)[:, None]


def _whole_episodes(log: PriceLog) -> NDArray[np.bool_]:
    """(D,) decisions of markets that the log has in every period: part of an episode has part of its money."""
    _, index, count = np.unique(log.market, return_inverse=True, return_counts=True)
    return count[index] == log.spec.market.horizon_periods


def matched_weights(log: PriceLog, target: Array) -> Array:
    """(D, C) one over the probability of a category's prices where they are the target's, else zero."""
    member = category_members(log)
    same = (np.abs(log.price - target) > _SAME_AS_LOGGED * target) @ member == 0
    own = log.propensity
    arm = np.ones((len(log), member.shape[1]))
    if log.arm_propensity is not None:
        # One draw decided for all products of a category: it counts once, and not at all where all
        # arms agree.
        own = log.propensity / log.arm_propensity
        arm = np.stack([log.arm_propensity[:, own_products > 0].min(axis=1) for own_products in member.T], axis=1)
    return np.where(same, np.exp(-np.log(own) @ member) / arm, 0.0)


def effective_sample(weights: Array, policy: str) -> float:
    """Kish's number of decisions that (D, C) weights amount to, in the category where it is least.

    Raises:
        ValueError: One line, where it is too small.
    """
    size = float(np.min(weights.sum(axis=0) ** 2 / np.maximum((weights**2).sum(axis=0), 1e-300)))
    if size < LEAST_SAMPLE:
        must = f"policy {policy} must charge prices that the log often charged"
        fix = "log more, or explore more"
        raise ValueError(f"{must}; got an effective sample of {size:.2g} out of {len(weights):,} decisions; {fix}")
    return size


def check_log(log: PriceLog) -> None:
    """Check that propensities are stated, prices recur and vary. Raises ValueError in one line."""
    unknown = ~(log.propensity > 0)
    if unknown.any():
        must = "log must state the propensity of every price"
        fix = "log drawn prices that no price rule changes, as epsilon-greedy:0.1 draws them on a price ladder"
        raise ValueError(f"{must}; got {unknown.any(axis=1).sum():,} of {len(log):,} decisions without; {fix}")
    distinct = max(np.unique(column).size for column in log.price.T)
    if len(log) > 100 and distinct > len(log) / 2:
        must = "log must hold prices that recur"
        fix = "log with steps of a ladder, such as epsilon-greedy:1"
        raise ValueError(f"{must}; got {distinct:,} different ones in {len(log):,} decisions; {fix}")
    # Of the product that varies most: others may be frozen, and have the policy's price or are no match.
    variation = float(1 - log.propensity.mean(axis=0).min())
    if variation < LEAST_VARIATION:
        raise ValueError(
            f"log must hold prices that vary at random; got ones that hardly vary ({variation:.1%} of the decisions "
            "would differ if drawn again); explore more"
        )


def target_prices(log: PriceLog, policy: Policy) -> Array:
    """(D, N) price that the policy would have charged, after the guardrails."""
    if not is_deterministic(policy):
        must = f"policy {policy.name} must set prices by what it sees alone"
        raise ValueError(f"{must}; got one that draws or learns; evaluate it by simulation")
    action = policy.act(log.view)
    also = [part for part in ("discount", "promotion", "order", "express") if getattr(action, part) is not None]
    also += ["recommendation"] * (action.recommendation is not None and bool((action.recommendation > 0).any()))
    if also:
        must = f"policy {policy.name} must set list prices alone, as the log holds no more"
        raise ValueError(f"{must}; got {also[0]} too; evaluate it by simulation")
    return log.spec.guardrails.apply(action, log.view).price.astype(np.float64)


def _over_markets(scores: Array, market: NDArray[np.int64]) -> Estimate:
    """The mean of (D,) scores, with an interval over markets."""
    mean = float(scores.mean())
    _, index = np.unique(market, return_inverse=True)
    off = np.bincount(index, scores - mean)
    if off.size < 2:
        return Estimate(mean, -np.inf, np.inf)
    error = np.sqrt(off.size / (off.size - 1) * (off**2).sum()) / scores.size
    half = float(student_t.ppf(0.975, off.size - 1) * error)
    return Estimate(mean, mean - half, mean + half)


# The models of off-policy evaluation: the response to prices, and the value of states under a policy.


def folds_of(market: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """(D,) fold of each decision; all periods of a market are in one fold."""
    return np.unique(market, return_inverse=True)[1] % count


def predicted_money(log: PriceLog, *asked: Array) -> list[Array]:
    """Expected money (D, N) of every decision at each array of prices (D, N), by a model not fitted
    on its market.

    For each product, a generalised linear model of units given the features and the prices of its
    category, with an intercept and slopes by regime: logit where a decision sells at most one unit,
    else Poisson.
    """
    folds = folds_of(log.market, FOLDS)
    cost = 0.0
    if log.spec.market.objective == "profit" and log.spec.stock.cost_due == "sold":
        cost = log.spec.products.unit_cost
    units = [np.empty(price.shape) for price in asked]
    for n in range(log.price.shape[1]):
        own = np.flatnonzero(log.spec.category_index == log.spec.category_index[n])
        logged, *rows = (_rows(log, own, price) for price in (log.price, *asked))
        for fold in np.unique(folds):
            held_out = folds == fold
            seen = ~held_out if held_out.sum() < len(log) else held_out
            predicted = _response(logged[seen], log.units[seen, n], [row[held_out] for row in rows])
            for out, mean in zip(units, predicted, strict=True):
                out[held_out, n] = np.minimum(mean, np.maximum(log.view.on_hand[held_out, n], 0))
    return [(log.spec.products.net(price) - cost) * out for price, out in zip(asked, units, strict=True)]


def _rows(log: PriceLog, own: NDArray[np.intp], price: Array) -> Array:
    """(D, F) columns: features of the category's products and their prices over the regular prices, also by regime."""
    relative = price[:, own] / log.spec.products.regular_price[own]
    features = product_features(log.view)[:, own].reshape(len(price), -1)
    parts = [features, relative]
    if log.view.regime is not None:
        regime = np.eye(len(log.view.catalogue.regimes))[log.view.regime]
        parts.append((regime[:, :, None] * relative[:, None, :]).reshape(len(price), -1))
    return np.concatenate(parts, axis=1, dtype=np.float64)


def _response(rows: Array, units: Array, asked: list[Array]) -> list[Array]:
    """Mean units at each set of rows `asked`, fitted on rows and units."""
    if (units == units[0]).all():
        return [np.full(len(other), float(units[0])) for other in asked]
    centre = rows.mean(axis=0)
    spread = rows.std(axis=0)
    moves = spread > 1e-9
    rows, *asked = ((x[:, moves] - centre[moves]) / spread[moves] for x in (rows, *asked))
    if units.max() <= 1:
        logit = LogisticRegression(C=1 / (_PENALTY * len(rows)), solver="newton-cholesky").fit(rows, units > 0)
        return [logit.predict_proba(other)[:, 1] for other in asked]
    model = PoissonRegressor(alpha=_PENALTY, solver="newton-cholesky").fit(rows, np.maximum(units, 0))
    # Far from the data the exponential of a linear predictor is unbounded.
    return [np.minimum(model.predict(other), units.max()) for other in asked]


def state_values(log: PriceLog, target: Array) -> tuple[Array, Array]:
    """Expected money from each decision to the end of its episode, where the target sets all prices that follow it.

    Backwards, period by period and by category, a random forest is fitted to the money of a decision plus the value of
    the next state under the target. It predicts only markets that it was not fitted on.

    Args:
        log: E markets with a decision in each of T periods, D = E x T.
        target: (D, N) prices of the policy, currency per unit.

    Returns:
        (E, T, C) where the decision itself is at the logged price, and (E, T, C) where it, too, is at the target's;
        both by category, discounted to the decision's period.
    """
    spec = log.spec
    periods = int(spec.market.horizon_periods)
    shape = (len(log) // periods, periods)
    fold = folds_of(log.market, FOLDS).reshape(shape)[:, 0]
    at_logged, at_target = (np.empty((*shape, len(spec.category_names))) for _ in range(2))
    for c in range(len(spec.category_names)):
        own = np.flatnonzero(spec.category_index == c)
        logged, asked = (_rows(log, own, prices).reshape(*shape, -1) for prices in (log.price, target))
        money = log.money[:, own].sum(axis=1).reshape(shape)
        for number in np.unique(fold):
            held_out = fold == number
            # A log of one market has one fold, which is then fitted and predicted.
            seen = ~held_out if not held_out.all() else held_out
            next_value = np.zeros(len(fold))
            for t in reversed(range(periods)):
                value = money[:, t] + spec.market.discount_factor * next_value
                value_at_logged, value_at_target = _forest(logged[seen, t], value[seen], [logged[:, t], asked[:, t]])
                at_logged[held_out, t, c] = value_at_logged[held_out]
                at_target[held_out, t, c] = value_at_target[held_out]
                next_value = value_at_target
    return at_logged, at_target


def _forest(rows: Array, money: Array, asked: list[Array]) -> list[Array]:
    """Mean money at each of the sets of rows `asked`, fitted on rows and money."""
    moves = rows.std(axis=0) > 1e-9
    if not moves.any():
        return [np.full(len(other), money.mean()) for other in asked]
    forest = RandomForestRegressor(_TREES, min_samples_leaf=_LEAF, random_state=0).fit(rows[:, moves], money)
    return [forest.predict(other[:, moves]) for other in asked]
