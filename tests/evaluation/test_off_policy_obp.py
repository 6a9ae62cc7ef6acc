"""IPS, SNIPS and DR against Open Bandit Pipeline on its synthetic data.

Reference: obp 0.4.1, `SyntheticBanditDataset(n_actions=5, dim_context=3, reward_type="binary",
reward_function=logistic_reward_function, behavior_policy_function=linear_behavior_policy, random_state=12345)`, 2,000 rounds;
`InverseProbabilityWeighting`, `SelfNormalizedInverseProbabilityWeighting` and `DoublyRobust` with 0.8 of the expected reward
plus 0.05 as the regression model. `drawn` makes the same data from the same seeds (checked against the package's).
"""

from dataclasses import replace

import numpy as np
import pytest
from repricer.envs import rollout
from repricer.evaluation import LogRecorder, off_policy
from repricer.pricing import FixedPrice
from repricer.scenarios import load_scenario

IPS, SNIPS, DR = 0.5917206055280322, 0.5943349261830965, 0.5970997454653529
ROUNDS, ACTIONS, SEED = 2000, 5, 12345


def drawn():
    """Context, action, propensity, expected reward of every action, and reward of each round."""
    random, weights = np.random.RandomState(SEED), np.random.RandomState(SEED)
    context = random.normal(size=(ROUNDS, 3))
    score = (context @ weights.uniform(size=3))[:, None] + weights.uniform(size=ACTIONS)
    chance = np.exp(score - score.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    action = np.array([random.choice(np.arange(ACTIONS), p=row) for row in chance])
    weights = np.random.RandomState(SEED)
    by_action = weights.uniform(size=(ACTIONS, 3))
    expected = 1 / (1 + np.exp(-(context @ by_action.T + weights.uniform(size=ACTIONS))))
    reward = random.binomial(n=1, p=expected[np.arange(ROUNDS), action])
    return context, action, chance[np.arange(ROUNDS), action], expected, reward


def test_the_estimates_are_those_of_open_bandit_pipeline(monkeypatch):
    context, action, chance, expected, reward = drawn()
    target = (context[:, 0] > 0) * 3
    spec = load_scenario("seen-segments")
    recorder = LogRecorder(spec)
    rollout(spec, FixedPrice(6.0), episodes=ROUNDS, seed=0, watch=recorder)
    # Actions are prices; nothing else of the market is used.
    columns = {"price": 2.0 * (action + 1), "propensity": chance, "money": reward, "units": reward}
    log = replace(recorder.log(), **{name: np.array(values, dtype=float)[:, None] for name, values in columns.items()})
    model = 0.8 * expected + 0.05

    def predicted(_log, *asked):
        return [model[np.arange(ROUNDS), (prices[:, 0] / 2 - 1).astype(int)][:, None] for prices in asked]

    monkeypatch.setattr(off_policy, "predicted_money", predicted)
    found = off_policy.weighted_estimates(log, 2.0 * (target + 1.0)[:, None])
    assert found["ips"].mean == pytest.approx(IPS, rel=1e-12)
    assert found["snips"].mean == pytest.approx(SNIPS, rel=1e-12)
    assert found["doubly_robust"].mean == pytest.approx(DR, rel=1e-12)
