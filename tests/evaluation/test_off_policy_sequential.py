"""Estimates from a log that follow whole episodes."""

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.evaluation import LogRecorder, PriceLog, estimate_from_log, exact_value, named_policy
from repricer.evaluation.off_policy import episode_estimates
from repricer.pricing import EpsilonGreedy, FixedPrice
from repricer.scenarios import load_scenario


@pytest.fixture(autouse=True)
def fewer_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five trees a forest instead of thirty: what is tested holds whatever forest stands for the values."""
    monkeypatch.setattr("repricer.evaluation.off_policy._TREES", 5)


def logged(spec, policy, episodes, seed=3) -> PriceLog:
    recorder = LogRecorder(spec)
    rollout(spec, policy, episodes=episodes, seed=seed, watch=recorder)
    return recorder.log()


def short(periods, rate=2.0):
    """The scarce market, cut."""
    calendar = {"season": 0.0, "quality_path": 0.0, "sensitivity_path": 1.0}
    return load_scenario("scarce").with_changes(
        market={"horizon_periods": periods}, arrivals={"rate": rate}, demand=calendar
    )


@pytest.mark.parametrize(("name", "error"), [("optimum", 0.08), ("best-fixed", 0.02)])
def test_what_a_forest_smooths_away_is_in_the_correction_or_in_the_interval(name, error):
    """On thirty periods values alone are off by 1 to 4%, many times their spread."""
    spec = load_scenario("stationary-logit")
    policy, truth = named_policy(name, spec), exact_value(spec, named_policy(name, spec))
    log = logged(spec, named_policy("epsilon-greedy:0.5", spec), episodes=1000, seed=2)
    found = estimate_from_log(log, policy).estimates
    assert found["fitted_q"].low < truth < found["fitted_q"].high
    assert found["fitted_q"].high - found["fitted_q"].low < 2 * error * truth
    assert found["sequential_doubly_robust"] is None  # nobody follows it for thirty periods by chance


def test_sequential_doubly_robust_estimates_follow_a_stock():
    """Intervals hold the exact value as often as they should, of a price that sells out and of one that does not."""
    spec, ladder = short(3, rate=6.0), np.array([[0.5], [1.0], [1.5]])
    misses = []
    for seed in range(8):
        log = logged(spec, EpsilonGreedy(FixedPrice(1.0), ladder, 1.0, seed=seed), episodes=1000, seed=seed)
        for price in (0.5, 1.5):
            found = episode_estimates(log, np.full((len(log), 1), price))["sequential_doubly_robust"]
            truth = exact_value(spec, FixedPrice(price))
            misses.append((found.mean - truth) / (found.high - found.mean))
            assert found.high - found.low < 0.3 * truth
    assert np.mean(np.abs(misses) < 1) >= 0.85
    assert abs(np.mean(misses)) < 0.3


def test_sequential_weights_by_hand():
    """Two periods and no state: weights of both decisions where both are the target's, over their mean."""
    spec = short(2)
    log = logged(spec, EpsilonGreedy(FixedPrice(1.0), np.array([[1.0], [2.0]]), 1.0), episodes=400)
    follows = (log.price.reshape(-1, 2) == 1).cumprod(axis=1)
    money = log.money.reshape(-1, 2)
    by_hand = sum((follows[:, t] @ money[:, t]) / follows[:, t].sum() for t in range(2))
    found = episode_estimates(log, np.ones((len(log), 1)))["sequential_doubly_robust"]
    assert found.mean == pytest.approx(by_hand, rel=0.02)
