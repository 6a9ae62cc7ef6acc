"""The networks that learn, as Stable-Baselines3 takes them: features, layers, regularisation, learning-rate schedules."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  Numba multiplies by it, and only what is loaded can be told to keep to one thread
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from threadpoolctl import ThreadpoolController


class FeaturesExtractor(BaseFeaturesExtractor):
    """What stands between an observation and the layers of a network: normalisation, memory of the periods before, dropout.

    history: periods in an observation. rnn_size: units of a GRU that reads them (Cho et al. 2014), 0 for none: they then
    stand side by side. layers, dropout: hidden ReLU layers with dropout behind each; none where SB3's own follow.
    """

    def __init__(
        self,
        observation_space: Box,
        history: int = 1,
        rnn_size: int = 0,
        layers: tuple[int, ...] = (),
        dropout: float = 0.0,
    ) -> None:
        width = observation_space.shape[0]
        columns = width // history
        read = rnn_size or width
        super().__init__(observation_space, layers[-1] if layers else read)
        self.history = history
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))
        self.rnn = torch.nn.GRU(columns, rnn_size, batch_first=True) if rnn_size else None
        parts: list[torch.nn.Module] = []
        for before, after in zip((read, *layers), layers, strict=False):
            parts += [torch.nn.Linear(before, after), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
        self.layers = torch.nn.Sequential(*parts)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(rows, history * F) to (rows, features_dim)."""
        periods = observations.reshape(observations.shape[0], self.history, -1)
        periods = (periods - self.mean) * self.scale
        read = periods.flatten(1) if self.rnn is None else self.rnn(periods)[0][:, -1]
        return self.layers(read)

    def normalise(self, rows: NDArray[np.float32]) -> None:
        """Bring the columns of such rows, (rows, history * F), to mean 0 and deviation 1; constant ones keep their scale."""
        columns = rows.reshape(-1, self.mean.numel())
        deviation = columns.std(axis=0)
        self.mean.copy_(torch.from_numpy(columns.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-4, 1 / np.maximum(deviation, 1e-4), 1.0)))


class SparseAdam(torch.optim.Adam):
    """Adam with an L1 penalty as a proximal step behind each update: weights within learning rate * l1 of zero become zero.

    Parikh and Boyd (2014), Proximal Algorithms, section 6.5.2 (soft thresholding).
    """

    def __init__(self, params: Any, l1: float = 0.0, **arguments: Any) -> None:
        super().__init__(params, **arguments)
        self.l1 = l1

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update, and the shrinkage behind it."""
        loss = super().step(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                weight.copy_(torch.nn.functional.softshrink(weight, group["lr"] * self.l1))
        return loss


def schedule(kind: str, start: float) -> Callable[[float], float]:
    """SB3 schedule of the learning rate, by the share of training that is left: linear to a tenth, cosine to nothing."""
    if kind == "linear":
        return lambda left: start * (0.1 + 0.9 * left)
    if kind == "cosine":
        return lambda left: start * 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return lambda _: start


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks run faster on one thread; the caller's numbers are put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # The compiled update multiplies its matrices by a library of its own.
        with _thread_pools().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The libraries that keep threads. Looking for them takes a millisecond, longer than a call of a small network."""
    return ThreadpoolController()
