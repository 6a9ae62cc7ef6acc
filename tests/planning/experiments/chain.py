"""A simulated chain of stores: sales by store and day, with what makes experiments hard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WEEKDAYS = np.array([0.0, 0.0, 0.05, 0.1, 0.2, 0.5, 0.3])


class Chain(NamedTuple):
    """(S, D) expected sales by store and day, and whether the store is closed."""

    mean: np.ndarray
    closed: np.ndarray

    def sold(self, random: np.random.Generator, factor: np.ndarray | float = 1.0) -> np.ndarray:
        """(S, D) sales, NaN while closed."""
        return np.where(self.closed, np.nan, random.poisson(self.mean * factor))


def draw_chain(random: np.random.Generator, stores: int, days: int, last: int) -> Chain:
    """Stores of different sizes, a week and a season, shocks of stores and of the chain that last for weeks, days on which
    a store is closed, and in three of ten chains a store that closes for good in the last days.
    """
    day = np.arange(days)
    level = random.lognormal(0, 0.6, stores) * random.uniform(40, 200)
    calendar = (1 + WEEKDAYS * random.uniform(0.5, 1.5))[day % 7]
    calendar = calendar * (1 + random.uniform(0.05, 0.2) * np.sin(2 * np.pi * day / 364 + random.uniform(0, 6)))
    own = _lasting(random, (stores, days), random.uniform(0.93, 0.99), random.uniform(0.03, 0.1))
    shocks = own + _lasting(random, (1, days), 0.9, 0.1) + random.normal(0, random.uniform(0.03, 0.1), own.shape)
    closed = np.zeros((stores, days), dtype=bool)
    for store in range(stores):
        for _ in range(random.poisson(days / 250)):
            start = random.integers(days)
            closed[store, start : start + random.integers(1, 15)] = True
    if random.random() < 0.3:
        closed[random.integers(stores), days - last + random.integers(last) :] = True
    return Chain(level[:, None] * calendar * np.exp(shocks), closed)


def felt(arms: np.ndarray, speed: float = 0.35) -> np.ndarray:
    """(..., T) how far customers have got used to a price: a share of what is left, day by day."""
    reached, state = np.zeros_like(arms), np.zeros(arms.shape[:-1])
    for day in range(arms.shape[-1]):
        state = state + speed * (arms[..., day] - state)
        reached[..., day] = state
    return reached


def _lasting(random: np.random.Generator, shape: tuple[int, int], persistence: float, deviation: float) -> np.ndarray:
    path = np.empty(shape)
    path[:, 0] = random.normal(0, deviation, shape[0])
    noise = random.normal(0, deviation * np.sqrt(1 - persistence**2), shape)
    for day in range(1, shape[1]):
        path[:, day] = persistence * path[:, day - 1] + noise[:, day]
    return path
