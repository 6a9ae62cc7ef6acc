"""Which blocks of a preset hold for a market."""

import pytest
import repricer
from repricer import load_scenario
from repricer.agents.settings import settings_for
from repricer.envs import rollout
from repricer.optimum import solve


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


def test_where_nothing_lasts_later_money_does_not_count():
    def gamma(name, **more):
        return settings_for(load_scenario(name), "ppo", more).algorithm["gamma"]

    assert gamma("segment-prices") == 0
    assert gamma("segment-prices", gamma=0.5) == 0.5
    assert gamma("segment-prices", variants=4) == gamma("incomplete-learning") == gamma("gallego-van-ryzin") == 1
    limited = load_scenario("segment-prices").with_changes(prices={"max_change": 0.1})
    assert settings_for(limited, "ppo").algorithm["gamma"] == 1


def test_segment_prices_are_learned_in_few_steps():
    spec = load_scenario("segment-prices")
    run = repricer.train(spec, steps=20_000, seed=7)
    optimum = solve(spec)
    assert optimum is not None
    reached = rollout(spec, run.policy, episodes=500, seed=1, expected=True).objective.mean()
    assert reached > 0.97 * optimum.value  # 69% with a discount factor of 1
