from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.spaces import Box
from repricer.benchmarks.inventory.adapter import BaseStock, OrdersAroundRule, measured

DEMAND, PERIODS, STOCK = 10.0, 4, 5.0
EDGES = {
    (1, 0): {"p": 2.0, "b": 1.0},
    (2, 1): {"L": 2, "p": 0.8, "g": 0.0},  # weight 1 / (1 + 0.8 + 0.2)
    (3, 1): {"L": 0, "p": 3.0, "g": 0.0},  # weight 1 / (1 + 3)
}


class Graph:
    """As much of a networkx graph as the adapter reads."""

    def __init__(self) -> None:
        self.nodes, self.edges = {1: {"h": 1.0}}, EDGES

    def successors(self, node: int) -> list[int]:
        return [after for before, after in EDGES if before == node]

    def predecessors(self, node: int) -> list[int]:
        return [before for before, after in EDGES if after == node]


class Shop:
    """One shop with two suppliers that delivers at once, in the words of the suite's `CoreEnv`."""

    def __init__(self) -> None:
        self.network = SimpleNamespace(
            graph=Graph(),
            main_nodes=[1],
            retail=[1],
            node_map={1: 0},
            reorder_links=[(2, 1), (3, 1)],
            retail_links=[(1, 0)],
            retail_map={(1, 0): 0},
        )
        self.demand_engine = SimpleNamespace(noise_scale=1.0, get_current_mu=lambda period: DEMAND)
        self.observation_space, self.action_space = Box(-np.inf, np.inf, (1,)), Box(0.0, 1e3, (2,))
        self.num_periods, self.backlog, self.unwrapped = PERIODS, True, self
        self.reset()

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self.period, self.orders = 0, []
        self.X, self.Y, self.U = np.full((PERIODS + 1, 1), STOCK), np.zeros((PERIODS + 1, 2)), np.zeros((PERIODS, 1))
        return np.zeros(1), {}

    def step(self, action: np.ndarray):
        left = self.X[self.period, 0] + action.sum() - DEMAND
        self.orders.append(action)
        self.U[self.period], self.period = max(-left, 0.0), self.period + 1
        self.X[self.period] = max(left, 0.0)
        return np.array([left]), -abs(left), False, self.period == PERIODS, {}


def test_the_rule_orders_the_demand_until_the_slowest_delivery():
    shop = Shop()
    rule = BaseStock(shop)
    # A unit too few costs as much as one too many: no safety stock.
    np.testing.assert_allclose(rule.levels(), 3 * DEMAND)
    np.testing.assert_allclose(rule.orders(), np.array([2 / 3, 1 / 3]) * (3 * DEMAND - STOCK))
    shop.step(np.zeros(2))
    shop.Y[1] = [4.0, 0.0]
    np.testing.assert_allclose(rule.positions(), 4.0 - (DEMAND - STOCK))
    shop.backlog = False
    np.testing.assert_allclose(rule.positions(), 4.0)


def test_an_action_of_zero_is_the_rule_and_the_lowest_orders_nothing():
    shop = Shop()
    env, rule = OrdersAroundRule(shop), BaseStock(shop)
    env.reset(seed=0)
    expected = rule.orders()
    env.step(np.zeros(2, np.float32))
    np.testing.assert_allclose(shop.orders[-1], expected)
    expected = rule.orders()
    env.step(np.array([-1.0, 0.1], np.float32))
    assert shop.orders[-1][0] == 0.0
    assert shop.orders[-1][1] > expected[1]


def test_an_episode_ends_for_good_at_its_last_period():
    env = OrdersAroundRule(Shop())
    env.reset()
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(PERIODS)]
    assert ends == [(False, False)] * (PERIODS - 1) + [(True, False)]


def test_observations_and_rewards_are_of_order_one():
    scale = measured(Shop(), episodes=50)
    env, generator = OrdersAroundRule(Shop(), scale), np.random.default_rng(1)
    assert env.unwrapped is env.core
    seen, rewards = [], []
    for _ in range(50):
        env.reset()
        for _ in range(PERIODS):
            observation, reward, *_ = env.step(np.clip(generator.normal(0.0, 0.2, 2), -1, 1))
            seen.append(observation)
            rewards.append(reward)
    assert env.observation_space.contains(seen[-1])
    np.testing.assert_allclose(np.mean(seen, axis=0), 0.0, atol=0.3)
    assert np.std(seen, axis=0).max() == pytest.approx(1.0, abs=0.3)
    assert np.abs(rewards).mean() == pytest.approx(1.0, rel=0.3)
