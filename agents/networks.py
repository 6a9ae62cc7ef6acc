"""Normalised features and learning-rate schedules for Stable-Baselines3."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  Numba calls it, and only a loaded library can be limited to one thread
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from threadpoolctl import ThreadpoolController


class FeaturesExtractor(BaseFeaturesExtractor):
    """Normalises an observation before the policy's own layers.

    Args:
        observation_space: Box of a row of `history` periods of features.
        history: Number of periods in an observation.
    """

    def __init__(self, observation_space: Box, history: int = 1) -> None:
        width = observation_space.shape[0]
        super().__init__(observation_space, width)
        self.history = history
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("mean", torch.zeros(width // history))
        self.register_buffer("scale", torch.ones(width // history))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map (rows, history * F) to the same shape."""
        periods = observations.reshape(observations.shape[0], self.history, -1)
        return ((periods - self.mean) * self.scale).flatten(1)


def normalise_features(network: torch.nn.Module, features: NDArray[np.float32]) -> None:
    """Let all feature extractors of a network give each column a mean of 0 and a standard deviation of 1.

    Args:
        features: (…, history * F) features that it may see. Columns that are constant keep their scale.
    """
    for module in network.modules():
        if isinstance(module, FeaturesExtractor):
            rows = features.reshape(-1, module.mean.numel())
            module.mean.copy_(torch.from_numpy(rows.mean(axis=0)))
            deviation = rows.std(axis=0)
            module.scale.copy_(torch.from_numpy(np.where(deviation > 1e-4, 1 / np.maximum(deviation, 1e-4), 1.0)))


def schedule(kind: str, start: float) -> Callable[[float], float]:
    """A learning-rate schedule as Stable-Baselines3 takes it.

    Args:
        kind: constant; linear, which falls to a tenth; or cosine, which falls to zero.
        start: Initial learning rate.

    Returns:
        A function of the share of training that remains.

    Example:
        >>> schedule("linear", 1.0)(0.5)
        0.55
    """
    if kind == "linear":
        return lambda left: start * (0.1 + 0.9 * left)
    if kind == "cosine":
        return lambda left: start * 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return lambda _: start


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and BLAS on one thread, which is faster for small networks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # The compiled update calls a BLAS library directly.
        with _thread_pools().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools of all loaded libraries; cached, as finding them takes a millisecond."""
    return ThreadpoolController()
