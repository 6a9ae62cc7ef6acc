"""Learning revenue at no less profit than the best fixed prices: a step of the dual problem.

The shadow cost of a fitted market is the Lagrange multiplier of its profit floor for fixed prices.
A learned policy, which also gives discounts, keeps more profit at that cost than it must. The
multiplier therefore follows the policy in training: it falls while profit is above the floor and
rises while it is below, at once and for good, so that it does not swing around its value (Stooke,
Achiam and Abbeel 2020, Responsive Safety in Reinforcement Learning by PID Lagrangian Methods).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scenarios import MarketSpec

# Changes of the multiplier's logarithm when profit is off the floor by the whole revenue: over all
# validations together, and at once.
_INTEGRAL, _PROPORTIONAL = 12.0, 4.0


@dataclass
class ProfitFloor:
    """The floor, and the present multiplier.

    Args:
        profit: The floor: mean profit of the best fixed prices, currency per episode.
        revenue: Their mean revenue, currency per episode.
        share: The shadow cost of the scenario as a share of the unit cost that the floor is held at.
        validations: Number of calls of `follow` in a training.
        state: The multiplier, and the part of it that remembers, as multiples of the scenario's
            shadow cost.

    Example:
        >>> floor = ProfitFloor(profit=10.0, revenue=100.0, share=0.5, validations=12)
        >>> floor.follow(20.0)
        >>> round(floor.factor, 2), floor.value(np.array([100.0]), 8.0).tolist()
        (0.61, [96.0])
    """

    profit: float
    revenue: float
    share: float
    validations: int
    state: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, spec: MarketSpec, revenue: float, profit: float, validations: int) -> ProfitFloor:
        """The floor of a market with a `floor_cost`.

        Args:
            revenue: As for the class, like the other arguments.
            profit: Of the best fixed prices, at the floor's unit costs.
        """
        products = spec.products
        share = float(products.shadow_cost.sum() / products.floor_cost.sum())
        return cls(profit, revenue, min(share, 0.99), validations)

    @property
    def factor(self) -> float:
        """The multiplier as a multiple of the scenario's shadow cost."""
        return self.state[0]

    def value(self, revenue: NDArray[np.float64], profit: float) -> NDArray[np.float64]:
        """(episodes,) revenue, less what is missing of the profit at more than what it can bring in revenue.

        Args:
            revenue: (episodes,) currency.
            profit: Mean profit, currency per episode.
        """
        # At the best prices a unit of profit is worth share / (1 - share) of revenue.
        return revenue - max(0.0, self.profit - profit) / (1 - self.share)

    def follow(self, profit: float) -> None:
        """Move the multiplier to a policy's mean profit, currency per episode."""
        over = (profit - self.profit) / self.revenue
        low, high = np.log(0.05), -np.log(self.share)
        integral = float(np.clip(np.log(self.state[1]) - _INTEGRAL / self.validations * over, low, high))
        self.state = float(np.exp(np.clip(integral - _PROPORTIONAL * over, low, high))), float(np.exp(integral))
