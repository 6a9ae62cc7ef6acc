"""Policies side by side over posterior draws and customers, paired."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ...agents.posterior.deals import market_under
from ...envs import Market, Outcome, seed_for
from ...jobs.processes import JOBS
from ...pricing import Action, MarketView, Policy
from ...scenarios import MarketSpec
from ..policies import policies_of
from .gain import Floats, Gain
from .support import charged_range

DRAWS, EPISODES = 200, 4
"""Posterior draws and episodes per draw of a comparison, unless the caller says otherwise."""
LEAST_TO_SPLIT = 40
"""With fewer draws, the candidates are compared and reported on the same ones."""
_PRODUCTS_AT_ONCE = 1 << 16
# Product-periods from which a comparison takes longer than its processes to start.
_MUCH = 10_000_000
Part = Literal["all", "choose", "report"]
Result = TypeVar("Result")


@dataclass(frozen=True, repr=False)
class DrawComparison:
    """Policies side by side over M posterior draws and E episodes per draw.

    All policies meet the same draws and the same customers, and all believe in the mean market.

    Attributes:
        spec: The market.
        draws: Numbers of the M draws.
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
        """The gain of a policy over another.

        Args:
            policy: Name of the policy.
            reference: Name of the policy that it is compared with.
            objective: revenue, profit or units; the market's objective by default.
            part: The draws that count: all, those on which a candidate is chosen, or those on which
                the chosen one is reported. The two parts are disjoint from `LEAST_TO_SPLIT` draws
                on.
        """
        row = ("revenue", "profit", "units").index(objective or self.spec.market.objective)
        chosen = self._part(part)
        pair = (policy, reference)
        return Gain.of(*(found[name][row][chosen] for found in (self.expected, self.realised) for name in pair))

    def _part(self, part: Part) -> slice:
        if part == "all" or len(self.draws) < LEAST_TO_SPLIT:
            return slice(None)
        return slice(0, None, 2) if part == "choose" else slice(1, None, 2)


def compare_draws(
    spec: MarketSpec,
    policies: Sequence[Policy | str],
    *,
    draws: int | None = None,
    episodes: int = EPISODES,
    seed: int = 0,
    same_customers: bool = False,
    believed: MarketSpec | None = None,
) -> DrawComparison:
    """Compare policies over posterior draws and customers.

    Args:
        spec: A market with a posterior.
        policies: Policy objects or names (see `POLICY_NAMES`).
        draws: Number of draws, evenly spaced among those of the market; 200 by default, or all of
            fewer.
        episodes: Episodes per draw, at least 2.
        seed: Selects the test seeds.
        same_customers: Let all draws meet the same customers, for differences between draws. By
            default each draw has its own, which keeps the split of the variance unbiased.
        believed: The market that policies believe in, standard errors included; `spec` by default.

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
    available = spec.num_draws
    if not available:
        raise ValueError(
            f"compare_draws needs a market with a posterior; got {spec.name}, which has none; use evaluate"
        )
    count = min(available, DRAWS) if draws is None else draws
    check_draws(spec, count)
    if episodes < 2:
        raise ValueError(f"episodes must be at least 2 per draw; got {episodes}; noise cannot be told from one")
    chosen = policies_of(spec, policies, seed)
    numbers = draw_numbers(spec, count)
    shape = (3, count, episodes)
    expected, realised, outside, prices = {}, {}, {}, {}
    alike: dict[int, tuple[MarketSpec, list[Policy]]] = {}
    for policy in chosen:
        market = market_of(spec, policy)
        alike.setdefault(id(market), (market, []))[1].append(policy)
    found = {}
    for market, group in alike.values():
        drawn = Drawn(market, episodes, seed_for("test", seed), same_customers, believed or spec)
        parts = drawn.each(_simulated, group, numbers)
        found |= {policy.name: [part[n] for part in parts] for n, policy in enumerate(group)}
    for policy in chosen:
        rows = found[policy.name]
        expected[policy.name] = np.concatenate([row.expected for row in rows], axis=1).reshape(shape)
        realised[policy.name] = np.concatenate([row.realised for row in rows], axis=1).reshape(shape)
        marks = [row.outside for row in rows if row.outside is not None]
        outside[policy.name] = float(np.concatenate(marks).mean()) if marks else None
        prices[policy.name] = sum(row.prices for row in rows) / (count * episodes)
    return DrawComparison(spec, numbers, episodes, seed, expected, realised, outside, prices)


def market_of(spec: MarketSpec, policy: Policy) -> MarketSpec:
    """The market as a policy makes it (`agents.posterior.deals.market_under`)."""
    history, remembered = spec.history, spec.reference_price is not None
    if history is None or not (remembered or history.feature_lift.any() or history.funding.any()):
        return spec
    market = Market(spec, num_markets=1, seed=seed_for("tuning"))
    steps = outcomes_of(policy, [market], spec.market.horizon_periods)
    price = np.stack([outcome.list_price[0] for _, _, outcome in steps]).astype(np.float64)
    return market_under(spec, policy, price)


def money_of(spec: MarketSpec, period: int, outcome: Outcome) -> NDArray[np.float64]:
    """(2, 2, E, N) expected and realised, revenue and profit of a period, with what suppliers pay for deals."""
    money = np.stack([outcome.expected_money.transpose(0, 2, 1), [outcome.revenue, outcome.profit]]).astype(np.float64)
    if spec.history is not None and spec.history.funding.any():
        money[:, 1] += spec.history.funding[period] * outcome.units
    return money


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
        same_customers: Whether all draws meet the same customers.
        believed: The market that policies believe in.
    """

    spec: MarketSpec
    episodes: int
    seed: int
    same_customers: bool
    believed: MarketSpec

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
        return [
            Market(
                self.spec.draw(m),
                num_markets=self.episodes,
                seed=self.seed,
                numbers=(0 if self.same_customers else place * self.episodes) + np.arange(self.episodes),
                believed=self.believed,
            )
            for place, m in batch
        ]


@dataclass(frozen=True)
class _Totals:
    """Sums over the episodes of one policy in some draws: (3, E) money and units, (E,) outside, (T, N) prices."""

    expected: Floats
    realised: Floats
    outside: Floats | None
    prices: Floats


def _simulated(spec: MarketSpec, policies: Sequence[Policy], markets: list[Market]) -> list[_Totals]:
    return [_episodes(spec, policy, markets) for policy in policies]


def _episodes(spec: MarketSpec, policy: Policy, markets: list[Market]) -> _Totals:
    """The money and the prices of one episode of every market."""
    episodes, horizon = sum(market.num_markets for market in markets), spec.market.horizon_periods
    sums, outside = np.zeros((2, 3, episodes)), np.zeros(episodes)
    known, prices = charged_range(spec), np.zeros((horizon, len(spec.products.names)))
    for t, own, outcome in outcomes_of(policy, markets, horizon):
        weight = spec.market.discount_factor**t
        sums[:, :2, own] += weight * money_of(spec, t, outcome).sum(axis=-1)
        sums[:, 2, own] += outcome.units.sum(axis=1, dtype=np.float64)
        prices[t] += outcome.list_price.sum(axis=0, dtype=np.float64)
        if known is not None:
            outside[own] += known.outside(outcome.list_price).mean(axis=1)
    return _Totals(sums[0], sums[1], None if known is None else outside / horizon, prices)


def outcomes_of(policy: Policy, markets: list[Market], horizon: int) -> Iterator[tuple[int, slice, Outcome]]:
    """Each period of one episode of every market, with the place of the market's episodes among all.

    The policy is asked once a period, for all draws: it cannot tell them apart.
    """
    for market in markets:
        market.reset()
    for t in range(horizon):
        action, start = policy.act(_views_together([market.view for market in markets])), 0
        for market in markets:
            own = slice(start, start + market.num_markets)
            yield t, own, market.step(_action_part(action, own))
            start = own.stop


def _views_together(views: list[MarketView]) -> MarketView:
    """The views of several batches as one."""
    first = views[0]
    arrays = {
        name: np.concatenate([getattr(view, name) for view in views])
        for name, value in vars(first).items()
        if isinstance(value, np.ndarray)
    }
    return replace(first, **arrays)


def _action_part(action: Action, own: slice) -> Action:
    """The action in some of the markets."""
    parts: dict[str, NDArray[np.float32]] = {
        name: value[own] for name, value in vars(action).items() if isinstance(value, np.ndarray)
    }
    return replace(action, **parts)
