"""Learning with other shops: between updates, each takes the mean of all shops' weights.

Federated averaging: McMahan, Moore, Ramage, Hampson and Agüera y Arcas (2017), Communication-Efficient
Learning of Deep Networks from Decentralized Data, AISTATS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from ..privacy.shared_sums import SharedFolder
from .networks import Average
from .settings import Settings

Array = NDArray[np.float64]
Joining = Callable[..., SharedFolder]
"""Joins the other shops, given what is learned in words (`about`)."""
ROUNDS = 40
"""Means of the weights in a training; as many for a shop with few products, whose rollouts are fewer."""


class Averaging(BaseCallback):
    """Takes the mean of all shops' weights, `ROUNDS` times in a training.

    The state of the optimiser stays the shop's own.
    """

    def __init__(self, average: Average, steps: int) -> None:
        super().__init__()
        self._average, self._steps, self._done = average, steps, 0

    def finish(self) -> None:
        """Take the means that are left: those after the last update."""
        self._meet(ROUNDS)

    def _on_rollout_start(self) -> None:
        self._meet(int(ROUNDS * self.num_timesteps / self._steps))

    def _on_step(self) -> bool:
        return True

    def _meet(self, due: int) -> None:
        for _ in range(self._done, min(due, ROUNDS)):
            own = list(self.model.policy.parameters())
            mean = self._average(weights_of(self.model.policy))
            parts = torch.as_tensor(mean, dtype=torch.float32).split([part.numel() for part in own])
            with torch.no_grad():
                for part, values in zip(own, parts, strict=True):
                    part.copy_(values.view_as(part))
        self._done = max(self._done, due)


def weights_of(policy: torch.nn.Module) -> Array:
    """(P,) all weights of a policy."""
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach().cpu().double().numpy()


@contextmanager
def joined(
    shops: Joining | None, algo: str, seed: int, policy: BasePolicy, settings: Settings
) -> Iterator[Average | None]:
    """The mean over other shops for one training, or None without any.

    Args:
        shops: As for `train`.
        seed: Seed of the first weights, which must be the same in all shops for their mean to make sense.
        policy: What is learned.
        settings: How.
    """
    if shops is None:
        yield None
        return
    (features,) = cast(Box, policy.observation_space).shape
    widths = " and ".join(map(str, settings.net_arch))
    about = (
        f"{algo} of seed {seed} on {features} features{', normalised' * settings.normalise}, layers of {widths}, "
        f"{len(weights_of(policy))} weights"
    )
    with shops(about=about) as shared:
        yield lambda values: shared.sum(values) / len(shared.facts)
