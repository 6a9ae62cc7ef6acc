"""A plan that anybody could find: one regular price a product, and the shop's deals kept, moved, dropped or changed.

The search is small on purpose. A search of free paths exploits the fitted response to deals: in true markets it loses what
it seemed to gain. Deals lie within what the shop tried, and more of a deal than it had must be worth its uncertainty.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs import Market, Outcome, seed_for
from ...pricing import PricePath
from ...scenarios import MarketSpec, floor_market
from ...scenarios.sections import Array
from .deals import (
    AFTER,
    DROPPED,
    OPTIONS,
    DealCalendar,
    Option,
    Plan,
    PlanValue,
    draws_of_search,
    path_of,
    picked,
    stacked,
    stepped,
)
from .money import PosteriorMoney, draws_of
from .prices import best_prices, risk_value, worst_share

PLAN = "plan"
"""Name of the policy."""
# Passes over regular prices and deals, and those from a plan that is the best at a cost nearby.
_ROUNDS = (2, 3)
_NEAR_ROUNDS = (1, 1)
# Relative steps of regular prices that are tried, around what was found so far.
_COARSE = (-0.15, -0.1, -0.05, 0.05, 0.1, 0.15)
_FINE = (-0.03, -0.02, -0.01, 0.01, 0.02, 0.03)
_CHANGES = (*OPTIONS, Option(1.05), Option(1.1))
# Share of the draws in which a change must gain: of a regular price, and of a deal. Where nothing is known, half of them
# gain, and the price stays.
_FAVOURED = 0.7
_DEAL_FAVOURED = 0.9
# Halvings of the interval that the logarithm of a profit floor's multiplier lies in, and the largest share of the unit costs
# that it reaches.
_HALVINGS = 3
_MOST = 0.7
# Of a recommendation score, so that a run's file keeps it in a few characters.
_DIGITS = 4
# Simulated episodes of each draw, in which plans are compared in the end.
_EPISODES = 4


@functools.lru_cache(maxsize=4)
def best_plan(spec: MarketSpec, risk: str = "mean") -> PricePath:
    """The plan with the most money over the posterior draws, by coordinate ascent from the shop's own plan.

    Each product in turn takes the best of its regular prices, and each deal the best of what may become of it; products of
    different categories, whose customers are others, take turns together. Every change must earn more than the plan before
    it on average, and in most draws: a deal is replaced only where 90% of them favour it. Near the shop's plan no deal is
    dropped; where prices may leave it by more than a step, a second ascent starts at the best fixed prices without deals. Of
    both and the shop's own plan, each category follows what earns most in simulated markets, whose stock may run out. Where
    the market has a profit floor, the plan keeps it: unit costs are multiplied until it does, and the plan is searched anew
    from the one at the cost before.

    Where the market has recommendation slots, each shows in each period what adds the most money to the plan.

    Args:
        spec: A market.
        risk: What is to be good over the draws: `mean`, or `cvar:0.1`, the mean gain over the shop's plan in the worst
            tenth of the draws.

    Example:
        >>> from repricer import load_scenario
        >>> best_plan(load_scenario("stationary-logit")).path[0].tolist()
        [11.0]
    """
    return _found(spec.searched, risk)[0]


def plan_multiplier(spec: MarketSpec, risk: str = "mean") -> float:
    """The multiple of the market's shadow cost at which `best_plan` keeps the profit floor; 1 without a floor."""
    return _found(spec.searched, risk)[1]


def plan_at(spec: MarketSpec, multiplier: float, risk: str = "mean") -> PricePath:
    """The plan with the most money at this multiple of the market's shadow cost, whatever the profit floor says.

    Example:
        >>> from repricer import load_scenario
        >>> plan_at(load_scenario("stationary-logit"), 1.0).path[0].tolist()
        [11.0]
    """
    search = PlanSearch(spec.searched, risk)
    extra_cost = (multiplier - 1) * spec.products.shadow_cost
    return search.policy(search.best(extra_cost), extra_cost)


@functools.lru_cache(maxsize=4)
def _found(spec: MarketSpec, risk: str) -> tuple[PricePath, float]:
    """The plan of a market to search in with what it recommends, and the multiplier of its floor."""
    search = PlanSearch(spec, risk)
    floor = floor_market(spec)
    shadow = spec.products.shadow_cost
    plan = search.best(0.0)
    policy = search.policy(plan, 0.0)
    if floor is None:
        return policy, 1.0
    kept = path_of(spec, search.value.planned, PLAN)
    own = search.simulated_profit(floor, kept)
    if _is_above(search.simulated_profit(floor, policy) - own):
        return policy, 1.0
    share = float(shadow.sum() / spec.products.floor_cost.sum())
    low = 1.0
    high = max(_MOST / share, 1.0)
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        extra_cost = (middle - 1) * shadow
        plan = search.best(extra_cost, plan)
        policy = search.policy(plan, extra_cost)
        if _is_above(search.simulated_profit(floor, policy) - own):
            high = middle
            kept = policy
        else:
            low = middle
    return kept, high


def _different(plans: Sequence[Plan]) -> list[int]:
    """The numbers of the plans that equal no earlier one: near the shop's prices, larger steps are cut to the same."""
    keys = [(plan.price.tobytes(), plan.deal.tobytes(), plan.feature.tobytes()) for plan in plans]
    return [number for number, key in enumerate(keys) if key not in keys[:number]]


def _is_above(gain: Array) -> bool:
    """Whether (M,) differences of profit by draw are above 0 on average, by their standard error: what is kept by a hair over
    some draws would be lost over others.
    """
    error = gain.std(ddof=1) / np.sqrt(gain.size) if gain.size > 1 else 0.0
    return bool(gain.mean() >= error)


class PlanSearch:
    """Coordinate ascent over regular prices and deals.

    Args:
        spec: A market.
        risk: As of `best_plan`.
        draws: Numbers of the posterior draws that it averages over; by default those of `draws_of_search`.

    Example:
        >>> from repricer import load_scenario
        >>> PlanSearch(load_scenario("stationary-logit")).best(0.0).price[0].tolist()
        [11.0]
    """

    def __init__(self, spec: MarketSpec, risk: str = "mean", draws: Sequence[int] | None = None) -> None:
        self.spec = spec
        self.share = worst_share(risk)
        self.draws = draws_of_search(spec) if draws is None else list(draws)
        self.value = PlanValue(spec, draws=self.draws)
        self.after = AFTER * (spec.reference_price is not None)
        charged = spec.past.charged_low
        lowest = spec.guardrails.low.astype(np.float64)
        self.lowest = lowest if charged is None else np.maximum(lowest, charged)
        category = spec.category_index
        self.number_in_category = np.array([int((category[:n] == c).sum()) for n, c in enumerate(category)])
        self.near = bool(spec.guardrails.near_plan.size)
        self.changes = [option for option in _CHANGES if not (self.near and option == DROPPED)]
        self.extra_cost: Array | float = 0.0
        self.start = np.zeros((1, 1))

    def best(self, extra_cost: Array | float, near: Plan | None = None) -> Plan:
        """The best plan where each unit costs so much more, (N,) currency: from the shop's own, or from fixed prices.

        near: A plan that is the best at another cost, where the search starts instead.
        """
        self.extra_cost = extra_cost
        own = self.value.planned
        self.start = self._money(own)
        found = [own]
        if near is not None:
            found.append(self._ascended(near, _NEAR_ROUNDS))
        else:
            found.append(self._ascended(own, _ROUNDS))
            if self.spec.demand.family == "mnl" and not self.near:
                found.append(self._ascended(self._fixed(), _ROUNDS))
        earned = np.stack([self._simulated(plan) for plan in found])
        return picked(stacked(found), earned.argmax(axis=0)[self.spec.category_index])

    def policy(self, plan: Plan, extra_cost: Array | float) -> PricePath:
        """The policy that follows a plan, with what each slot shows where each unit costs so much more, (N,) currency."""
        return path_of(self.spec, plan, PLAN, self._recommendation(plan, extra_cost))

    def _recommendation(self, plan: Plan, extra_cost: Array | float) -> NDArray[np.float32] | None:
        """(T, N, K) scores of recommending: what showing a product adds, as a share of what the best one adds; None without
        slots.
        """
        if self.spec.recommendation is None:
            return None
        gains = self.value.gains_of_showing(plan, extra_cost)
        best = gains.max(axis=1, keepdims=True)
        scores = np.divide(gains, best, out=np.zeros_like(gains), where=best > 0)
        return np.clip(scores, 0, None).round(_DIGITS).astype(np.float32)

    def _simulated(self, plan: Plan) -> Array:
        """(C,) money of the plan in simulated markets, where stock is scarce and price rules look back."""
        earned = np.zeros(len(self.number_in_category))
        for market, outcome in self._steps(self.value.goal, path_of(self.spec, plan, PLAN)):
            money = market.money(outcome, expected=True) - self.extra_cost * outcome.units
            earned += money.sum(axis=0, dtype=np.float64)
        return np.bincount(self.spec.category_index, earned).astype(np.float64)

    def simulated_profit(self, floor: MarketSpec, policy: PricePath) -> Array:
        """(M,) expected profit of an episode in each draw of the market whose costs the profit floor is held at, currency."""
        periods = self.spec.market.horizon_periods
        by_step = [outcome.expected_profit.sum(dtype=np.float64) for _, outcome in self._steps(floor, policy)]
        return np.reshape(by_step, (-1, periods)).sum(axis=1) / _EPISODES

    def _steps(self, spec: MarketSpec, policy: PricePath) -> Iterator[tuple[Market, Outcome]]:
        """The periods of simulated markets, one draw after the other."""
        options: dict[str, Any] = {"num_markets": _EPISODES, "seed": seed_for("tuning"), "assumed": self.spec}
        for truth in [spec.draw(m) for m in self.draws] or [spec]:
            market = Market(truth, **options)
            for _ in range(self.spec.market.horizon_periods):
                yield market, market.step(policy.act(market.view))

    def _fixed(self) -> Plan:
        """The fixed prices that are best over the draws, without deals; a product that keeps its price keeps its plan."""
        goal = self.value.goal
        own = self.value.planned
        held = self.spec.guardrails.held
        price = np.broadcast_to(best_prices(goal, PosteriorMoney(goal, draws_of(goal))), own.price.shape)
        return Plan(
            price=np.where(held, own.price, price),
            feature=np.where(own.deal & ~held, 0.0, own.feature),
            deal=own.deal & held,
        )

    def _ascended(self, plan: Plan, passes: tuple[int, int]) -> Plan:
        """The local optimum near a plan, by so many passes with coarse steps of regular prices and with fine ones."""
        calendar = DealCalendar(self.spec, plan, self.lowest)
        for steps, rounds in zip((_COARSE, _FINE), passes, strict=True):
            for _ in range(rounds):
                before = plan
                plan = self._with_regular_prices(plan, steps)
                for turn in calendar.turns(plan):
                    options = [calendar.changed(plan, turn, option) for option in self.changes]
                    plan = self._best_of(plan, options, [_DEAL_FAVOURED] * len(options))
                if np.array_equal(before.price, plan.price):
                    break
        return self._allowed(plan)

    def _with_regular_prices(self, plan: Plan, steps: Sequence[float]) -> Plan:
        """The plan after each regular price was tried with each relative step, and the best one kept.

        Each category moves as a whole first, then product by product. `_best_of` decides for each category by itself,
        so that all categories move at once: one product of each at a time. Deals keep their prices, or move along with
        the regular price and keep their depth.
        """
        number = self.number_in_category
        whole = np.ones(len(number), bool)
        for turn in (whole, *(number == k for k in range(number.max() + 1))):
            moves = [np.where(turn, step, 0.0) for step in steps]
            deals_kept = [stepped(self.spec, plan, move) for move in moves]
            deals_moved: list[Plan] = []
            if plan.deal[:, turn].any():
                deals_moved = [stepped(self.spec, plan, move, self.lowest) for move in moves]
            favoured = [_FAVOURED] * len(deals_kept) + [_DEAL_FAVOURED] * len(deals_moved)
            plan = self._best_of(plan, [*deals_kept, *deals_moved], favoured)
        return plan

    def _best_of(self, plan: Plan, options: Sequence[Plan], favoured: Sequence[float]) -> Plan:
        """The plan, or the best option of each category that is better on average and in such a share of the draws."""
        every = [plan, *map(self._allowed, options)]
        different = _different(every)
        if len(different) == 1:
            return plan
        tried = stacked([every[number] for number in different])
        least = np.array([0.0, *favoured])[different][1:, None]
        money = self._money(tried)
        gain = money - money[:, :1]
        if self.share == 1:
            score = gain.mean(axis=0)
        else:
            over = money - self.start[:, None]
            worst = np.array([[risk_value(rows, self.share) for rows in each.T] for each in np.moveaxis(over, 1, 0)])
            score = worst - worst[0]
        score[1:][(gain[:, 1:] > 0).mean(axis=0) < least] = -np.inf
        return picked(tried, score.argmax(axis=0)[self.spec.category_index])

    def _money(self, plan: Plan) -> Array:
        return self.value.money_by_draw(plan, self.after, self.extra_cost)

    def _allowed(self, plan: Plan) -> Plan:
        """The plan with prices of the price grid within the price rules, where it leaves the shop's own."""
        rules = self.spec.guardrails
        own = self.value.planned.price
        within = rules.step_range(np.arange(len(own)), plan.deal) if self.near else None
        price = np.where(np.isclose(plan.price, own, rtol=1e-9), own, rules.nearest(plan.price, within))
        if len(rules.kept_links) or rules.baskets[1].size:
            low = rules.low.astype(np.float64)
            high = rules.high.astype(np.float64)
            price = np.stack([self._tied(row, planned, low, high) for row, planned in zip(price, own, strict=True)])
        return plan._replace(price=price)

    def _tied(self, price: Array, planned: Array, low: Array, high: Array) -> Array:
        """(N,) prices that keep lines, gaps, packs and baskets, as far as the planned ones do."""
        if np.array_equal(price, planned):
            return price
        least = np.minimum(low, planned)
        most = np.maximum(high, planned)
        return self.spec.guardrails.tied(price, least, most)
