"""Candidates beside the shop's plan: small steps of its regular prices, and its deals kept, moved, deepened or dropped."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...pricing import PricePath
from ...pricing.planned_deals import DEAL
from ...pricing.price_rules.guardrails import SAME
from ...scenarios import MarketSpec, choice_model, goal_market
from ...scenarios.planned_deals import Course, course_of, planned_deals
from ...scenarios.sections import Array
from .prices import current_prices

STEPS = (-0.08, -0.05, -0.02, 0.02, 0.05, 0.08)
"""Relative steps of regular prices that are always compared."""
BY_CATEGORY = "regular-by-category"
DEALS = "deals"
BOTH = "deals+regular-by-category"
# Passes over deals, and draws that a search averages over; a calendar of deals takes many evaluations.
_SWEEPS = 3
_DRAWS = 32
_CALENDAR_DRAWS = 8
AFTER = 6
"""Quiet periods that a plan's money is counted in after its last one, as customers use up what they bought on deal."""


class Option(NamedTuple):
    """What may become of a deal: its price is multiplied by a factor, or it moves by some periods; by none, it is dropped."""

    factor: float = 1.0
    moved: int = 0


DROPPED = Option()
"""What becomes of a deal that is dropped."""
OPTIONS = (DROPPED, Option(0.95), Option(0.9), Option(moved=-2), Option(moved=-1), Option(moved=1), Option(moved=2))
"""What is tried for a deal besides keeping it."""


class Plan(NamedTuple):
    """A shop's prices by period, the share of stores with a display or mailer, and which prices are deals, (…, T, N) each.

    Where promotions are a decision, displays are those of `feature`; elsewhere they go with the deals.
    """

    price: NDArray
    feature: NDArray
    deal: NDArray


def own_plan(spec: MarketSpec) -> Plan:
    """What the shop charges and shows anyway, as its market simulates it."""
    current = current_prices(spec)
    shape = (spec.market.horizon_periods, spec.sizes["N"])
    price = current.path if isinstance(current, PricePath) else spec.products.regular_price
    feature = 0.0 if spec.plan is None else spec.plan.promotion
    price, feature = (np.broadcast_to(np.asarray(part, np.float64), shape) for part in (price, feature))
    deals = planned_deals(spec)
    return Plan(price, feature, price < DEAL * spec.products.regular_price if deals is None else deals.on_deal)


class PlanValue:
    """Units and money of whole plans in the mean market or its posterior draws, with customers who remember its prices.

    Args:
        spec: The market.
        recommended: Whether the recommender shows its products, as the market has it; the shop's past had none.
        draws: Numbers of the posterior draws; none for the mean market.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> PlanValue(spec).units(own_plan(spec)).shape
        (30, 1)
    """

    def __init__(self, spec: MarketSpec, *, recommended: bool = True, draws: Sequence[int] = ()) -> None:
        self.spec = spec
        self.goal = goal_market(spec)
        self._truths = [self.goal.draw(m) for m in draws] or [self.goal]
        self._shown = spec.shown_by_recommender if recommended and spec.recommendation is not None else None
        self.planned = own_plan(spec)

    def units(self, plan: Plan) -> Array:
        """(…, T, N) mean units."""
        course = course_of(self.spec, np.asarray(plan.price, np.float64), plan.deal)
        return np.mean([self._units(truth, plan, course, self._shown) for truth in self._truths], axis=0)

    def _units(self, truth: MarketSpec, plan: Plan, course: Course, shown: NDArray[np.intp] | None) -> Array:
        price = np.asarray(plan.price, np.float64)
        period = np.minimum(np.arange(price.shape[-2]), len(self.planned.price) - 1)
        promoted = course.shown if self.spec.promotion is None else plan.feature > 0.5
        rows = [
            np.broadcast_to(part, price.shape).reshape(-1, price.shape[-1]) for part in (course.reference, promoted)
        ]
        period = np.broadcast_to(period, price.shape[:-1]).ravel()
        given = {"reference": rows[0], "promoted": rows[1][:, None].astype(np.float64), "shown": shown}
        units = choice_model(truth).units(period, price.reshape(rows[0].shape), **given)
        return units.sum(axis=1).reshape(price.shape)

    def money(self, plan: Plan, after: int = 0) -> Array:
        """(…, C) mean money of the objective by category, as of `money_by_draw`."""
        return self.money_by_draw(plan, after).mean(axis=0)

    def money_by_draw(self, plan: Plan, after: int = 0, extra_cost: Array | float = 0.0) -> Array:
        """(M, …, C) money of the objective by category, with so many periods after the plan's, like its last one without
        deals: customers who stock up or remember a deal would otherwise make the last periods the best ones for deals.

        Args:
            plan: The plan.
            after: Number of periods after it.
            extra_cost: (N,) currency per unit beyond the unit cost.
        """
        if after:
            usual = plan.price.max(axis=-2, keepdims=True)
            rest = (usual, np.zeros(usual.shape), np.zeros(usual.shape, bool))
            plan = Plan(
                *(np.concatenate([one, *[more] * after], axis=-2) for one, more in zip(plan, rest, strict=True))
            )
        goal = self.goal
        course = course_of(self.goal, np.asarray(plan.price, np.float64), plan.deal)
        member = np.eye(len(goal.category_names))[goal.category_index]
        weight = goal.market.discount_factor ** np.arange(plan.price.shape[-2])
        found = []
        for truth in self._truths:
            earned = self._earned(truth, plan, course, self._shown, extra_cost)
            found.append(np.einsum("...tn,t,nc->...c", earned, weight, member))
        return np.stack(found)

    def _earned(
        self, truth: MarketSpec, plan: Plan, course: Course, shown: NDArray[np.intp] | None, extra_cost: Array | float
    ) -> Array:
        """(…, T, N) money of each product in a market, currency."""
        goal = self.goal
        price = np.asarray(plan.price, np.float64)
        counts = float(goal.market.objective == "profit")
        returns = goal.returns
        keeps = 1.0 if returns is None else 1 - returns.probability
        margin = keeps * (goal.products.net(price) - extra_cost) + counts * course.funding
        return self._units(truth, plan, course, shown) * (margin - counts * keeps * truth.products.unit_cost)

    def gains_of_showing(self, plan: Plan, extra_cost: Array | float = 0.0) -> Array:
        """(T, N, K) money that a segment's slot adds in each period if it shows a product, mean over the draws, currency;
        0 for products that are no candidates.

        Segments choose apart from each other, so that what their slots add is a sum.

        Args:
            plan: The plan, (T, N) each.
            extra_cost: (N,) currency per unit beyond the unit cost.
        """
        slots = self.spec.recommendation
        assert slots is not None, "called where there are slots"
        course = course_of(self.goal, np.asarray(plan.price, np.float64), plan.deal)

        def earned(shown: NDArray[np.intp]) -> Array:
            by_draw = [self._earned(truth, plan, course, shown, extra_cost).sum(axis=-1) for truth in self._truths]
            return np.mean(by_draw, axis=0)

        gains = np.zeros((len(plan.price), self.spec.sizes["N"], self.spec.sizes["K"]))
        nothing = np.full(gains.shape[2], -1)
        alone = earned(nothing)
        for k, n in np.argwhere(np.asarray(slots.candidates) > 0):
            shown = nothing.copy()
            shown[k] = n
            gains[:, n, k] = earned(shown) - alone
        return gains


def stepped(spec: MarketSpec, plan: Plan, step: Array | float, lowest: Array | None = None) -> Plan:
    """The plan with regular prices moved by a relative step, one or (N,).

    Deals keep their prices, at most the new regular ones; or, where their lowest prices are given, (N,), they move along and
    keep their depth.
    """
    low = spec.guardrails.low
    high = spec.guardrails.high
    moved = np.clip(plan.price * (1 + np.asarray(step)), np.minimum(low, plan.price), np.maximum(high, plan.price))
    regular = (1 + np.asarray(step)) * spec.products.regular_price
    deal = np.minimum(plan.price, regular) if lowest is None else np.maximum(moved, np.minimum(plan.price, lowest))
    price = np.where(plan.deal, deal, moved)
    return plan._replace(price=np.where(spec.guardrails.held, plan.price, price))


@functools.lru_cache(maxsize=4)
def plan_policies(spec: MarketSpec) -> dict[str, PricePath]:
    """The candidates by name: all regular prices by each of `STEPS`, each category by the best of them, and both that and
    the plan itself with the best calendar of deals, by the mean market of the posterior; where the market has halves, by
    draws of the one that prices are searched in.

    Example:
        >>> from repricer import load_scenario
        >>> list(plan_policies(load_scenario("stationary-logit")))[:2]
        ['regular-8%', 'regular-5%']
    """
    draws = [] if spec.halves is None else draws_of_search(spec.searched)
    value = PlanValue(spec.searched, draws=draws)
    allowed = spec.guardrails.max_step
    # A larger step than the price rules allow would be a smaller one under its name.
    steps = [step for step in STEPS if allowed is None or abs(step) <= np.max(allowed) * (1 + SAME)]
    plans = {f"regular{step:+.0%}": stepped(spec, value.planned, step) for step in steps}
    money = np.stack([value.money(plan) for plan in (value.planned, *plans.values())])
    best = np.array([0.0, *steps])[money.argmax(axis=0)][spec.category_index]
    plans[BY_CATEGORY] = stepped(spec, value.planned, best)
    # Near the plan, a deal is replaced only where the posterior favours it, as in `best_plan`.
    if value.planned.deal.any() and allowed is None:
        value = PlanValue(spec.searched, draws=draws[:: _DRAWS // _CALENDAR_DRAWS])
        for name, plan in ((DEALS, value.planned), (BOTH, plans[BY_CATEGORY])):
            plans[name] = DealCalendar(spec, plan).best(plan, value)
    return {name: path_of(spec, plan, name) for name, plan in plans.items()}


def plan_of(spec: MarketSpec, policy: PricePath) -> Plan:
    """The plan that a policy follows whose displays go with its deals."""
    planned = own_plan(spec)
    deal = planned.deal if policy.deal is None else policy.deal
    return planned._replace(price=policy.path.astype(np.float64), deal=deal)


def path_of(spec: MarketSpec, plan: Plan, name: str, recommendation: NDArray[np.float32] | None = None) -> PricePath:
    """The policy that follows a plan, with the (T, N, K) scores of recommending if there are any."""
    promotion = plan.feature.astype(np.float32) if spec.promotion is not None else None
    deal = None if planned_deals(spec) is None else plan.deal
    return PricePath(plan.price.astype(np.float32), promotion, name=name, deal=deal, recommendation=recommendation)


class DealCalendar:
    """The deals of a plan one by one, and what may become of each.

    Args:
        spec: The market.
        plan: The plan.
        lowest: (N,) lowest prices of deals that are made deeper; by default those of the price rules.
    """

    def __init__(self, spec: MarketSpec, plan: Plan, lowest: Array | None = None) -> None:
        self.spec = spec
        self.lowest = spec.guardrails.low if lowest is None else lowest
        self.free = np.flatnonzero(~spec.guardrails.held)
        # Near the shop's plan, a deal keeps its depth wherever it goes, and goes where none is planned.
        self.planned = own_plan(spec).deal if spec.guardrails.near_plan.size else None
        # The price of a period without the deal: that of the nearest one before, else after.
        usual = pd.DataFrame(np.where(plan.deal, np.nan, plan.price)).ffill().bfill()
        self.usual = usual.fillna(pd.Series(spec.products.regular_price)).to_numpy()

    def best(self, plan: Plan, value: PlanValue) -> Plan:
        """The plan with the best calendar found in the mean market: one deal of each category at a time takes the best of
        its options.
        """
        after = AFTER * (self.spec.reference_price is not None)
        for _ in range(_SWEEPS):
            before = plan
            for turn in self.turns(plan):
                options = [plan, *(self.changed(plan, turn, option) for option in OPTIONS)]
                tried = stacked(options)
                chosen = value.money(tried, after).argmax(axis=0)[self.spec.category_index]
                plan = picked(tried, chosen)
            if np.array_equal(before.price, plan.price):
                break
        return plan

    def turns(self, plan: Plan) -> list[list[tuple[int, int, int]]]:
        """Turns of deals (product, first period, end), at most one of each category in a turn."""
        turns: list[list[tuple[int, int, int]]] = []
        count = [0] * len(self.spec.category_names)
        for n in self.free.tolist():
            edges = np.flatnonzero(np.diff(np.concatenate([[False], plan.deal[:, n], [False]])))
            for first, end in edges.reshape(-1, 2).tolist():
                c = int(self.spec.category_index[n])
                if count[c] == len(turns):
                    turns.append([])
                turns[count[c]].append((n, first, end))
                count[c] += 1
        return turns

    def changed(self, plan: Plan, turn: list[tuple[int, int, int]], option: Option) -> Plan:
        """The plan with one option for each deal of a turn."""
        new = Plan(*(part.copy() for part in plan))
        for n, first, end in turn:
            here = np.arange(first, end)
            if option.factor != 1:
                self._reprice(new, n, here, option.factor)
            else:
                self._move(plan, new, n, here, option.moved)
        return new

    def _reprice(self, new: Plan, n: int, here: NDArray[np.intp], factor: float) -> None:
        """Make a deal deeper, or shallower as long as it is one."""
        if self.planned is not None and not self.planned[here, n].all():
            return
        price = factor * new.price[here, n]
        if factor < 1:
            new.price[here, n] = np.maximum(price, np.minimum(self.lowest[n], new.price[here, n]))
        elif (price < DEAL * self.usual[here, n]).all():
            new.price[here, n] = price

    def _move(self, plan: Plan, new: Plan, n: int, here: NDArray[np.intp], by: int) -> None:
        """Move a deal with its display to other periods, or drop it where these are none."""
        there = here + by
        beside = plan.deal[np.setdiff1d(there, here).clip(0, len(plan.deal) - 1), n]
        if by and (there[0] < 0 or there[-1] >= len(plan.price) or beside.any()):
            return
        if by and self.planned is not None and self.planned[there, n].any():
            return
        kept = [part[here, n].copy() for part in (plan.price, plan.feature)]
        new.price[here, n] = self.usual[here, n]
        new.feature[here, n] = 0.0
        new.deal[here, n] = False
        if by:
            new.price[there, n], new.feature[there, n], new.deal[there, n] = *kept, True


def draws_of_search(spec: MarketSpec) -> list[int]:
    """The numbers of the posterior draws that a search averages over, spread evenly.

    Example:
        >>> from repricer import load_scenario
        >>> draws_of_search(load_scenario("stationary-logit"))
        []
    """
    most = min(spec.num_draws, _DRAWS)
    return [int(m) for m in np.linspace(0, spec.num_draws - 1, most).round()] if most else []


def stacked(plans: Sequence[Plan]) -> Plan:
    """(B, T, N) of B plans."""
    return Plan(*(np.stack(part) for part in zip(*plans, strict=True)))


def picked(plans: Plan, chosen: NDArray[np.intp]) -> Plan:
    """The plan that follows, for each of N products, one of B plans (B, T, N)."""
    return Plan(*(part[chosen, :, np.arange(len(chosen))].T for part in plans))
