"""Prices that the shop never charged, one by one and together."""

from dataclasses import replace

import numpy as np
from repricer.evaluation.uncertainty import joint_outside
from repricer.scenarios import load_scenario
from repricer.scenarios.shop_sections import PastSection, PlanSection


def test_prices_that_never_moved_together_are_outside_together():
    shop = load_scenario("grocery")
    names, regular, periods = shop.category_names, shop.products.regular_price, shop.market.horizon_periods
    plan = PlanSection(price=np.tile(regular, (periods, 1)), units=np.ones((periods, regular.size)))
    past = PastSection(level_low=np.full(len(names), 0.9), level_high=np.full(len(names), 1.0))
    spec = replace(shop, plan=plan, past=past)
    one = np.where(np.arange(regular.size) == 0, 0.8, 1.0) * regular
    assert not joint_outside(spec, one).any()
    assert joint_outside(spec, [0.8 * regular, regular]).tolist() == [[True] * len(names), [False] * len(names)]
    assert joint_outside(shop, regular) is None
