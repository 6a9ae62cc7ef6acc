from __future__ import annotations

import numpy as np
import pytest
from repricer.agents import best_fixed
from repricer.benchmarks import feedback
from repricer.benchmarks.feedback import Gain, gain_over, informed, row
from repricer.benchmarks.feedback_markets import FeedbackMarket
from repricer.benchmarks.price_paths import best_path, mean_money
from repricer.evaluation import exact_value
from repricer.optimum import best_path as exact_path
from repricer.scenarios import load_scenario
from repricer.scenarios.periods import periods_of


def test_a_search_from_fixed_prices_reaches_the_exact_path_of_a_season():
    spec = load_scenario("gallego-van-ryzin")
    fixed, exact = best_fixed(spec), exact_path(spec)
    assert exact is not None
    start = np.tile(fixed.price.astype(np.float64), (spec.market.horizon_periods, 1))
    found = [exact_value(spec, policy) for policy in (fixed, best_path(spec, [start]), exact)]
    assert found[1] / found[2] == pytest.approx(1, abs=0.003)
    assert found[0] / found[2] < 0.991


def test_a_path_is_tried_in_the_posterior_draws():
    spec = load_scenario("incomplete-learning")
    paths = np.full((3, 50, 1), [[[8.0]], [[10.0]], [[12.0]]])
    # Of four draws, one customer in .7, .5 or .3 of the periods buys, or in .54, .5 or .46.
    shares = np.array([0.7 + 3 * 0.54, 4 * 0.5, 0.3 + 3 * 0.46]) / 4
    money = mean_money(spec, paths, seed=1, episodes=8)
    assert money == pytest.approx(50 * np.array([8, 10, 12]) * shares, rel=1e-5)


@pytest.mark.parametrize(("between_seeds", "between_customers"), [(0.02, 0.01), (0.001, 0.1), (0.01, 0.0)])
def test_intervals_of_a_gain_cover_it(between_seeds, between_customers):
    rng, other, covered = np.random.default_rng(0), np.full(100, 50.0), []
    for _ in range(2_000):
        own = other * (1.03 + between_seeds * rng.normal(size=(3, 1)) + between_customers * rng.normal(size=100))
        found = gain_over(own, other)
        covered.append(abs(found.mean - 0.03) <= found.half_width)
    assert np.mean(covered) >= 0.925


def test_a_gain_counts_where_it_is_large_and_no_chance():
    assert [Gain(*given).counts for given in ((0.006, 0.005), (0.006, 0.007), (0.004, 0.001))] == [True, False, False]


def test_a_row_compares_what_was_learned_with_the_path(monkeypatch):
    monkeypatch.setattr(feedback, "EPISODES", 400)
    quick = {"evaluations": 1, "validation_episodes": 64, "clone_episodes": 8, "clone_epochs": 2}
    market = FeedbackMarket(
        "twelve-customers",
        lambda: (periods_of(load_scenario("incomplete-learning"), 0, 12), None),
        steps=dict.fromkeys(feedback.ALGORITHMS, 256),
        settings=dict.fromkeys(feedback.ALGORITHMS, quick | {"num_envs": 16, "n_steps": 8, "batch_size": 32}),
    )
    found = row(market, seeds=2)
    # The exact optimum is the most, and no path is better than the best fixed price where all periods are alike.
    assert found["money"]["informed"] >= found["money"]["path"] == pytest.approx(found["money"]["fixed"])
    assert found["money"]["plan"] is None
    assert set(found["gains"]) == set(feedback.ALGORITHMS)


def test_who_knows_the_draw_earns_more():
    spec = load_scenario("incomplete-learning")
    # Two products would be out of reach of the solver; here it is turned off.
    path = best_path(spec, [np.full((50, 1), 10.0)], episodes=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feedback, "solve", lambda spec: None)
        known = informed(spec, path)
    # 8 in one draw of four, 12 in the others.
    assert known == pytest.approx(50 * (8 * 0.7 + 3 * 12 * 0.46) / 4, rel=1e-5)


def test_an_unknown_market_is_named():
    with pytest.raises(ValueError, match="market must be one of"):
        feedback.table(["fish"])
