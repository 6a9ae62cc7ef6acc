"""Which blocks of a preset hold for a market."""

import functools
from dataclasses import replace

import pytest
import repricer
from repricer import load_scenario
from repricer.agents import best_fixed
from repricer.agents.algorithms import ALGORITHMS
from repricer.agents.base_price import base_of
from repricer.agents.plan import plan_for
from repricer.agents.presets import preset_blocks
from repricer.agents.run import learner_view_of
from repricer.agents.settings import settings_for
from repricer.agents.training import teacher_of
from repricer.envs import Market, rollout
from repricer.optimum import exact_value, solve
from repricer.pricing.rival_policies import EdgeworthCycle
from repricer.scenarios import registered


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


@pytest.mark.parametrize("name", [name for name in registered() if not name.startswith("bench-100")])
def test_a_market_is_learned_in_the_same_way_under_another_name(name, monkeypatch):
    # One round of the search for best fixed prices: both markets get the same, good or not. Copies, as it is kept by object.
    monkeypatch.setattr("repricer.agents.classical._GENERATIONS", (1, 1))
    spec, other = (replace(load_scenario(name), name=own) for own in (name, "x"))
    for algo, each in ALGORITHMS.items():
        if each.decides == "discrete" and (len(spec.products.names) > 1 or spec.stock.replenishment == "action"):
            continue
        own, renamed = (settings_for(market, algo, options=each.options) for market in (spec, other))
        assert own == renamed


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_allowed_price_is_within_reach(algo):
    spec = load_scenario("low-before-high")
    settings = settings_for(spec, algo, {"actions": "continuous"}, ALGORITHMS[algo].options)
    layout = learner_view_of(Market(spec), settings, *base_of(spec, settings.base_price)).layout
    base = float(best_fixed(spec).price[0])
    assert layout.low_multiplier * base == pytest.approx(2)
    assert layout.high_multiplier * base == pytest.approx(60)


def test_the_block_of_a_scenario_in_an_earlier_file_still_holds(tmp_path):
    (tmp_path / "own.toml").write_text("[scarce]\nlearning_rate = 0.5\n")
    with pytest.warns(UserWarning, match="rename the block scarce to default"):
        settings = settings_for(load_scenario("scarce"), "ppo", preset=tmp_path / "own.toml")
    assert settings.learning_rate == 0.5


def test_a_rule_to_learn_around_is_found_by_search():
    duopoly = load_scenario("undercutter")
    # The optimum: 66 against prices up to 35 or above 66, else one less.
    assert settings_for(duopoly, "ppo").base_price == "two-bound:35:66:1"
    # Against a fixed price of 20, nothing reacts: one less than it is as good as any rule.
    steady = duopoly.with_changes(competitors={"rule": ("match",), "floor": 20, "ceiling": 20.0})
    fixed = settings_for(steady, "ppo")
    assert (fixed.base_price, fixed.levels_around) == ("best-fixed", "base-price")
    # Prices are then learned around the fixed ones, as without a rival.
    assert preset_blocks(steady, product_wise=False) == ("default",)


@pytest.mark.parametrize(
    ("algo", "own"),
    [
        ("ppo", {"base_price": "best-fixed"}),
        ("ppo", {"base_price": "regular"}),
        ("dqn", {"base_price": "best-fixed"}),
        ("ppo", {"actions": "continuous"}),
    ],
)
def test_beside_rivals_there_may_be_no_rule_to_learn_around(algo, own):
    """The preset's levels around the regular price, which nobody asked for here, belong to a choice beside a rule."""
    duopoly = load_scenario("undercutter")
    assert plan_for(duopoly, algo, 1000, 0, own).settings.levels_around == "base-price"
    with pytest.raises(ValueError, match="levels_around regular needs discrete actions and a rule"):
        plan_for(duopoly, algo, 1000, 0, own | {"levels_around": "regular"})


@functools.cache  # its optimum and its best rule are kept by the object
def late_rival():
    return load_scenario("undercutter").with_changes(
        competitors={"rule": ("undercut:3",), "answers_within_period": False}, prices={"ceiling": 46}
    )


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_against_a_rival_that_answers_late_the_rule_follows_from_the_shops_own_last_price(algo):
    """The rival charges 3 less than that: 4 less undercuts it. Nothing is learned here."""
    late = late_rival()
    settings = settings_for(late, algo, options=ALGORITHMS[algo].options)
    rule = base_of(late, settings.base_price)[1]
    assert isinstance(rule, EdgeworthCycle)
    assert rule.step == 4
    assert exact_value(late, rule) > 0.99 * solve(late).value
    # A raw action of zero is the rule's price: there is nothing to imitate.
    assert teacher_of(plan_for(late, algo, 1000, 0)) is None
