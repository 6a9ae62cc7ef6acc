"""Candidates beside the shop's plan: small steps of its regular prices, and its deals kept, moved, deepened or dropped."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...pricing import Policy, PricePath
from ...scenarios import MarketSpec, choice_model, goal_market
from ...scenarios.periods import reference_path, usual_reference
from ...scenarios.sections import Array
from .prices import current_prices

STEPS = (-0.08, -0.05, -0.02, 0.02, 0.05, 0.08)
"""Relative steps of regular prices that are always compared."""
BY_CATEGORY, DEALS, BOTH = "regular-by-category", "deals", "deals+regular-by-category"
DEAL = 0.98
"""Below this share of the regular price a price is a deal."""
_SAME = 0.005
_DEEPER, _MOVES, _SWEEPS, _AFTER = (0.95, 0.9), (-2, -1, 1, 2), 3, 6


class Plan(NamedTuple):
    """A shop's prices by period, the share of stores with a display or mailer, and which prices are deals, (…, T, N) each."""

    price: NDArray
    feature: NDArray
    deal: NDArray


def own_plan(spec: MarketSpec) -> Plan:
    """What the shop charges and shows anyway, as its market simulates it."""
    current, shape = current_prices(spec), (spec.market.horizon_periods, spec.sizes["N"])
    price = current.path if isinstance(current, PricePath) else spec.products.regular_price
    feature = 0.0 if spec.history is None else spec.history.promotion
    price, feature = (np.broadcast_to(np.asarray(part, np.float64), shape) for part in (price, feature))
    return Plan(price, feature, price < DEAL * spec.products.regular_price)


def market_under(spec: MarketSpec, policy: Policy, price: Array) -> MarketSpec:
    """The market as a policy makes it: customers remember its highest prices (`reference_path`), and displays, mailers and
    funding are those of the deals that it leaves of the plan.

    A planned deal is dropped where the policy's price (T, N) is no reduction of the highest that it charges for the
    product; a path that states its promotions has its own deals.
    """
    plan, history = own_plan(spec), spec.history
    if spec.reference_price is not None and history is not None:
        start = usual_reference(spec, price.max(axis=0))
        if not np.allclose(start, spec.initial_reference):
            spec = spec.with_changes(reference_price={"start": start})
    if history is None or not ((history.feature_lift * plan.feature).any() or history.funding.any()):
        return spec
    own = price < DEAL * price.max(axis=0)
    if isinstance(policy, PricePath) and policy.promotion is not None:
        feature, funding = policy.promotion, np.where(own, history.funding.max(axis=0), 0.0)
    else:
        gone = plan.deal & ~own & (np.abs(price / plan.price - 1) > _SAME)
        feature = np.where(gone, 0.0, plan.feature)
        funding = np.where(price <= (1 + _SAME) * plan.price, history.funding, 0.0)
    change = history.feature_lift * (feature - plan.feature) * (spec.promotion is None)
    if not change.any() and np.array_equal(funding, history.funding):
        return spec
    path = spec.demand.quality_path + change
    return spec.with_changes(demand={"quality_path": path}, history={"funding": funding})


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
        self.spec, self.goal, model = spec, goal_market(spec), choice_model(spec)
        self._shown = spec.shown_by_recommender if recommended and spec.recommendation is not None else None
        self.planned = own_plan(spec)
        self._decided = spec.promotion is not None or spec.history is None
        if spec.promotion is None and spec.history is not None:
            # A feature counts by how far it differs from the plan's, which the market's demand holds already.
            lift = np.broadcast_to(spec.history.feature_lift, (spec.sizes["K"], spec.sizes["N"]))
            model = replace(model, promotion=lift)
        self._model = model

    def units(self, plan: Plan) -> Array:
        """(…, T, N) mean units."""
        price = np.asarray(plan.price, np.float64)
        shape, reference = price.shape, reference_path(self.spec, price)
        period = np.minimum(np.arange(shape[-2]), len(self.planned.price) - 1)
        shown = plan.feature > 0.5 if self._decided else plan.feature - self.planned.feature[period]
        rows = [np.broadcast_to(part, shape).reshape(-1, shape[-1]) for part in (price, reference, shown)]
        period = np.broadcast_to(period, shape[:-1]).ravel()
        given = {"reference": rows[1], "promoted": rows[2][:, None].astype(np.float64), "shown": self._shown}
        return self._model.units(period, rows[0], **given).sum(axis=1).reshape(shape)

    def money(self, plan: Plan, after: int = 0) -> Array:
        """(…, C) money of the objective by category, with so many periods after the plan's, like its last one without deals:
        customers who stock up or remember a deal would otherwise make the last periods the best ones for deals.
        """
        if after:
            usual = plan.price.max(axis=-2, keepdims=True)
            rest = (usual, np.broadcast_to(self.planned.feature[-1], usual.shape), np.zeros(usual.shape, bool))
            plan = Plan(
                *(np.concatenate([one, *[more] * after], axis=-2) for one, more in zip(plan, rest, strict=True))
            )
        goal, price = self.goal, np.asarray(plan.price, np.float64)
        counts, returns = float(goal.market.objective == "profit"), goal.returns
        keeps = 1.0 if returns is None else 1 - returns.probability
        margin = keeps * (price - counts * goal.products.unit_cost)
        if counts and self.spec.history is not None:
            # The supplier pays for a deal wherever it is moved to.
            margin = margin + keeps * np.where(plan.deal, self.spec.history.funding.max(axis=0), 0.0)
        member = np.eye(len(goal.category_names))[goal.category_index]
        weight = goal.market.discount_factor ** np.arange(price.shape[-2])
        return np.einsum("...tn,t,nc->...c", self.units(plan) * margin, weight, member)


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
    shown = spec.promotion is not None or spec.history is not None
    return {
        name: PricePath(plan.price.astype(np.float32), plan.feature.astype(np.float32) if shown else None, name=name)
        for name, plan in plans.items()
    }


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
