"""An inventory network of gym-invmgmt as PPO learns it best: orders around a base-stock rule, in scaled numbers."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

_LEAST_MARGIN = 0.5
"""What a unit that a node cannot pass on costs at least, as the suite's newsvendor rule assumes."""
_NEAR, _FAR = 8.0, 32.0
"""Periods of mean demand per unit of an action, and per unit of its cube: fine near the rule, and far enough to order
nothing, or all that there is."""


class BaseStock:
    """The newsvendor rule: every node orders up to a quantile of the demand over its longest lead time.

    It knows what the suite's informed rules know: costs, lead times, and the mean demand of each period.
    """

    def __init__(self, env: Any) -> None:
        """Read the costs and lead times of a network.

        Args:
            env: A `CoreEnv` of the suite, or something that wraps one.
        """
        self.core = env.unwrapped
        network, engine = self.core.network, self.core.demand_engine
        edges, links = network.graph.edges, list(network.reorder_links)
        self.nodes = [int(node) for node in network.main_nodes]
        self.column = [network.node_map[node] for node in self.nodes]
        self.buyer = np.array([self.nodes.index(link[1]) for link in links])
        self.lead = np.array([max(edges[link]["L"] for link in links if link[1] == node) for node in self.nodes])
        # Cheap and fast suppliers are asked for more.
        weight = np.array([1.0 / (1.0 + edges[link]["p"] + 0.1 * edges[link]["L"]) for link in links])
        self.share = weight / np.bincount(self.buyer, weight)[self.buyer]
        self.safety = np.array([NormalDist().inv_cdf(self._critical_ratio(node)) for node in self.nodes])
        self.sells = [[network.retail_map[link] for link in network.retail_links if link[0] == n] for n in self.nodes]
        self.period_demand = float(np.mean([engine.get_current_mu(t) for t in range(self.core.num_periods)]))

    def _critical_ratio(self, node: int) -> float:
        """Cost of a unit too few, as a share of that and the cost of one too many."""
        network = self.core.network
        edges, buyers = network.graph.edges, list(network.graph.successors(node))
        if node in network.retail:
            short = max(edges[node, each]["b"] for each in buyers)
        else:
            bought = min(edges[each, node]["p"] for each in network.graph.predecessors(node))
            short = max(max(edges[node, each]["p"] for each in buyers) - bought, _LEAST_MARGIN)
        return short / (short + network.graph.nodes[node]["h"])

    def levels(self) -> NDArray[np.float64]:
        """(nodes,) units to order up to."""
        engine, now = self.core.demand_engine, self.core.period
        mean = np.cumsum([engine.get_current_mu(now + ahead) for ahead in range(self.lead.max() + 1)])[self.lead]
        return np.maximum(mean + self.safety * engine.noise_scale * np.sqrt(mean), 0.0)

    def positions(self) -> NDArray[np.float64]:
        """(nodes,) units on hand and on the way, less those owed to customers."""
        core, now = self.core, self.core.period
        coming = np.bincount(self.buyer, core.Y[now])
        owed = core.U[now - 1] if core.backlog and now else np.zeros(core.U.shape[1])
        return core.X[now, self.column] + coming - [owed[each].sum() for each in self.sells]

    def orders(self, periods: ArrayLike = 0.0) -> NDArray[np.float64]:
        """(links,) units to order.

        Args:
            periods: (links,) periods of mean demand that a link orders above the level, or below it where negative.
        """
        missing = (self.levels() - self.positions())[self.buyer] + self.period_demand * np.asarray(periods)
        return np.minimum(self.share * np.maximum(missing, 0.0), self.core.action_space.high)


class Scale(NamedTuple):
    """What observations and rewards are measured in.

    Attributes:
        mean: (features,) mean observation.
        deviation: (features,) standard deviation; 1 where a feature does not change.
        money: Mean size of the reward of a period.
    """

    mean: NDArray[np.float64] | float = 0.0
    deviation: NDArray[np.float64] | float = 1.0
    money: float = 1.0


class OrdersAroundRule(gymnasium.Env):
    """A network in which an action of zero is the base-stock rule's order.

    Observations are the suite's, with the rule's levels and positions. An episode terminates at its last period: what
    is left then is worth nothing, and a learner that took the end for a cut would value it.
    """

    def __init__(self, core: Any, scale: Scale | None = None) -> None:
        """Wrap a network.

        Args:
            core: A `CoreEnv` of the suite.
            scale: What observations and rewards are measured in; units and money by default.
        """
        self.core, self.rule, self.scale = core, BaseStock(core), scale or Scale()
        features = core.observation_space.shape[0] + 2 * len(self.rule.nodes)
        self.observation_space = Box(-np.inf, np.inf, (features,), np.float32)
        self.action_space = Box(-1.0, 1.0, (len(self.rule.buyer),), np.float32)

    @property
    def unwrapped(self) -> Any:
        """The suite's network, which its scorer reads."""
        return self.core

    def _seen(self, observation: NDArray) -> NDArray[np.float32]:
        seen = np.concatenate([observation, self.rule.levels(), self.rule.positions()])
        return ((seen - self.scale.mean) / self.scale.deviation).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the customers; they go on by default.
        """
        observation, info = self.core.reset(seed=seed, options=options)
        return self._seen(observation), info

    def step(self, action: NDArray[np.floating]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Run one period.

        Args:
            action: (links,) numbers in [-1, 1].
        """
        orders = self.rule.orders(_NEAR * action + _FAR * action**3)
        observation, reward, terminated, truncated, info = self.core.step(orders)
        return self._seen(observation), float(reward) / self.scale.money, terminated or truncated, False, info


def measured(core: Any, *, episodes: int = 32, seed: int = 1_000_000) -> Scale:
    """What to measure observations and rewards in, from episodes of orders around the rule.

    Args:
        core: A `CoreEnv` of the suite.
        seed: Seed of the customers and orders.
    """
    env, generator = OrdersAroundRule(core), np.random.default_rng(seed)
    seen, money = [], []
    for episode in range(episodes):
        env.reset(seed=seed + episode)
        ended = False
        while not ended:
            action = np.clip(generator.normal(0.0, 0.2, len(env.rule.buyer)), -1.0, 1.0)
            observation, reward, ended, _, _ = env.step(action)
            seen.append(observation)
            money.append(abs(reward))
    deviation = np.std(seen, axis=0)
    return Scale(np.mean(seen, axis=0), np.where(deviation > 1e-6, deviation, 1.0), float(np.mean(money)))
