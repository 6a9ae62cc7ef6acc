"""Q-networks that know the order of the price levels: DQN and QR-DQN for one price from a list.

A plain Q-network learns the value of every level by itself. Neighbouring prices earn nearly the
same, so here values are a polynomial of the level's place in the list, whose coefficients the
network gives, and exploration tries prices near the best one instead of any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork
from stable_baselines3 import DQN
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork

_STEEP = 0.3


def _ordered(layers: torch.nn.Sequential, levels: int, degree: int, copies: int) -> torch.nn.Sequential:
    """The layers with a last one that turns coefficients into the values of the levels; copies: quantiles."""
    *hidden, last = layers
    values = torch.nn.Linear(copies * (degree + 1), copies * levels)
    with torch.no_grad():
        basis = chebvander(np.linspace(-1, 1, levels), degree)
        values.weight.copy_(torch.from_numpy(np.kron(np.eye(copies), basis)))
        values.bias.zero_()
    values.requires_grad_(False)
    return torch.nn.Sequential(*hidden, torch.nn.Linear(last.in_features, copies * (degree + 1)), values)  # pyright: ignore[reportArgumentType]


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
            network.q_net = _ordered(network.q_net, int(self.action_space.n), self.price_degree, 1)  # pyright: ignore
        return network


class OrderedQRDQNPolicy(QRDQNPolicy):
    """SB3-contrib's policy of QR-DQN."""

    def __init__(self, *args: Any, price_degree: int = 0, **options: Any) -> None:
        self.price_degree = price_degree
        super().__init__(*args, **options)

    def make_quantile_net(self) -> QuantileNetwork:
        """The network."""
        network, levels = super().make_quantile_net(), int(self.action_space.n)  # pyright: ignore
        if self.price_degree:
            network.quantile_net = _ordered(network.quantile_net, levels, self.price_degree, self.n_quantiles)
        return network


class _NearbyExploration:
    """Explores in some of the rows, by prices near the best one.

    Args:
        exploration_reach: Standard deviation of a step, as a share of the list of prices; 0 for any
            price, in all rows at once, as Stable-Baselines3 does it.
    """

    def __init__(self, *args: Any, exploration_reach: float = 0.0, **options: Any) -> None:
        self.exploration_reach = exploration_reach
        super().__init__(*args, **options)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Level numbers, (rows,)."""
        own: Any = self
        if deterministic or not self.exploration_reach:
            return super().predict(observation, state, episode_start, deterministic)  # pyright: ignore
        best, state = own.policy.predict(observation, state, episode_start, deterministic=True)
        levels = int(own.action_space.n)
        step = np.rint(np.random.normal(0.0, self.exploration_reach * levels, len(best)))  # noqa: NPY002
        explores = np.random.rand(len(best)) < own.exploration_rate  # noqa: NPY002
        return np.where(explores, np.clip(best + step, 0, levels - 1), best).astype(best.dtype), state


class OrderedDQN(_NearbyExploration, DQN):
    """DQN over an ordered list of prices."""

    policy_aliases = DQN.policy_aliases | {"MlpPolicy": OrderedDQNPolicy}


class OrderedQRDQN(_NearbyExploration, QRDQN):
    """QR-DQN over an ordered list of prices."""

    policy_aliases = QRDQN.policy_aliases | {"MlpPolicy": OrderedQRDQNPolicy}


def flatten_values(network: torch.nn.Sequential, base_level: int, levels: int, flat: float) -> None:
    """Bring the values of all levels near zero, with the best at the base price.

    Args:
        network: Layers of a Q- or quantile network.
        base_level: Number of the base price in the list.
        levels: Length of the list.
        flat: Factor of the weights that give the values.
    """
    heads = [layer for layer in network if isinstance(layer, torch.nn.Linear) and layer.weight.requires_grad]
    head = heads[-1]
    ordered = head is not network[-1]
    place, peak = np.linspace(-1, 1, levels), 2 * base_level / max(levels - 1, 1) - 1
    # -(x - peak)^2 is 2 peak T1 - T2 / 2 but for a constant.
    hill = np.zeros(head.out_features) if ordered else np.tile(-((place - peak) ** 2), head.out_features // levels)
    if ordered:
        coefficients = hill.reshape(network[-1].out_features // levels, -1)  # pyright: ignore
        coefficients[:, 1:3] = (2 * peak, -0.5)[: coefficients.shape[1] - 1]
    with torch.no_grad():
        head.weight.mul_(flat)
        head.bias.copy_(torch.from_numpy(_STEEP * hill))
