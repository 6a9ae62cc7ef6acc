from __future__ import annotations

import numpy as np
import pytest
import repricer
from repricer.pricing import Action, Guardrails, MarketView


@pytest.mark.parametrize("discounts", [False, True])
def test_trails_tell_the_changes_of_more_than_the_last_bits_among_all(discounts: bool) -> None:
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
    found = rules.apply(action, view)
    steps = [[step.rule for step in trail] for trail in found.trails]
    marked = [found.rules(e, n) for e in range(200) for n in range(3)]
    assert all(set(own) <= set(every) for own, every in zip(steps, marked, strict=True))
    for trail, asked, given in zip(found.trails, price.ravel(), found.price.ravel(), strict=True):
        moves = [step for step in trail if isinstance(step.after, float)]
        before = [asked, *(step.after for step in moves)]
        np.testing.assert_allclose([step.before for step in moves], before[:-1], rtol=2e-6)
        np.testing.assert_allclose(before[-1], given, rtol=2e-6)
    assert {rule for own in steps for rule in own} >= {"not_a_number", "max_change", "price_ladder", "line_order"}
