import numpy as np
import pytest
from repricer.envs import expected_units
from repricer.evaluation.uncertainty import break_even
from repricer.evaluation.uncertainty.recommendation import Crossing
from repricer.pricing import FixedPrice

from .conftest import uncertain_shop


def _elastic(factor):
    """The shop with customers so many times as price-sensitive."""
    spec = uncertain_shop(2)
    return spec.with_changes(demand={"price_sensitivity": factor * spec.demand.price_sensitivity})


def _pair(spec, factor):
    regular = spec.products.regular_price.astype(np.float32)
    return FixedPrice(regular * np.float32(factor), name="new"), FixedPrice(regular, name="now")


def _earned(spec, price, cost):
    return (expected_units(spec, 0, price).sum(axis=1)[0] * (price - cost)).sum()


def test_the_unit_cost_share_is_where_closed_form_profits_meet():
    """Lower prices pay while units are cheap; profit is linear in unit costs, so the share is known."""
    elastic = _elastic(2)
    found = break_even(elastic, *_pair(elastic, 0.9), objective="revenue").cost_share
    assert found.now == pytest.approx(0.5)
    regular = elastic.products.regular_price
    price = 0.9 * regular
    units = [expected_units(elastic, 0, p).sum(axis=1)[0] for p in (price, regular)]
    root = (units[0] @ price - units[1] @ regular) / ((units[0] - units[1]) @ regular)
    assert 0.5 < root < 0.95
    assert (found.below, found.above) == (None, pytest.approx(root, rel=1e-3))


def test_at_the_elasticity_found_the_gain_is_gone():
    elastic = _elastic(1.3)
    pair = _pair(elastic, 0.9)
    found = break_even(elastic, *pair, objective="revenue").elasticity
    assert found.above is None
    assert 0.4 < found.below < 1
    more = (found.below - 1) * elastic.demand.price_sensitivity
    quality = elastic.demand.quality + more * elastic.products.regular_price
    changed = elastic.with_changes(
        demand={"price_sensitivity": elastic.demand.price_sensitivity + more, "quality": quality}
    )
    before, after = (
        [_earned(market, np.asarray(policy.price, dtype=float), 0) for policy in pair] for market in (elastic, changed)
    )
    assert after[0] == pytest.approx(after[1], rel=1e-3)
    assert before[0] > 1.01 * before[1]


def test_a_market_without_unit_costs_has_no_cost_to_break_even_at(spec):
    free = spec.with_changes(products={"unit_cost": 0.0})
    assert break_even(free, *_pair(free, 0.9), objective="revenue").cost_share is None


def test_words_say_where_or_that_there_is_none():
    assert Crossing(0.5, 0.2, 0.8, (0, 1)).words("{:.0%}") == "at 20% and at 80%"
    assert Crossing(0.5, None, None, (0, 1)).words("{:.0%}") == "nowhere in the range tried (0% to 100%)"
