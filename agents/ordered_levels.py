"""Q-networks that know the order of the price levels: DQN for one price from a list.

A plain Q-network learns the value of every level by itself. Neighbouring prices earn nearly the
same, so here values are a polynomial of the level's place in the list, whose coefficients the
network gives, and exploration tries prices near the best one instead of any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from stable_baselines3 import DQN
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork

_STEEP = 0.3


def _ordered(layers: torch.nn.Sequential, levels: int, degree: int) -> torch.nn.Sequential:
    """The layers with a last one that turns coefficients into the values of the levels."""
    *hidden, last = layers
    values = torch.nn.Linear(degree + 1, levels)
    with torch.no_grad():
        values.weight.copy_(torch.from_numpy(chebvander(np.linspace(-1, 1, levels), degree)))
        values.bias.zero_()
    values.requires_grad_(False)
    return torch.nn.Sequential(*hidden, torch.nn.Linear(last.in_features, degree + 1), values)  # pyright: ignore[reportArgumentType]


class OrderedDQNPolicy(DQNPolicy):
    """SB3's policy of DQN.

    Args:
        price_degree: Degree of the polynomial; 0 for a plain Q-network.
    """

    def __init__(self, *args: Any, price_degree: int = 0, **options: Any) -> None:
        self.price_degree = price_degree
        super().__init__(*args, **options)

    def make_q_net(self) -> QNetwork:
        """The network."""
        network = super().make_q_net()
        if self.price_degree:
            network.q_net = _ordered(network.q_net, int(self.action_space.n), self.price_degree)  # pyright: ignore
        return network


class OrderedDQN(DQN):
    """DQN over an ordered list of prices, which explores in some of the rows, by prices near the best one.

    Args:
        exploration_reach: Standard deviation of a step, as a share of the list of prices; 0 for any
            price, in all rows at once, as Stable-Baselines3 does it.
    """

    policy_aliases = DQN.policy_aliases | {"MlpPolicy": OrderedDQNPolicy}

    def __init__(self, *args: Any, exploration_reach: float = 0.0, **options: Any) -> None:
        self.exploration_reach = exploration_reach
        super().__init__(*args, **options)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Level numbers, (rows,)."""
        if deterministic or not self.exploration_reach:
            return super().predict(observation, state, episode_start, deterministic)
        best, state = self.policy.predict(observation, state, episode_start, deterministic=True)
        levels = int(self.action_space.n)  # pyright: ignore
        step = np.rint(np.random.normal(0.0, self.exploration_reach * levels, len(best)))  # noqa: NPY002
        explores = np.random.rand(len(best)) < self.exploration_rate  # noqa: NPY002
        return np.where(explores, np.clip(best + step, 0, levels - 1), best).astype(best.dtype), state


def flatten_values(network: torch.nn.Sequential, base_level: int, levels: int, flat: float) -> None:
    """Bring the values of all levels near zero, with the best at the base price.

    Args:
        network: Layers of a Q-network.
        base_level: Number of the base price in the list.
        levels: Length of the list.
        flat: Factor of the weights that give the values.
    """
    heads = [layer for layer in network if isinstance(layer, torch.nn.Linear) and layer.weight.requires_grad]
    head = heads[-1]
    ordered = head is not network[-1]
    place = np.linspace(-1, 1, levels)
    peak = 2 * base_level / max(levels - 1, 1) - 1
    # -(x - peak)^2 is 2 peak T1 - T2 / 2 but for a constant.
    hill = np.zeros(head.out_features) if ordered else -((place - peak) ** 2)
    if ordered:
        hill[1:3] = (2 * peak, -0.5)[: hill.size - 1]
    with torch.no_grad():
        head.weight.mul_(flat)
        head.bias.copy_(torch.from_numpy(_STEEP * hill))
