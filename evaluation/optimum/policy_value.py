"""The exact value of any deterministic policy: the probabilities of the states that it reaches are carried forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pricing import MarketView, Policy, is_deterministic
from ...scenarios import MarketSpec
from .problem import Costs, is_endless, sections_on, stock_settings
from .rival_replies import all_stay, one_answers
from .state_chain import Period, PolicyChoice, States, TooManyStates, is_unlimited, sales_are_few

# What an endless market still brings once it is discounted to this moves no visible digit.
_NEGLIGIBLE = 1e-12


def covers(spec: MarketSpec) -> bool:
    """Whether the states that a policy reaches can be listed, or sales move none because stock is unlimited."""
    costs = {"cost_due", "order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value"}
    ordering = {"replenishment", "max_order_units"} if spec.stock.replenishment == "action" else set()
    return (
        sections_on(spec) <= {"regimes", "reference_price", "competitors"}
        and stock_settings(spec) <= {"initial_units", "lead_time_periods", "shortage"} | costs | ordering
        and (not ordering or spec.stock.lead_time_periods == 0)
        and (is_unlimited(spec) or sales_are_few(spec))
        and (spec.competitors is None or all_stay(spec) or one_answers(spec))
        and (spec.market.ending == "terminated" or not spec.stock.salvage_value.any())
        # What was charged before the price in force is no part of these states.
        and spec.prices.max_changes is None
    )


class _LookedAtSales(Exception):
    """The policy's answer hangs on the units sold last."""


class _ViewWithoutSales(MarketView):
    """A view in which the units sold last are not kept, and asking for them raises.

    Most policies never ask. Without them there are several times fewer states, and one where stock is unlimited.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "last_units":
            raise _LookedAtSales
        return super().__getattribute__(name)


def exact_value(
    spec: MarketSpec,
    policy: Policy,
    *,
    states: int = 200_000,
    known: MarketSpec | None = None,
    start: MarketView | None = None,
) -> float | None:
    """The expected money of a deterministic policy's episode, or None where it cannot be had exactly.

    Discounted, and without an end where the market goes on after the episode, as in `Optimum`. None for markets that
    `covers` leaves out, for policies that draw, learn or look back, and for those that reach more than `states` states.
    known: the market that the policy is told of, see `Market`. start: the first market of this view is where the episode
    stands; the value is then of the periods left, in money of the view's period.
    """
    if not (covers(spec) and is_deterministic(policy)):
        return None
    walk = _Walk(spec, policy, states, known or spec, start)
    try:
        try:
            return walk.value(_ViewWithoutSales)
        except _LookedAtSales:
            return walk.value(MarketView) if sales_are_few(spec) else None
    except TooManyStates:
        return None


@dataclass(frozen=True)
class _Walk:
    """What `exact_value` was asked for."""

    spec: MarketSpec
    policy: Policy
    states: int
    known: MarketSpec
    start: MarketView | None

    def value(self, kind: type[MarketView]) -> float:
        """The money expected, if the policy sees views of this kind."""
        if self.start is None:
            return _carry_forward(self, States.opening(self.spec), 0, kind)
        return _carry_forward(self, States.seen(self.spec, self.start), int(self.start.period[0]), kind)


def _carry_forward(walk: _Walk, now: States, first: int, kind: type[MarketView]) -> float:
    spec = walk.spec
    horizon, endless = int(spec.market.horizon_periods), is_endless(spec)
    costs, value, period, factor = Costs.of(spec), 0.0, first, 1.0
    while factor > _NEGLIGIBLE if endless else period < horizon:
        # Beyond its horizon an endless market looks as in the last period.
        number = min(period, horizon - 1)
        decision = PolicyChoice.of(spec, walk.policy, now.view(spec, number, kind, walk.known))
        money, now = Period(spec, costs, number, now, decision, keep_sales=kind is MarketView).run()
        if now.weight.size > walk.states:
            raise TooManyStates
        value += factor * money
        period, factor = period + 1, factor * spec.market.discount_factor
    if spec.stock.salvage_value.any():
        left = float(now.weight @ (np.maximum(now.on_hand, 0) @ spec.stock.salvage_value))
        value += spec.market.discount_factor ** (horizon - 1 - first) * left
    return value
