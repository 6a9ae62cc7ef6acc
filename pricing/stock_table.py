"""Prices that are looked up by period, regime and units on hand: what a solver found, as a bundle holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalogue import MarketView
from .protocol import Action


@dataclass(frozen=True)
class StockTable:
    """A table of prices for each group of products whose stocks count together.

    Args:
        tables: of each group, (T, Z, S_1 + 1, …, S_G + 1, G) currency per unit, the last axis over its products. Periods
            start again after T, and more units on hand than a table has read its last entry.
        groups: the numbers of the products of each group; every product in one.
        name: how tables and logs call the policy.

    Example:
        >>> import repricer
        >>> table = StockTable((np.array([5.0, 4.0, 3.0]).reshape(1, 1, 3, 1),), ((0,),))
        >>> table.act(repricer.Market("stationary-logit").view).price.tolist()
        [[3.0]]
    """

    tables: tuple[NDArray[np.float32], ...]
    groups: tuple[tuple[int, ...], ...]
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look the prices up."""
        price, regime = np.empty(view.list_price.shape, np.float32), 0 if view.regime is None else view.regime
        for table, group in zip(self.tables, self.groups, strict=True):
            most = np.array(table.shape[2:-1]) - 1
            units = np.clip(view.on_hand[:, list(group)], 0, most).astype(np.intp)
            price[:, list(group)] = table[(view.period % len(table), regime, *units.T)]
        return Action(price)
