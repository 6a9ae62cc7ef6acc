"""The price rules along several periods: each starts from the prices of the one before.

A price that stays as it is planned is left alone, whatever the rules say of the shop's own plan.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..catalogue import Catalogue, MarketView
from ..protocol import Action
from .guarded_action import TrailStep
from .guardrails import Guardrails


def allowed_path(
    rules: Guardrails,
    catalogue: Catalogue,
    wanted: NDArray[np.float64],
    current: NDArray[np.float64],
    before: NDArray[np.float64],
    *,
    charged: bool = False,
) -> tuple[NDArray[np.float64], list[list[list[TrailStep]]]]:
    """What the price rules make of prices over several periods.

    Args:
        rules: The price rules; their planned prices are replaced by the current ones.
        wanted: (T, N) the prices that are asked for, currency per unit.
        current: (T, N) the prices that are planned anyway, which a product whose price must not
            change keeps.
        before: (P, N) the prices charged before the first period, oldest first, currency per unit.
        charged: Whether each period starts from the prices asked for in the one before, as they are charged whatever
            the rules make of them.

    Returns:
        (T, N) the allowed prices with seven digits, and by period and product the changes that
        the rules made.

    Example:
        >>> from repricer.envs import catalogue_of
        >>> from repricer import load_scenario
        >>> spec = load_scenario("three-stocks").with_changes(prices={"max_change": 0.1})
        >>> current = np.tile(spec.products.regular_price, (2, 1))
        >>> price, steps = allowed_path(spec.guardrails, catalogue_of(spec), 2 * current, current, current[:1])
        >>> bool(np.allclose(price[1], 1.21 * current[0])), steps[0][0][0].rule
        (True, 'max_change')
    """
    rules = replace(rules, planned_price=current)
    past = [before[0]] * (rules.past_periods + 1 - len(before)) + list(before)
    allowed, steps = np.zeros_like(wanted), []
    for t, asked in enumerate(wanted):
        in_force = past[-1] if rules.frozen is None else np.where(rules.frozen, current[t], past[-1])
        action = Action(asked[None].astype(np.float32))
        made, traces = rules.apply_traced(action, _view(rules, catalogue, t, in_force, np.array(past)))
        # Seven digits: all that single precision holds.
        rounded = [float(f"{price:.7g}") for price in made.price[0].tolist()]
        kept = asked == current[t]
        allowed[t] = np.where(kept, asked, rounded)
        steps.append([[step for step in traces[0][n] if step.moved and not kept[n]] for n in range(kept.size)])
        past = [*past[1:], asked if charged else allowed[t]]
    return allowed, steps


def _view(
    rules: Guardrails, catalogue: Catalogue, t: int, in_force: NDArray[np.float64], past: NDArray[np.float64]
) -> MarketView:
    price, nothing = in_force[None].astype(np.float32), np.zeros((1, in_force.size), np.float32)
    window = rules.change_window_periods
    # In single precision, in which the bounds are that some of these prices were brought within.
    changes = None if window is None else (np.diff(past[-window:].astype(np.float32), axis=0) != 0).sum(axis=0)[None]
    return MarketView(catalogue, np.array([t]), price, price, nothing, nothing, nothing, changes=changes)
