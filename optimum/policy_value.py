"""The exact value of a deterministic policy, by carrying the probabilities of its states forward."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pricing import MarketView, Policy, is_deterministic
from ..scenarios import MarketSpec
from .problem import Costs, cycle_periods, is_infinite_horizon, sections_on, stock_settings
from .rival_replies import all_stay, one_answers
from .state_chain import Period, PolicyChoice, States, TooManyStates, is_unlimited, sales_are_few

# Once money is discounted to this factor, it changes no visible digit of a value.
_NEGLIGIBLE_FACTOR = 1e-12


def covers(spec: MarketSpec) -> bool:
    """Whether the states that a policy reaches can be listed, or unlimited stock makes them independent of sales."""
    costs = {"cost_due", "order_cost", "holding_cost", "lost_sale_cost", "backlog_cost", "salvage_value"}
    ordering = {"replenishment", "max_order_units"} if spec.stock.replenishment == "action" else set()
    # A competitor that answers in mid-period meets a single customer in each half.
    rivals = spec.competitors
    single = spec.arrivals.process == "single"
    return (
        sections_on(spec) <= {"regimes", "reference_price", "competitors"}
        and stock_settings(spec) <= {"initial_units", "lead_time_periods", "shortage"} | costs | ordering
        and (not ordering or not spec.stock.lead_time_periods.any())
        and (is_unlimited(spec) or sales_are_few(spec))
        and (rivals is None or all_stay(spec) or (one_answers(spec) and (single or not rivals.answers_within_period)))
        and (spec.market.ending == "terminated" or not spec.stock.salvage_value.any())
        # Prices before the current one are no part of these states.
        and spec.prices.max_changes is None
    )


class _LooksAtSales(Exception):
    """The policy's action depends on the units sold last."""


class _ViewWithoutSales(MarketView):
    """A view without the units sold last: reading them raises.

    Most policies never read them. Without them there are several times fewer states, and a single
    one where stock is unlimited.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "last_units":
            raise _LooksAtSales
        return super().__getattribute__(name)


def exact_value(
    spec: MarketSpec,
    policy: Policy,
    *,
    states: int = 200_000,
    assumed: MarketSpec | None = None,
    start: MarketView | None = None,
) -> float | None:
    """The expected money of a deterministic policy's episode, or None where it has no exact value.

    Money is discounted, and counted over an infinite horizon where the market goes on after the
    episode, as in `Optimum`.

    Args:
        spec: The market.
        policy: The policy.
        states: The most states that are followed.
        assumed: The market that the policy believes in, see `repricer.envs.Market`; by default the
            market itself.
        start: The episode starts from the first market of this view; the value is that of the
            periods left, in money of the view's period.

    Returns:
        The value, currency. None for markets that `covers` excludes, for policies that draw, learn
        or have a recurrent state, and for policies that reach more than `states` states.

    Example:
        >>> from repricer.evaluation import exact_value, solve
        >>> from repricer.scenarios import load_scenario
        >>> spec = load_scenario("gallego-van-ryzin")
        >>> optimum = solve(spec)
        >>> abs(exact_value(spec, optimum.policy) / optimum.value - 1) < 1e-6
        True
    """
    if not (covers(spec) and is_deterministic(policy)):
        return None
    try:
        try:
            return _value(spec, policy, states, assumed or spec, start, _ViewWithoutSales)
        except _LooksAtSales:
            return _value(spec, policy, states, assumed or spec, start, MarketView) if sales_are_few(spec) else None
    except TooManyStates:
        return None


def _value(
    spec: MarketSpec, policy: Policy, states: int, assumed: MarketSpec, start: MarketView | None, kind: type[MarketView]
) -> float:
    """The expected money if the policy sees views of this kind."""
    now, first = (States.initial(spec), 0) if start is None else (States.seen(spec, start), int(start.period[0]))
    horizon = int(spec.market.horizon_periods)
    infinite = is_infinite_horizon(spec)
    costs = Costs.of(spec)
    value = 0.0
    period = first
    factor = 1.0
    met: dict[bytes, tuple[float, float]] = {}
    cycle = cycle_periods(spec)
    while factor > _NEGLIGIBLE_FACTOR if infinite else period < horizon:
        # Beyond the episode an infinite-horizon market looks as in the last cycle of its calendar.
        number = period if period < horizon else horizon - cycle + (period - horizon) % cycle
        if infinite and period >= horizon and now.weight.size == 1:
            # A state that was met before is met again and again: the rest is a geometric series.
            state = b"".join(part.tobytes() for part in (np.intp(number), *vars(now).values()))
            if state in met:
                then, left = met[state]
                return then + (value - then) / (1 - factor / left)
            met[state] = value, factor
        choice = PolicyChoice.of(spec, policy, now.view(spec, number, kind, assumed))
        money, now = Period(spec, costs, number, now, choice, keep_sales=kind is MarketView).run()
        if now.weight.size > states:
            raise TooManyStates
        value += factor * money
        period = period + 1
        factor = factor * spec.market.discount_factor
    if spec.stock.salvage_value.any():
        left = float(now.weight @ (np.maximum(now.on_hand, 0) @ spec.stock.salvage_value))
        value += spec.market.discount_factor ** (horizon - 1 - first) * left
    return value
