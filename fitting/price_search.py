"""The best constant prices of a fitted market's mean, in closed form with ample stock."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ..forecasting.models.lstm_network import reproducible_torch
from ..scenarios import MarketSpec, choice_model

Array = NDArray[np.float64]


class PriceSearch:
    """Money and best constant prices, by gradient.

    Args:
        spec: The market; its posterior is ignored.

    Example:
        >>> from repricer import load_scenario
        >>> search = PriceSearch(load_scenario("stationary-logit"))
        >>> price = search.best(0.0, [5.0], [20.0])
        >>> bool(search.money(price, 0.0) >= search.money(np.array([11.0]), 0.0))
        True
    """

    def __init__(self, spec: MarketSpec) -> None:
        self.spec, self.regular = spec, np.array(spec.products.regular_price)
        self._start = np.ones_like(self.regular)

    def best(self, cost: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
        """(N,) prices with the highest revenue less cost over the horizon.

        Args:
            cost: (N,) or one for all: what a unit costs, currency.
            low: (N,) lowest prices, currency per unit; frozen products keep their regular price.
            high: (N,) highest prices, currency per unit.
        """
        held = np.isin(self.spec.products.names, self.spec.prices.frozen)
        low, high = (np.where(held, 1.0, np.asarray(bound) / self.regular) for bound in (low, high))
        bounds = list(zip(low, high, strict=True))
        charged = torch.tensor(np.broadcast_to(cost, self.regular.shape).copy())

        def loss(x: Array) -> tuple[float, Array]:
            position = torch.tensor(x, requires_grad=True)
            price = position * torch.tensor(self.regular)
            value = -((price - charged) * self._units(price)).sum()
            value.backward()
            assert position.grad is not None
            return float(value.detach()), position.grad.numpy()

        start = np.clip(self._start, *np.transpose(bounds))
        with reproducible_torch():
            found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
        self._start = found.x
        return found.x * self.regular

    def money(self, price: Array, cost: Array | float) -> float:
        """Revenue less cost of constant prices over the horizon, currency.

        Args:
            price: (N,) currency per unit.
            cost: As for `best`.
        """
        with torch.no_grad(), reproducible_torch():
            units = self._units(torch.tensor(price)).numpy()
        return float(((price - cost) * units).sum())

    def _units(self, price: torch.Tensor) -> Any:
        periods = np.arange(self.spec.market.horizon_periods)
        rows = price.expand(len(periods), -1)
        return choice_model(self.spec).units(periods, rows, reference=rows).sum(dim=(0, 1))
