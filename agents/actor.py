"""The part of an SB3 policy that sets prices: features to raw action, without distribution or value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ..pricing import ActionLayout, NetworkPolicy, Parts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Actor(torch.nn.Module):
    """The deterministic action of an actor-critic policy: (rows, F) features to (rows, columns) raw actions."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__()
        self.hidden = policy.mlp_extractor.policy_net
        self.action = policy.action_net

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The mean action, not yet cut to [-1, 1]: decoding does that."""
        return self.action(self.hidden(features))


def network_policy(
    actor: torch.nn.Module, layout: ActionLayout, base_price: NDArray[np.float32], *, product_wise: bool, name: str
) -> NetworkPolicy:
    """A policy that asks the network, on the CPU."""

    def forward(rows: NDArray[np.float32]) -> Parts:
        with torch.inference_mode():
            raw = actor(torch.from_numpy(rows)).numpy()
        return layout.decode(raw.reshape(-1, layout.size))

    return NetworkPolicy(name, forward, layout, base_price, product_wise)
