"""Certificates from logged data: with what confidence a policy's prices lose at most a share x of the logged money.

The *score* of a unit (a market, or a decision) estimates without bias what the policy would have earned there less
1 - x times what was earned: over its periods and categories, the sum of

    q(policy's prices) + weight * (money - q(logged prices)) - (1 - x) * money.

The weight is one over the probability of the logged prices where they are the policy's, else zero, so its mean is 1; q is
money that a response model predicts which was not fitted on that market (off_policy.predicted_money). As a control
variate, q takes out most of the variance, and a wrong q biases nothing. "Loses at most x" means that scores are 0
or above on average. The lower bound of the gain is the largest g for which "gains g at most" is rejected.

Guaranteed, where scores lie within the cap: with the stated confidence, a policy that loses more than x is not certified.

- Of independent, alike markets, by betting for the whole log (`bounds.betting_capital`), and by Maurer and Pontil's
  empirical Bernstein bound, which also covers markets that differ.
- At every look at once, for the average so far, whatever the trend (`bounds.mixture_capital`): what is certified then is
  the money so far, not that of a future day.

Assumed:

- The propensities are right, and each decision was drawn on its own. A mean weight far from 1 is refused.
- A score is cut at a cap below and another above, each 1.5 times the 99% quantile of that side in the log. What is cut above makes the bound lower. What
  is cut below is reported and taken off the bound. Below the cap, the log must stand for what it did not hold.
- Later effects of a price, as through stock or reference prices, are those of the logged states (`ignored`).
- For continuous prices, a kernel takes neighbouring prices for the policy's (Kallus and Zhou 2018, Policy evaluation and
  optimization with continuous treatments, AISTATS 21). The bound is lowered by the largest bias that demand can cause
  whose elasticity never exceeds a given one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...evaluation.off_policy import (
    category_members,
    check_log,
    effective_sample,
    links_between_periods,
    matched_weights,
    predicted_money,
    target_prices,
)
from ...evaluation.price_log import PriceLog
from ...pricing import Policy
from .bounds import Array, betting_capital, largest, maurer_pontil_bound, mixture_capital, predictions

UNITS = ("market", "decision")
LEAST_UNITS = 10
# Half-width of the kernel as a share of the price, and the elasticity that demand is taken to have at most.
BANDWIDTH = 0.05
ELASTICITY = 4.0
_CAP = 1.5
_QUANTILE = 0.99
_LOOKS = 60
_ERRORS = 4
# A normal score has this variance as a share of the squared width between its caps.
_VARIANCE = (1 / (2 * _CAP * 2.326)) ** 2


@dataclass(frozen=True)
class GainBounds:
    """Bounds of a relative gain, a share of the logged money.

    Attributes:
        estimate: The gain in the log.
        betting: Lower bound for the whole log, by betting.
        empirical_bernstein: The same by Maurer and Pontil's bound.
        looks: Numbers of units at which the log was looked at.
        running: Lower bounds of the average gain until each look, which hold at all of them.
        cap: Largest loss that a score can show, in units of the mean money of a unit.
        clipped_share: Share of the scores that were cut.
        clipped_gain: Gain that scores cut below would take away, which the bounds are lowered by.

    Example:
        >>> bounds_of_gain(np.full(50, 6.0), np.full(50, 100.0)).estimate
        0.06
    """

    estimate: float
    betting: float
    empirical_bernstein: float
    looks: tuple[int, ...]
    running: tuple[float, ...]
    cap: float
    clipped_share: float
    clipped_gain: float


@dataclass(frozen=True)
class PolicyCertificate(GainBounds):
    """Whether the prices of a policy lose at most a share of the logged money.

    Attributes:
        policy: Name of the policy.
        unit: What a score is of: "market" or "decision".
        units: Number of scores.
        effective_sample_size: Number of unweighted decisions with the same information.
        loss: x, a share.
        confidence: Of the statement.
        daily: Whether the statement is read at every look, so that its bound is the running one.
        bias: Largest bias of the kernel, a share of the logged money; the bounds are lowered by it.
        ignored: Effects of a price on later periods that are those of the logged states.

    Example:
        >>> sorted(PolicyCertificate.__dataclass_fields__)[:3]
        ['betting', 'bias', 'cap']
    """

    policy: str
    unit: str
    units: int
    effective_sample_size: float
    loss: float
    confidence: float
    daily: bool
    bias: float
    ignored: tuple[str, ...]

    @property
    def lower(self) -> float:
        """The bound that the statement rests on."""
        return self.running[-1] if self.daily else self.betting

    @property
    def certified(self) -> bool:
        """Whether the loss is at most x."""
        return self.lower >= -self.loss

    @property
    def data_needed(self) -> float | None:
        """About how many times this log would certify the estimate; None where none would."""
        found = self.estimate - self.bias - self.clipped_gain
        return ((found - self.lower) / (found + self.loss)) ** 2 if found > -self.loss else None

    def verdict(self) -> str:
        """One line."""
        figures = f"lower bound {self.lower:+.1%}, estimate {self.estimate:+.1%}, {self.units:,} {self.unit}s"
        lose = f"lose at most {100 * self.loss:g}% against the logged ones"
        if self.certified:
            return f"certified: with {self.confidence:.0%} confidence these prices {lose} ({figures})"
        more = "the estimate is such a loss itself, so that more data alone would not help"
        needed = self.data_needed
        if needed is not None:
            more = f"at this estimate about {needed:,.1f} times as much data would be needed"
        return f"not certified: that these prices {lose} cannot be stated with {self.confidence:.0%} confidence ({figures}); {more}"

    def to_dict(self) -> dict[str, Any]:
        """As `certify --json` prints it."""
        found = {"certified": self.certified, "lower": self.lower, "data_needed": self.data_needed}
        return {"verdict": self.verdict()} | found | asdict(self)


def certify(
    log: PriceLog,
    policy: Policy,
    *,
    loss: float = 0.02,
    confidence: float = 0.95,
    unit: str = "market",
    daily: bool = False,
    bandwidth: float | None = None,
    elasticity: float = ELASTICITY,
) -> PolicyCertificate:
    """Certify from a log that a policy's prices lose at most a share of the logged money.

    Args:
        log: Decisions with propensities.
        policy: A deterministic policy that sets list prices alone.
        loss: x, the share that may be lost, in [0, 1).
        confidence: In (0.5, 1).
        unit: What is independent of the others: a market with all its periods, or, where few markets are seen for
            long, a decision given the past; decisions are taken in the order of their periods.
        daily: Whether the log is looked at after each unit, or period, and the average so far is certified.
        bandwidth: Half-width of a kernel as a share of the price, for logs of continuous prices, whose propensity is their
            density; None for prices that recur.
        elasticity: Own-price elasticity, 1 or above, that demand has at most; it bounds the kernel's bias.

    Raises:
        ValueError: One line, where the log does not support a certificate.

    Example:
        >>> from repricer.envs import rollout
        >>> from repricer.evaluation import LogRecorder, named_policy
        >>> from repricer.pricing import EpsilonGreedy, FixedPrice
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("seen-segments")
        >>> recorder = LogRecorder(spec)
        >>> explorer = EpsilonGreedy(FixedPrice(6.0), np.array([[6.0], [12.0]]), 1.0)
        >>> episodes = rollout(spec, explorer, episodes=2000, seed=0, watch=recorder)
        >>> certify(recorder.log(), FixedPrice(12.0), loss=0.2).certified
        True
    """
    if not (0 <= loss < 1 and 0.5 < confidence < 1):
        must = "loss must lie in [0, 1) and confidence in (0.5, 1)"
        raise ValueError(f"{must}; got {loss:g} and {confidence:g}; 0.02 and 0.95 are usual")
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}; got '{unit}'; choose one of them")
    ignored = links_between_periods(log.spec)
    if "stock" in ignored:
        must = "log must be of a market whose stock is replenished"
        fix = "evaluate the policy by simulation"
        raise ValueError(f"{must}; got {log.spec.name}, where a price that sells out has no later sales; {fix}")
    target = target_prices(log, policy)
    bias = 0.0
    if bandwidth is None:
        check_log(log)
        weights = matched_weights(log, target)
    else:
        weights = kernel_weights(log, target, bandwidth)
        bias = kernel_bias(bandwidth, elasticity) * float(
            (log.units * log.spec.products.net(log.price)).sum() / log.money.sum()
        )
    size = effective_sample(weights, policy.name)
    _check_mean(weights, policy.name)
    gain, money = gain_scores(log, target, weights)
    if unit == "market":
        order = np.unique(log.market, return_inverse=True)[1]
        looks = None
    else:
        order = np.lexsort((log.market, log.view.period)).argsort()
        looks = np.cumsum(np.unique(log.view.period, return_counts=True)[1])
    gain, money = (np.bincount(order, values) for values in (gain, money))
    found = bounds_of_gain(gain, money, loss=loss, confidence=confidence, looks=looks, bias=bias)
    facts: dict[str, Any] = {"loss": loss, "confidence": confidence, "daily": daily, "bias": bias, "ignored": ignored}
    facts |= {"policy": policy.name, "unit": unit, "units": gain.size, "effective_sample_size": size}
    return PolicyCertificate(**vars(found), **facts)


def gain_scores(log: PriceLog, target: Array, weights: Array) -> tuple[Array, Array]:
    """(D,) gain of each decision over the logged money, estimated without bias, and (D,) the logged money, discounted.

    Args:
        log: D decisions.
        target: (D, N) prices of the policy, currency per unit.
        weights: (D, C) weights by category, with mean 1.
    """
    member = category_members(log)
    factor = log.spec.market.discount_factor ** log.view.period.astype(np.float64)
    at_logged, at_target = (found @ member for found in predicted_money(log, log.price, target))
    money = log.money @ member
    gain = at_target + weights * (money - at_logged) - money
    return gain.sum(axis=1) * factor, money.sum(axis=1) * factor


def bounds_of_gain(
    gain: ArrayLike,
    money: ArrayLike,
    *,
    loss: float = 0.02,
    confidence: float = 0.95,
    looks: ArrayLike | None = None,
    bias: float = 0.0,
) -> GainBounds:
    """Lower bounds of the mean gain over the mean money, from scores of units in the order of time.

    Args:
        gain: (n,) what the policy would have earned more, estimated without bias.
        money: (n,) what was earned.
        loss: The loss at which scores are cut.
        confidence: Of each bound.
        looks: (L,) numbers of units at which the running bound is read, rising; by default at most 60 up to n.
        bias: What a kernel may add to the gain, a share; the bounds are lowered by it.

    Raises:
        ValueError: There are too few units, or they earned nothing on average.

    Example:
        >>> random = np.random.default_rng(0)
        >>> money = random.normal(100, 10, 400)
        >>> found = bounds_of_gain(random.normal(5, 30, 400), money)
        >>> found.empirical_bernstein < found.betting < found.estimate
        True
    """
    gain = np.asarray(gain, dtype=np.float64)
    money = np.asarray(money, dtype=np.float64)
    alpha = 1 - confidence
    n = gain.size
    mean = float(money.mean())
    if n < LEAST_UNITS:
        must = f"log must hold {LEAST_UNITS} markets or more"
        fix = "log more, or take decisions as units"
        raise ValueError(f"{must}; got {n}; {fix}")
    if not mean > 0:
        raise ValueError(f"log must earn money on average; got {mean:.3g} a unit; a share of a loss states nothing")
    gain = gain / mean
    money = money / mean
    at = np.unique(np.linspace(LEAST_UNITS, n, _LOOKS).astype(int)) if looks is None else np.asarray(looks, dtype=int)
    scores = gain + loss * money
    estimate = float(gain.mean())
    # A side on which the log holds nothing is taken to reach half as far as the other.
    sizes = (-scores, scores, np.abs(scores) / 2)
    low, high, least = (_CAP * float(np.quantile(side, _QUANTILE, method="higher")) for side in sizes)
    low = max(low, least, 1e-9)
    high = max(high, least, 1e-9)
    none = low / (low + high)
    log_odds = -np.log(alpha)

    def within(g: Array) -> Array:
        """Scores where a gain of g is none, cut, and as shares of the width between the caps."""
        return (np.clip(gain - g[:, None] * money, -low, high) + low) / (low + high)

    def by_betting(g: Array) -> NDArray[np.bool_]:
        capital = betting_capital(within(g)[0], none, alpha, planned=n, prior_variance=_VARIANCE)
        return capital.max(axis=1) >= log_odds

    def by_bernstein(g: Array) -> NDArray[np.bool_]:
        return np.array([maurer_pontil_bound(within(g)[0], alpha, 1.0) >= none])

    def at_looks(g: Array) -> NDArray[np.bool_]:
        x = within(g)
        rows = np.arange(at.size)
        # Predictions at or below no gain: an observation misses them by `none` at most.
        spent = ((x - np.minimum(predictions(x)[0], none)) ** 2).cumsum(axis=1)[rows, at - 1]
        total = (x - none).cumsum(axis=1)[rows, at - 1]
        return mixture_capital(total, spent, alpha, _VARIANCE * n, scale=none) >= log_odds

    beyond = float(np.maximum(-low - scores, 0).mean())
    betting, bernstein, running = (
        # From the loss of everything on.
        largest(rejected, np.full(size, -1.0), np.full(size, max(estimate, -1.0) + 1)) - beyond - bias
        for rejected, size in ((by_betting, 1), (by_bernstein, 1), (at_looks, at.size))
    )
    share = float(((scores < -low) | (scores > high)).mean())
    ends = (float(betting[0]), float(bernstein[0]))
    return GainBounds(estimate, *ends, tuple(at.tolist()), tuple(running.tolist()), low, share, beyond)


def kernel_weights(log: PriceLog, target: Array, bandwidth: float = BANDWIDTH) -> Array:
    """(D, C) Epanechnikov kernel of each product's relative distance from its target over its density, by category.

    Args:
        log: D decisions, whose propensities are densities per unit of currency.
        target: (D, N) prices of the policy, currency per unit.
        bandwidth: h, half-width as a share of the target price, in (0, 0.5].

    Raises:
        ValueError: One line, where a density is missing, or h is out of range.
    """
    if not 0 < bandwidth <= 0.5:
        raise ValueError(f"bandwidth must lie in (0, 0.5]; got {bandwidth:g}; {BANDWIDTH} is 5% of the price")
    if (unknown := ~(log.propensity > 0)).any():
        must = "log must state the density of every price"
        fix = "log with a policy that draws them, such as random"
        raise ValueError(f"{must}; got {unknown.any(axis=1).sum():,} of {len(log):,} decisions without; {fix}")
    distance = (log.price - target) / (bandwidth * target)
    weight = 0.75 * np.maximum(1 - distance**2, 0) / (bandwidth * target * log.propensity)
    return np.stack([weight[:, own > 0].prod(axis=1) for own in category_members(log).T], axis=1)


def kernel_bias(bandwidth: float, elasticity: float = ELASTICITY) -> float:
    """Largest bias of kernel-weighted money, as a share of revenue: h ** 2 / 2 * kappa_2 * sup|money''| * p ** 2 / revenue.

    kappa_2 is 1/5. Of money (p - c) d(p), the second derivative 2 d' + (p - c) d'' has two parts of opposite sign
    where demand falls and is convex. With |d'| <= e d / p and d'' <= e (e + 1) d / p ** 2, none exceeds e (e + 1) d / p,
    and d / p rises by (1 - h) ** -(e + 1) at most within the kernel.

    Args:
        bandwidth: h, half-width of the kernel as a share of the price.
        elasticity: e, the largest own-price elasticity, 1 or above.

    Raises:
        ValueError: The elasticity is below 1.

    Example:
        >>> round(kernel_bias(0.05, 3.0), 4)
        0.0037
    """
    if not elasticity >= 1:
        raise ValueError(f"elasticity must be 1 or above; got {elasticity:g}; give the largest that demand may have")
    return bandwidth**2 / 10 * elasticity * (elasticity + 1) * (1 - bandwidth) ** -(elasticity + 1)


def _check_mean(weights: Array, policy: str) -> None:
    """Check that weights have mean 1, as they have where the log could charge the policy's prices everywhere."""
    mean = weights.mean(axis=0)
    error = weights.std(axis=0) / np.sqrt(len(weights))
    off = np.abs(mean - 1) > _ERRORS * error + 1e-6
    if off.any():
        must = f"log must draw the prices of policy {policy} with their stated probability in all its states"
        raise ValueError(f"{must}; got weights with a mean of {mean[off][0]:.2f} instead of 1; log with such prices")
