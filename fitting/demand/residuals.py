"""What a category's fitted model leaves of its units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from .category_model import UNLIKE_SPREAD
from .estimation import CategoryPosterior

Array = NDArray[np.float64]
NORMAL90 = 1.645
# A column that varies less, in logs, tells nothing.
_STILL = 1e-3
# Normal scores over which an unknown elasticity is averaged.
_SCORES = stats.norm.ppf((np.arange(200) + 0.5) / 200)[:, None]


class Slope(NamedTuple):
    """(J,) sums by product: of the weighted squares of a column, its products with the residuals,
    and of their squares.
    """

    square: Array
    product: Array


class Residuals:
    """What a category's model leaves of the units, as working residuals of its likelihood."""

    def __init__(self, found: CategoryPosterior, effects: Array | None = None) -> None:
        self.found = found
        self.data = found.model.data
        # The others stay at their mode: what only suspects explain would otherwise be lost to the
        # price.
        self.effects = self.data.effects if effects is None else effects
        log_mean = found.model.log_mean(torch.as_tensor(found.mode)).numpy() + found.shock[:, None]
        mean = np.exp(np.clip(log_mean, -30, 30))
        self.residual = (self.data.units - mean) / mean
        self.weight = np.where(self.data.on_sale & ~self.data.censored, mean / (1 + found.alpha * mean), 0.0)
        self.price = self.data.felt

    def slope(self, column: Array, *, beside_price: bool = True) -> Slope:
        """One scoring step from the fitted model for a column (G, W, J), level, promotions and own price held fixed."""
        effects = list(self.effects) if self.effects.size else []
        own = [np.nan_to_num(self.price, nan=1.0)] if beside_price else []
        weight = np.where(np.isfinite(column), self.weight, 0.0)
        square, product = np.zeros((2, column.shape[-1]))
        for j in range(column.shape[-1]):
            w = weight[..., j].ravel()
            x = np.nan_to_num(column[..., j]).ravel()
            held = np.column_stack([np.ones_like(x), *(values[..., j].ravel() for values in (*own, *effects))])
            root = np.sqrt(w)
            left = x - held @ np.linalg.lstsq(held * root[:, None], x * root)[0]
            if w @ left**2 > _STILL**2 * w.sum():
                square[j] = w @ left**2
                product[j] = (w * left) @ self.residual[..., j].ravel()
        return Slope(square, product)

    def own_elasticity(self) -> tuple[Array, Array]:
        """(J,) elasticity by the likelihood without its prior, and its standard error; infinite
        where prices stood still.
        """
        at = self.found.model.layout
        mode = self.found.mode
        found = self.slope(self.price - 1, beside_price=False)
        moved = found.square > 0
        square = np.where(moved, found.square, 1.0)
        fitted = -np.exp(mode[at.category] + mode[at.product])
        return fitted + np.where(moved, found.product / square, 0.0), np.where(moved, square**-0.5, np.inf)

    def unmoved(self, borrowed: Array) -> NDArray[np.bool_]:
        """(J,) whether a product's units do not fall with its price: the 90% interval of the likelihood
        alone holds 0 or more, and not the (J,) elasticity that the product borrows from its category.
        """
        own, error = self.own_elasticity()
        return (own + NORMAL90 * error >= 0) & (own - NORMAL90 * error > borrowed)

    def apart(self, borrowed: Array, unlike: float) -> NDArray[np.bool_]:
        """(J,) whether a product more likely answers unlike the others than with the elasticity that it borrows.

        Args:
            borrowed: (M, J) draws of the elasticities.
            unlike: Prior probability that it answers unlike the others.
        """
        own, error = self.own_elasticity()
        # What an infinite error says is the same under both.
        error = np.where(np.isfinite(error), error, 1e6)

        def log_likelihood(elasticity: Array) -> Array:
            return special.logsumexp(stats.norm.logpdf(own, elasticity, error), axis=0) - np.log(len(elasticity))

        alone = borrowed.mean(axis=0) * np.exp(UNLIKE_SPREAD * _SCORES)
        return log_likelihood(alone) + special.logit(unlike) > log_likelihood(borrowed)
