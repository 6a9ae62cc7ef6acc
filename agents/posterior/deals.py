"""Candidates beside the shop's plan: small steps of its regular prices, and its deals kept, moved, deepened or dropped."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...pricing import PricePath
from ...pricing.planned_deals import DEAL
from ...scenarios import MarketSpec, choice_model, goal_market
from ...scenarios.planned_deals import Course, course_of, planned_deals
from ...scenarios.sections import Array
from .prices import current_prices

STEPS = (-0.08, -0.05, -0.02, 0.02, 0.05, 0.08)
"""Relative steps of regular prices that are always compared."""
BY_CATEGORY, DEALS, BOTH = "regular-by-category", "deals", "deals+regular-by-category"
_DEEPER, _MOVES, _SWEEPS, _AFTER = (0.95, 0.9), (-2, -1, 1, 2), 3, 6


class Plan(NamedTuple):
    """A shop's prices by period, the share of stores with a display or mailer, and which prices are deals, (…, T, N) each.

    Where promotions are a decision, displays are those of `feature`; elsewhere they go with the deals.
    """

    price: NDArray
    feature: NDArray
    deal: NDArray


def own_plan(spec: MarketSpec) -> Plan:
    """What the shop charges and shows anyway, as its market simulates it."""
    current, shape = current_prices(spec), (spec.market.horizon_periods, spec.sizes["N"])
    price = current.path if isinstance(current, PricePath) else spec.products.regular_price
    feature = 0.0 if spec.history is None else spec.history.promotion
    price, feature = (np.broadcast_to(np.asarray(part, np.float64), shape) for part in (price, feature))
    deals = planned_deals(spec)
    return Plan(price, feature, price < DEAL * spec.products.regular_price if deals is None else deals.on_deal)


class PlanValue:
    """Units and money of whole plans in the mean market, with customers who remember its prices.

    Args:
        spec: The market.
        recommended: Whether the recommender shows its products, as the market has it; the shop's past had none.

    Example:
        >>> from repricer import load_scenario
        >>> spec = load_scenario("stationary-logit")
        >>> PlanValue(spec).units(own_plan(spec)).shape
        (30, 1)
    """

    def __init__(self, spec: MarketSpec, *, recommended: bool = True) -> None:
        self.spec, self.goal, self._model = spec, goal_market(spec), choice_model(spec)
        self._shown = spec.shown_by_recommender if recommended and spec.recommendation is not None else None
        self.planned = own_plan(spec)

    def units(self, plan: Plan) -> Array:
        """(…, T, N) mean units."""
        return self._units(plan, course_of(self.spec, np.asarray(plan.price, np.float64), plan.deal))

    def _units(self, plan: Plan, course: Course) -> Array:
        price = np.asarray(plan.price, np.float64)
        period = np.minimum(np.arange(price.shape[-2]), len(self.planned.price) - 1)
        promoted = course.shown if self.spec.promotion is None else plan.feature > 0.5
        rows = [
            np.broadcast_to(part, price.shape).reshape(-1, price.shape[-1]) for part in (course.reference, promoted)
        ]
        period = np.broadcast_to(period, price.shape[:-1]).ravel()
        given = {"reference": rows[0], "promoted": rows[1][:, None].astype(np.float64), "shown": self._shown}
        return self._model.units(period, price.reshape(rows[0].shape), **given).sum(axis=1).reshape(price.shape)

    def money(self, plan: Plan, after: int = 0) -> Array:
        """(…, C) money of the objective by category, with so many periods after the plan's, like its last one without deals:
        customers who stock up or remember a deal would otherwise make the last periods the best ones for deals.
        """
        if after:
            usual = plan.price.max(axis=-2, keepdims=True)
            rest = (usual, np.zeros(usual.shape), np.zeros(usual.shape, bool))
            plan = Plan(
                *(np.concatenate([one, *[more] * after], axis=-2) for one, more in zip(plan, rest, strict=True))
            )
        goal, price = self.goal, np.asarray(plan.price, np.float64)
        course = course_of(goal, price, plan.deal)
        counts, returns = float(goal.market.objective == "profit"), goal.returns
        keeps = 1.0 if returns is None else 1 - returns.probability
        margin = keeps * (price - counts * goal.products.unit_cost) + counts * course.funding
        member = np.eye(len(goal.category_names))[goal.category_index]
        weight = goal.market.discount_factor ** np.arange(price.shape[-2])
        return np.einsum("...tn,t,nc->...c", self._units(plan, course) * margin, weight, member)


def stepped(spec: MarketSpec, plan: Plan, step: Array | float) -> Plan:
    """The plan with regular prices moved by a relative step, one or (N,); deals keep their prices, at most the new regular ones."""
    low, high = spec.guardrails.low, spec.guardrails.high
    moved = np.clip(plan.price * (1 + np.asarray(step)), np.minimum(low, plan.price), np.maximum(high, plan.price))
    regular = (1 + np.asarray(step)) * spec.products.regular_price
    price = np.where(plan.deal, np.minimum(plan.price, regular), moved)
    return plan._replace(price=np.where(spec.guardrails.held, plan.price, price))


@functools.lru_cache(maxsize=4)
def plan_policies(spec: MarketSpec) -> dict[str, PricePath]:
    """The candidates by name: all regular prices by each of `STEPS`, each category by the best of them, and both that and
    the plan itself with the best calendar of deals, by the mean market of the posterior.

    Example:
        >>> from repricer import load_scenario
        >>> list(plan_policies(load_scenario("stationary-logit")))[:2]
        ['regular-8%', 'regular-5%']
    """
    value = PlanValue(spec)
    plans = {f"regular{step:+.0%}": stepped(spec, value.planned, step) for step in STEPS}
    money = np.stack([value.money(plan) for plan in (value.planned, *plans.values())])
    best = np.array([0.0, *STEPS])[money.argmax(axis=0)][spec.category_index]
    plans[BY_CATEGORY] = stepped(spec, value.planned, best)
    if value.planned.deal.any():
        plans[DEALS] = _Calendar(value, value.planned).best()
        plans[BOTH] = _Calendar(value, plans[BY_CATEGORY]).best()
    return {name: path_of(spec, plan, name) for name, plan in plans.items()}


def path_of(spec: MarketSpec, plan: Plan, name: str) -> PricePath:
    """The policy that follows a plan."""
    promotion = plan.feature.astype(np.float32) if spec.promotion is not None else None
    deal = None if planned_deals(spec) is None else plan.deal
    return PricePath(plan.price.astype(np.float32), promotion, name=name, deal=deal)


class _Calendar:
    """A search for the best calendar of a plan's deals: one deal of each category at a time takes the best of its options."""

    def __init__(self, value: PlanValue, plan: Plan) -> None:
        self.value, self.plan = value, plan
        self.free = np.flatnonzero(~value.spec.guardrails.held)
        # The price of a period without the deal: that of the nearest one before, else after.
        usual = pd.DataFrame(np.where(plan.deal, np.nan, plan.price)).ffill().bfill()
        self.usual = usual.fillna(pd.Series(value.spec.products.regular_price)).to_numpy()

    def best(self) -> Plan:
        """The plan with the best calendar found."""
        plan = self.plan
        for _ in range(_SWEEPS):
            before = plan
            for turn in self._turns(plan):
                options = [self._changed(plan, turn, option) for option in range(2 + len(_DEEPER) + len(_MOVES))]
                tried = Plan(*(np.stack(part) for part in zip(*options, strict=True)))
                after = _AFTER * (self.value.spec.reference_price is not None)
                chosen = self.value.money(tried, after).argmax(axis=0)[self.value.spec.category_index]
                plan = Plan(*(part[chosen, :, np.arange(len(chosen))].T for part in tried))
            if np.array_equal(before.price, plan.price):
                break
        return plan

    def _turns(self, plan: Plan) -> list[list[tuple[int, int, int]]]:
        """Turns of deals (product, first period, end), at most one of each category in a turn."""
        turns: list[list[tuple[int, int, int]]] = []
        count = [0] * len(self.value.spec.category_names)
        for n in self.free.tolist():
            edges = np.flatnonzero(np.diff(np.concatenate([[False], plan.deal[:, n], [False]])))
            for first, end in edges.reshape(-1, 2).tolist():
                c = int(self.value.spec.category_index[n])
                if count[c] == len(turns):
                    turns.append([])
                turns[count[c]].append((n, first, end))
                count[c] += 1
        return turns

    def _changed(self, plan: Plan, turn: list[tuple[int, int, int]], option: int) -> Plan:
        """The plan with one option for each deal of a turn: 0 keeps it, 1 drops it, the next deepen it, the last move it."""
        price, feature, deal = (part.copy() for part in plan)
        for n, first, end in turn:
            here = np.arange(first, end)
            if 1 < option < 2 + len(_DEEPER):
                low = np.minimum(self.value.spec.guardrails.low[n], price[here, n])
                price[here, n] = np.maximum(_DEEPER[option - 2] * price[here, n], low)
            elif option:
                there = here + (_MOVES[option - 2 - len(_DEEPER)] if option > 1 else len(price))
                if option > 1 and (there[0] < 0 or there[-1] >= len(price) or deal[np.setdiff1d(there, here), n].any()):
                    continue
                kept = [part[here, n].copy() for part in (price, feature)]
                price[here, n], feature[here, n], deal[here, n] = self.usual[here, n], 0.0, False
                if option > 1:
                    price[there, n], feature[there, n], deal[there, n] = *kept, True
        return Plan(price, feature, deal)
