"""Gains over posterior draws x customers, and the prices that the sales support."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from ...envs import Market, Outcome, seed_for
from ...jobs.processes import JOBS
from ...pricing import ChargedRange, MarketView, Policy
from ...scenarios import MarketSpec
from ..explanation import action_in
from ..figures import number
from ..policies import policies_of

Floats = NDArray[np.float64]
Interval = tuple[float, float]
ENDS = (0.05, 0.95)
# Numpy's own method makes intervals of few draws too narrow for the next draw.
METHOD = "weibull"
TAIL = 0.1
# Evenly likely values of a standard normal, scaled to its variance, and its 95% quantile.
NORMAL = norm.ppf((np.arange(25) + 0.5) / 25)
NORMAL = NORMAL / NORMAL.std()
Z90 = 1.645
_LEVEL_ROUNDING = 1e-4
# An error of the level of sales counts up to this share.
_MOST_ERROR = 0.6
MODEL_ERROR = 2.0
"""How many times as far as the posterior says gains lie from their mean where customers answer to deals in their own way, as
they do so in more ways than a model has: with it, intervals hold 21 of 24 drawn shops (docs/can_i_believe_it.md).
"""
DRAWS = 200
"""Posterior draws of a comparison, unless the caller says otherwise."""
EPISODES = 4
"""Episodes per draw, unless the caller says otherwise."""
LEAST_TO_SPLIT = 40
"""With fewer draws, and no halves, the candidates are compared and reported on the same ones."""
_LEAST_OF_HALVES = 4
_PRODUCTS_AT_ONCE = 1 << 16
# Product-periods from which a comparison takes longer than its processes to start.
_MUCH = 10_000_000
Part = Literal["all", "choose", "report"]
Result = TypeVar("Result")


# The gain of one policy over another: parameter uncertainty and sampling noise, kept apart.


@dataclass(frozen=True)
class Gain:
    """What one policy earns beyond another, over posterior draws and customers.

    Money is currency per episode. "Expected" averages over customers, so that only the parameters
    of the market are uncertain; "realised" includes the customers' sampling noise.

    Attributes:
        mean: Mean over the draws.
        interval90: 5% and 95% quantile of the expected gain over the draws.
        interval90_realised: The same of the realised gain, with the same customers
            for both policies.
        loss_probability: Share of the draws in which the expected gain is negative.
        cvar10: Mean of the expected gain in the worst tenth of the draws.
        parameter_variance: Variance of the expected gain over the draws, unbiased; it may be
            negative where it is small.
        sampling_variance: Mean variance of the realised gain within a draw, unbiased.
        noise: Variance of the mean of a draw's few episodes around its expected gain.
        relative: `mean`, `interval90` and `interval90_realised` as shares of what the other policy
            earns; None where that is not positive in every draw.
        base: Mean expected money of the other policy.
        draws: (M,) expected gain under each draw.
        relative_draws: (M,) the same as a share of what the other policy earns, or None.

    Example:
        >>> import numpy as np
        >>> base = np.full((3, 2), 10.0)
        >>> gain = Gain.of(base + np.array([[-1.0], [1.0], [3.0]]), base, base + 1, base)
        >>> gain.mean, round(gain.loss_probability, 2), gain.relative["mean"]
        (1.0, 0.33, 0.1)
    """

    mean: float
    interval90: Interval
    interval90_realised: Interval
    loss_probability: float
    cvar10: float
    parameter_variance: float
    sampling_variance: float
    noise: float
    relative: dict[str, Any] | None
    base: float
    draws: Floats
    relative_draws: Floats | None

    @classmethod
    def of(cls, expected: Floats, other_expected: Floats, realised: Floats, other_realised: Floats) -> Gain:
        """The gain from paired episodes, (M, E) money each: M draws, E >= 2 episodes in each.

        Args:
            expected: Expected money of the policy, given its actions.
            other_expected: The same of the policy that it is compared with.
            realised: Money that the policy took.
            other_realised: The same of the other policy.
        """
        came = realised - other_realised
        # Both have the same mean. Expected money varies less, except where stock is what limits
        # sales.
        pairs = ((expected, other_expected), (realised, other_realised))
        one, other = min(pairs, key=lambda pair: (pair[0] - pair[1]).var(axis=1).mean())
        difference = one - other
        base = other.mean(axis=1)
        draws, parameter = without_noise(difference)
        relative = relative_draws = None
        if (base > 0).all():
            share = difference.mean(axis=1) / base
            # The error of a ratio of means, by the delta method.
            relative_draws, _ = without_noise((difference - share[:, None] * other) / base[:, None], share)
            relative = {
                "mean": float(difference.mean() / base.mean()),
                "interval90": quantiles(relative_draws),
                "interval90_realised": quantiles(came / base[:, None]),
            }
        return cls(
            mean=float(difference.mean()),
            interval90=quantiles(draws),
            interval90_realised=quantiles(came),
            loss_probability=float((draws < 0).mean()),
            cvar10=cvar(draws, TAIL),
            parameter_variance=parameter,
            sampling_variance=float(came.var(axis=1, ddof=1).mean()),
            noise=float(difference.var(axis=1, ddof=1).mean() / difference.shape[1]),
            relative=relative,
            base=float(base.mean()),
            draws=draws,
            relative_draws=relative_draws,
        )

    def with_model_error(self, factor: float) -> Gain:
        """The gain where the model is as wrong as to spread it more than the posterior does.

        The discrepancy between a model and what it is of, Kennedy and O'Hagan (2001), Journal of the Royal Statistical Society
        B 63, in its simplest form: the draws lie further from their mean.

        Args:
            factor: How many times as far.
        """
        if factor == 1:
            return self
        draws = further(self.draws, factor)
        parameter = factor**2 * self.parameter_variance
        before, after = (max(each, 0.0) + self.sampling_variance for each in (self.parameter_variance, parameter))
        of_total = float(np.sqrt(after / before)) if before > 0 else 1.0
        relative = self.relative
        relative_draws = self.relative_draws
        if relative is not None and relative_draws is not None:
            relative_draws = further(relative_draws, factor)
            came = np.array(relative["interval90_realised"])
            relative = relative | {
                "interval90": quantiles(relative_draws),
                "interval90_realised": tuple(further(came, of_total, relative["mean"]).tolist()),
            }
        low, high = further(np.array(self.interval90_realised), of_total, self.mean).tolist()
        return replace(
            self,
            interval90=quantiles(draws),
            interval90_realised=(low, high),
            loss_probability=float((draws < 0).mean()),
            cvar10=cvar(draws, TAIL),
            parameter_variance=parameter,
            relative=relative,
            draws=draws,
            relative_draws=relative_draws,
        )

    def with_level_error(self, deviation: float) -> Gain:
        """The gain where the level of all sales is uncertain, too.

        It scales the money of both policies alike, and so their difference: not what one earns relative to the other, nor
        the chance of a loss.

        Args:
            deviation: Standard deviation of the error, as a share.
        """
        if not deviation:
            return self

        def wider(ends: Interval) -> Interval:
            low, high = (np.hypot(end - self.mean, Z90 * deviation * self.mean) for end in ends)
            return float(self.mean - low), float(self.mean + high)

        # The quantiles of the product, as many as there are draws.
        scaled = self.draws[:, None] * np.maximum(1 + deviation * NORMAL, 0.0)
        draws = np.sort(scaled.ravel()).reshape(len(self.draws), -1).mean(axis=1)
        return replace(
            self,
            interval90=wider(self.interval90),
            interval90_realised=wider(self.interval90_realised),
            cvar10=cvar(draws, TAIL),
            parameter_variance=self.parameter_variance + (self.mean * deviation) ** 2,
            draws=draws,
        )

    @property
    def chance_of_loss(self) -> str:
        """The probability of a loss in words; that none of so many draws loses says less than that none can."""
        least = 1 / self.draws.size
        lost = self.loss_probability
        return f"{lost:.0%} chance" if lost >= least else f"less than {max(least, 0.01):.0%} chance"

    @property
    def parameter_share(self) -> float | None:
        """Share of the variance of the realised gain that is parameter uncertainty; None without any variance."""
        parameter = max(self.parameter_variance, 0.0)
        total = parameter + self.sampling_variance
        return parameter / total if total > 0 else None

    @property
    def share(self) -> float:
        """The mean gain as a share of what the other policy earns (of its size, where it may lose)."""
        return self.mean / (abs(self.base) or 1.0)

    def quantile(self, level: float) -> float:
        """Quantile of the expected gain, as a share of what the other policy earns (of its size, where it may lose)."""
        values = self.draws / (abs(self.base) or 1.0) if self.relative_draws is None else self.relative_draws
        return float(np.quantile(values, level, method=METHOD))

    def amount(self, currency: str) -> str:
        """The mean in words: `6.1%`, or money where the other policy earns nothing."""
        return f"{number(100 * self.relative['mean'], 1)}%" if self.relative else f"{number(self.mean)}{currency}"

    def more(self, currency: str, word: Literal["more", "higher"] = "more") -> str:
        """`6.1% more`, or `6.1% less`."""
        amount = self.amount(currency)
        less = {"more": "less", "higher": "lower"}[word]
        return f"{amount.removeprefix('−')} {less if self.mean < 0 else word}"

    def interval(self, currency: str, *, realised: bool = False) -> str:
        """The 90% interval in words, `2.3% to 9.7%`; of what will come, with sampling noise, where `realised`."""
        name = "interval90_realised" if realised else "interval90"
        if self.relative:
            return " to ".join(f"{number(100 * end, 1)}%" for end in self.relative[name])
        return " to ".join(f"{number(end)}{currency}" for end in getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        names = ("mean", "interval90", "interval90_realised", "loss_probability", "cvar10", "parameter_share")
        return {name: getattr(self, name) for name in names} | {"relative": self.relative}


def without_noise(episodes: Floats, centre: Floats | None = None) -> tuple[Floats, float]:
    """The mean under each draw, and its variance over the draws, both without the noise
    of few episodes.

    A mean over E episodes varies more over the draws than the true mean does: by the law of total
    variance, by the variance within draws over E. The means are drawn together around their common
    mean until their variance is that of the true means.

    Args:
        episodes: (M, E) one value per draw and episode, independent between draws.
        centre: (M,) the means, where they are not those of `episodes`.

    Returns:
        (M,) means, and their variance: unbiased, so possibly negative.
    """
    means = episodes.mean(axis=1) if centre is None else centre
    if means.size < 2:
        return means, 0.0
    spread = means.var(ddof=1)
    noise = episodes.var(axis=1, ddof=1).mean() / episodes.shape[1]
    if spread == 0:
        return means, float(-noise)
    shrink = np.sqrt(max(0.0, 1 - noise / spread))
    return means.mean() + shrink * (means - means.mean()), float(spread - noise)


def further(values: Floats, factor: float, centre: float | None = None) -> Floats:
    """Values so many times as far from a centre.

    Args:
        values: (M, …) values.
        factor: How many times as far.
        centre: The centre; by default their mean over the M.

    Example:
        >>> further(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
        [0.0, 2.0, 4.0]
    """
    middle = values.mean(axis=0) if centre is None else centre
    return middle + factor * (values - middle)


def quantiles(values: Floats) -> Interval:
    """The 5% and the 95% quantile; the next draw of the same kind lies between them with a probability of 90%."""
    low, high = np.quantile(values, ENDS, method=METHOD)
    return float(low), float(high)


def cvar(draws: Floats, tail: float) -> float:
    """Mean of the lowest values, a share `tail` of them and at least one (conditional value at risk)."""
    count = max(1, round(tail * draws.size))
    return float(np.sort(draws)[:count].mean())


# Prices outside the range that the shop mostly charged, where hardly any data say how customers respond.


def charged_range(spec: MarketSpec) -> ChargedRange | None:
    """The prices that the shop charged; None where the market does not say.

    Example:
        >>> from repricer import load_scenario
        >>> charged_range(load_scenario("stationary-logit")) is None
        True
    """
    past = spec.past
    if past.charged_low is None or past.charged_high is None:
        return None
    return ChargedRange(past.charged_low, past.charged_high)


def joint_outside(spec: MarketSpec, price: ArrayLike) -> NDArray[np.bool_] | None:
    """Whether the prices of a category are lower or higher together than they mostly were.

    A price that was charged for one product at a time says little of all of them at once.

    Args:
        spec: The market.
        price: (…, N) prices, currency per unit.

    Returns:
        (…, C), or None where the market does not say what was charged.

    Example:
        >>> from repricer import load_scenario
        >>> joint_outside(load_scenario("stationary-logit"), [[11.0]]) is None
        True
    """
    past = spec.past
    if past.level_low is None or past.level_high is None:
        return None
    member = np.eye(len(spec.category_names))[spec.category_index]
    level = (np.asarray(price, dtype=np.float64) / spec.products.regular_price) @ (member / member.sum(axis=0))
    return (level < past.level_low * (1 - _LEVEL_ROUNDING)) | (level > past.level_high * (1 + _LEVEL_ROUNDING))


# Policies side by side over posterior draws and customers, paired.


@dataclass(frozen=True, repr=False)
class DrawComparison:
    """Policies side by side over M posterior draws and E episodes per draw.

    All policies meet the same draws and the same customers, and all believe in the mean market.

    Attributes:
        spec: The market.
        draws: Numbers of the M draws, of its `halves` where it has any, else of its posterior.
        count: E, episodes per draw.
        seed: The user's seed.
        expected: By policy, (3, M, E) expected revenue and profit given its actions, currency per
            episode, discounted where the market discounts, and units sold.
        realised: By policy, (3, M, E) revenue, profit and units that came, the same way.
        outside: By policy, the share of product-periods priced outside what the shop mostly charged; None
            where the market does not say what it charged.
        prices: By policy, (T, N) mean list price, currency per unit.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> compare_draws(spec, ["fixed:9", "regular"]).gain("fixed:9", "regular").draws.shape
        (2,)
    """

    spec: MarketSpec
    draws: tuple[int, ...]
    count: int
    seed: int
    expected: dict[str, Floats]
    realised: dict[str, Floats]
    outside: dict[str, float | None]
    prices: dict[str, Floats]

    def gain(self, policy: str, reference: str, *, objective: str | None = None, part: Part = "all") -> Gain:
        """The gain of a policy over another, by which candidates are judged and which every table prints.

        Args:
            policy: Name of the policy.
            reference: Name of the policy that it is compared with.
            objective: revenue, profit or units; the market's objective by default.
            part: The draws that count: all, those on which a candidate is chosen, or those on which
                the chosen one is reported: of the first and of the second of the market's halves. Without
                halves, they are every other draw from `LEAST_TO_SPLIT` draws on, and all of fewer.
        """
        row = ("revenue", "profit", "units").index(objective or self.spec.market.objective)
        chosen = self._part(part)
        pair = (policy, reference)
        money = (found[name][row][chosen] for found in (self.expected, self.realised) for name in pair)
        return Gain.of(*money).with_model_error(model_error(self.spec)).with_level_error(level_error(self.spec))

    def _part(self, part: Part) -> slice:
        if part == "all" or (self.spec.halves is None and len(self.draws) < LEAST_TO_SPLIT):
            return slice(None)
        if self.spec.halves is not None:
            middle = int(np.searchsorted(self.draws, self.spec.halves.draws // 2))
            return slice(None, middle) if part == "choose" else slice(middle, None)
        return slice(0, None, 2) if part == "choose" else slice(1, None, 2)


def model_error(spec: MarketSpec) -> float:
    """How many times as far as the posterior says the gains of a fitted market lie from their mean: `MODEL_ERROR` where
    customers answer to deals in their own way, else 1.

    Example:
        >>> from repricer import load_scenario
        >>> model_error(load_scenario("stationary-logit"))
        1.0
    """
    return MODEL_ERROR if spec.plan is not None and spec.reference_price is not None else 1.0


def level_error(spec: MarketSpec) -> float:
    """By how much the level of sales may be wrong, beyond what the posterior says: a standard deviation, as a share.

    There are two measured errors of the level, that of the held-out weeks and that of the last account. Of each, the
    part counts that its own standard error does not explain.

    Example:
        >>> from repricer import load_scenario
        >>> level_error(load_scenario("stationary-logit"))
        0.0
    """
    evidence = spec.evidence
    # Pairs of an error and its standard error, both in logs.
    held_out = (float(np.log(max(1 + (evidence.proof_bias or 0.0), 1e-9))), evidence.proof_spread)
    account = (evidence.account_error or 0.0, evidence.account_spread)
    unexplained_variance = sum(max(error**2 - spread**2, 0.0) for error, spread in (held_out, account))
    return min(unexplained_variance**0.5, _MOST_ERROR)


def compare_draws(
    spec: MarketSpec,
    policies: Sequence[Policy | str],
    *,
    draws: int | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
    assumed: MarketSpec | None = None,
) -> DrawComparison:
    """Compare policies over posterior draws and customers: over those of both halves, where the market has `halves`.

    Args:
        spec: A market with a posterior.
        policies: Policy objects or names (see `POLICY_NAMES`).
        draws: Number of draws, evenly spaced among those of the market; 200 by default, or all of
            fewer. With halves, at least 2 of each.
        episodes: Episodes per draw, at least 2.
        seed: Selects the test seeds.
        assumed: The market that policies believe in, standard errors included; `spec` by default.

    Raises:
        ValueError: For a market without a posterior, numbers out of range, or two policies
            with one name.

    Example:
        >>> from dataclasses import replace
        >>> from repricer import load_scenario
        >>> from repricer.scenarios.sections import Posterior
        >>> spec = replace(load_scenario("stationary-logit"), posterior=Posterior(draws=2, arrivals=[[[0.9]], [[1.1]]]))
        >>> compare_draws(spec, ["fixed:9", "regular"]).expected["regular"].shape
        (3, 2, 4)
    """
    if not spec.num_draws:
        must = "compare_draws needs a market with a posterior"
        raise ValueError(f"{must}; got {spec.name}, which has none; use evaluate")
    drawn = spec.judged
    count = min(drawn.num_draws, DRAWS) if draws is None else draws
    if spec.halves is not None:
        count = min(max(count, _LEAST_OF_HALVES), drawn.num_draws)
    check_draws(drawn, count)
    if episodes < 2:
        raise ValueError(f"episodes must be at least 2 per draw; got {episodes}; noise cannot be estimated from one")
    chosen = policies_of(spec, policies, seed)
    numbers = draw_numbers(drawn, count)
    parts = Drawn(drawn, episodes, seed_for("test", seed), assumed or spec).each(_simulated, chosen, numbers)
    expected = {}
    realised = {}
    outside = {}
    prices = {}
    for n, name in enumerate(policy.name for policy in chosen):
        sums, marks, paths = zip(*(part[n] for part in parts), strict=True)
        expected[name], realised[name] = np.concatenate(sums, axis=-1).reshape(2, 3, count, episodes)
        outside[name] = None if charged_range(spec) is None else float(np.concatenate(marks).mean())
        prices[name] = sum(paths) / (count * episodes)
    return DrawComparison(spec, numbers, episodes, seed, expected, realised, outside, prices)


def money_of(outcome: Outcome) -> NDArray[np.float64]:
    """(2, 2, E, N) expected and realised, revenue and profit of a period."""
    expected = outcome.expected_money.transpose(0, 2, 1)
    return np.stack([expected, [outcome.revenue, outcome.profit]]).astype(np.float64)


def draw_numbers(spec: MarketSpec, draws: int | None = None) -> tuple[int, ...]:
    """The posterior draws that are used, evenly spaced: so many, by default all of few and some of many."""
    count = min(spec.num_draws, DRAWS) if draws is None else draws
    return tuple(int(m) for m in np.linspace(0, spec.num_draws - 1, count).round())


def check_draws(spec: MarketSpec, draws: int) -> None:
    """Raise ValueError where a market does not have so many draws."""
    if not 1 <= draws <= spec.num_draws:
        raise ValueError(f"draws must lie in 1 to {spec.num_draws}, those of {spec.name}; got {draws}; ask for fewer")


class Drawn(NamedTuple):
    """The markets of posterior draws, side by side.

    Attributes:
        spec: A market with a posterior.
        episodes: E, markets of each draw.
        seed: Their seed.
        assumed: The market that policies believe in.
    """

    spec: MarketSpec
    episodes: int
    seed: int
    assumed: MarketSpec

    def each(
        self,
        work: Callable[[MarketSpec, Sequence[Policy], list[Market]], Result],
        policies: Sequence[Policy],
        numbers: Sequence[int],
    ) -> list[Result]:
        """The results of work on the draws, batch by batch: in processes where it is much, and policies can be passed to them.

        The batches are always the same, so that no result depends on the number of processes.
        """
        products = len(self.spec.products.names)
        size = max(1, _PRODUCTS_AT_ONCE // (self.episodes * products))
        batches = [list(enumerate(numbers))[start : start + size] for start in range(0, len(numbers), size)]
        much = len(numbers) * self.episodes * products * self.spec.market.horizon_periods * len(policies) > _MUCH
        tasks = [delayed(self._work)(work, policies, batch) for batch in batches]
        try:
            return cast(Any, Parallel(n_jobs=JOBS if much else 1)(tasks))
        except pickle.PicklingError:
            # A policy of the user's own may hold what only this process can.
            return cast(Any, Parallel(n_jobs=1)(tasks))

    def _work(self, work: Callable[..., Result], policies: Sequence[Policy], batch: list[tuple[int, int]]) -> Result:
        return work(self.spec, policies, self._markets(batch))

    def _markets(self, batch: list[tuple[int, int]]) -> list[Market]:
        given: dict[str, Any] = {"num_markets": self.episodes, "seed": self.seed, "assumed": self.assumed}
        own = np.arange(self.episodes)
        return [Market(self.spec.draw(m), numbers=place * self.episodes + own, **given) for place, m in batch]


def _simulated(
    spec: MarketSpec, policies: Sequence[Policy], markets: list[Market]
) -> list[tuple[Floats, Floats, Floats]]:
    return [_episodes(spec, policy, markets) for policy in policies]


def _episodes(spec: MarketSpec, policy: Policy, markets: list[Market]) -> tuple[Floats, Floats, Floats]:
    """Of one episode of every market: (2, 3, E) expected and realised revenue, profit and units, (E,) share of prices
    outside what was mostly charged, and (T, N) sums of the prices.
    """
    episodes = sum(market.num_markets for market in markets)
    horizon = spec.market.horizon_periods
    sums = np.zeros((2, 3, episodes))
    outside = np.zeros(episodes)
    known = charged_range(spec)
    prices = np.zeros((horizon, len(spec.products.names)))
    for t, own, outcome in outcomes_of(policy, markets, horizon):
        weight = spec.market.discount_factor**t
        sums[:, :2, own] += weight * money_of(outcome).sum(axis=-1)
        sums[:, 2, own] += outcome.units.sum(axis=1, dtype=np.float64)
        prices[t] += outcome.list_price.sum(axis=0, dtype=np.float64)
        if known is not None:
            outside[own] += known.outside(outcome.list_price).mean(axis=1)
    return sums, outside / horizon, prices


def outcomes_of(policy: Policy, markets: list[Market], horizon: int) -> Iterator[tuple[int, slice, Outcome]]:
    """Each period of one episode of every market, with the place of the market's episodes among all.

    The policy is asked once a period, for all draws: it cannot tell them apart.
    """
    for market in markets:
        market.reset()
    for t in range(horizon):
        action = policy.act(views_together([market.view for market in markets]))
        start = 0
        for market in markets:
            own = slice(start, start + market.num_markets)
            yield t, own, market.step(action_in(action, own))
            start = own.stop


def views_together(views: list[MarketView]) -> MarketView:
    """The views of several batches as one."""
    arrays = [name for name, value in vars(views[0]).items() if isinstance(value, np.ndarray)]
    return replace(views[0], **{name: np.concatenate([getattr(view, name) for view in views]) for name in arrays})
