"""Learning with other shops: between updates, each takes the mean of all shops' weights.

Federated averaging: McMahan, Moore, Ramage, Hampson and Agüera y Arcas (2017), Communication-Efficient
Learning of Deep Networks from Decentralized Data, AISTATS.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from ..forecasting.federated.messages import Done, FederationError, Learner, Masked, Round
from ..forecasting.federated.shop import Answering, attend
from .networks import Average, FeaturesExtractor
from .settings import Settings

Array = NDArray[np.float64]
Joining = Callable[..., AbstractContextManager[Average]]
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
    columns = [module.mean.numel() for module in policy.modules() if isinstance(module, FeaturesExtractor)][:1]
    sizes = [2 * number for number in columns if settings.normalise] + [len(weights_of(policy))] * ROUNDS
    (features,) = cast(Box, policy.observation_space).shape
    widths = " and ".join(map(str, settings.net_arch))
    with shops(policy=f"{algo} of seed {seed} on {features} features, layers of {widths}", sizes=sizes) as average:
        yield average


@contextmanager
def with_shops(
    key: bytes,
    *,
    name: str,
    host: str,
    port: int,
    policy: str,
    sizes: list[int],
    wait: float = 3600.0,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Average]:
    """Join other shops at a coordinator (`repricer federate average`), for one training.

    Args:
        key: What all who take part know.
        name: Of the shop, for the others.
        policy: What is learned, in words that must be the same in all shops.
        sizes: How many numbers each mean is of, in turn.
        wait: Longest time to wait for the others, in seconds.
        say: Called with a line each round.

    Yields:
        The mean over all shops.

    Raises:
        FederationError: The coordinator refused the shop, is gone, or asks for what would tell the shop's own weights.
    """
    own = _Exchange(name, policy, sizes)
    thread = threading.Thread(target=own.run, args=(key, host, port, wait, say), daemon=True)
    thread.start()
    try:
        yield own.average
    except BaseException:
        own.given.put(None)
        raise
    thread.join(wait)


class _Exchange(Answering):
    """Hands numbers from the training to the thread that talks to the coordinator, and means back."""

    def __init__(self, name: str, policy: str, sizes: list[int]) -> None:
        super().__init__(name)
        self.join = Learner(name, self.masks.public, policy, sizes)
        self.given: queue.Queue[Array | None] = queue.Queue()
        self._means: queue.Queue[list[float] | Exception] = queue.Queue()

    def average(self, values: Array) -> Array:
        self.given.put(values)
        found = self._means.get()
        if isinstance(found, Exception):
            raise found
        return np.array(found)

    def answer(self, asked: Round) -> Masked:
        return self.masked(asked, self._next)

    def _next(self, common: dict[str, Any]) -> Array:
        """What the training gives next, after the mean of what it gave last."""
        if "mean" in common:
            self._means.put(common["mean"])
        values = self.given.get()
        if values is None:
            raise FederationError("the training ended early")
        return values

    def run(self, key: bytes, host: str, port: int, wait: float, say: Callable[[str], None]) -> None:
        try:
            done: Done = asyncio.run(attend(self, key, host=host, port=port, wait=wait, say=say))
            self._means.put(done.common["mean"])
        except Exception as error:  # the training raises it
            self._means.put(error)
