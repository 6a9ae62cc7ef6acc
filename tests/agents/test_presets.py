"""Which blocks of a preset hold for a market."""

import pytest
from repricer.agents.settings import settings_for


@pytest.mark.parametrize("algo", ["ppo", "sac", "tqc"])
def test_where_a_price_leaves_nothing_behind_learning_looks_less_far_ahead(algo, make_shop):
    def gamma(**changes):
        return settings_for(make_shop(**changes), algo, {"product_wise": True}).algorithm["gamma"]

    alone = gamma(reference_price=None)
    assert alone < gamma()
    season = {"replenishment": "none", "lead_time_periods": 0}
    assert gamma(reference_price=None, stock=season) == gamma()
    orders = {"replenishment": "action", "max_order_units": 40}
    assert gamma(reference_price=None, stock=orders) == gamma()
    rivals = {"names": ["r"], "product": ["a"], "regular_price": 4.0, "quality": 1.0, "price_sensitivity": 0.6}
    assert gamma(reference_price=None, competitors=rivals | {"rule": "match"}) == gamma()
