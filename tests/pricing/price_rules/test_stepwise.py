from __future__ import annotations

import numpy as np
import pytest
import repricer
from repricer.pricing import Action, Guardrails, MarketView, applied_stepwise
from repricer.pricing.price_rules.guardrails import StepwisePrices


def trails(found: StepwisePrices) -> list[list[tuple[str, object, object]]]:
    """By market and product in turn."""
    made: list[list[tuple[str, object, object]]] = [[] for _ in range(found.price.size)]
    for step in found.steps:
        sides = zip(step.before.tolist(), step.after.tolist(), strict=True)
        for place, (before, after) in zip(np.flatnonzero(step.moved), sides, strict=True):
            made[place].append((step.rule, before, after))
    return made


@pytest.mark.parametrize("discounts", [False, True])
def test_it_gives_what_the_traces_give(discounts: bool) -> None:
    base = repricer.Market("three-stocks", num_markets=200).view
    rng = np.random.default_rng(0)
    price = np.exp(rng.normal(2.5, 1, (200, 3))).astype(np.float32)
    price[rng.random((200, 3)) < 0.1] = np.nan
    price[rng.random((200, 3)) < 0.1] = np.inf
    price[:20] = base.list_price[:20] * np.float32(1 + 1e-7)  # in its last bits
    lowest = np.full((200, 3), 5.0, np.float32)
    view = MarketView(**{**vars(base), "lowest_price_30_days": lowest})
    rules = Guardrails(
        floor=[5, 5, 5],
        ceiling=[30, 40, 50],
        unit_cost=[4, 5, 6],
        minimum_margin=0.3,
        max_change=0.4,
        tick=0.05,
        max_discount=0.2,
        max_segment_spread=0.1,
        lines=((0, 1),),
        frozen=[False, False, True],
    )
    discount = rng.uniform(-0.1, 0.5, (200, 3, 2)).astype(np.float32) if discounts else None
    action = Action(price, discount=discount)
    found, (wanted, traces) = applied_stepwise(rules, action, view), rules.apply_traced(action, view)
    np.testing.assert_array_equal(found.price, wanted.price)
    np.testing.assert_array_equal(found.prior_price, wanted.prior_price)  # pyright: ignore
    if discounts:
        np.testing.assert_array_equal(found.discount, wanted.discount)  # pyright: ignore
    theirs = [[(s.rule, s.before, s.after) for s in steps if s.moved] for market in traces for steps in market]
    assert repr(trails(found)) == repr(theirs)  # NaN equals itself so
    assert {rule for steps in theirs for rule, *_ in steps} >= {
        "not_a_number",
        "max_change",
        "price_ladder",
        "line_order",
    }
