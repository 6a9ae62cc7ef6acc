"""Parameters of a synthetic shop, drawn wider than the priors of any fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIZES = {12: 2, 30: 5}
"""Number of categories by number of products."""
ELASTICITY = (1.2, 5.0)
OUTSIDE_SHARE = (0.2, 0.9)
UNITS = (3.0, 100.0)
COST_SHARE = (0.5, 0.75)


@dataclass(frozen=True)
class Parameters:
    """What a shop is at its regular prices: N products in C categories.

    Attributes:
        category: (N,) number of the category of each product.
        regular: (N,) regular price, currency per unit.
        unit_cost: (N,) cost, currency per unit.
        units: (N,) mean units per week at regular prices.
        elasticity: (N,) absolute own-price elasticity at regular prices.
        outside: (C,) share of a category's customers who buy nothing at regular prices.
        dispersion: (N,) variance of the gamma multiplier of a week's demand.
    """

    category: NDArray[np.intp]
    regular: Array
    unit_cost: Array
    units: Array
    elasticity: Array
    outside: Array
    dispersion: Array

    @property
    def arrivals(self) -> Array:
        """(C,) customers per week."""
        return np.bincount(self.category, self.units) / (1 - self.outside)

    @property
    def share(self) -> Array:
        """(N,) share of the category's customers who buy the product at regular prices."""
        return self.units / self.arrivals[self.category]


def generator(part: int, seed: int, products: int) -> Generator:
    """The random numbers of one part of a shop: changing a part leaves the others as they are."""
    return np.random.default_rng([19, part, seed, products])


def draw_parameters(seed: int, products: int) -> Parameters:
    """Draw a shop; all families share the parameters of a seed.

    Args:
        products: 12 or 30.

    Raises:
        ValueError: Another number of products.

    Example:
        >>> draw_parameters(0, 12).outside.shape
        (2,)
    """
    if products not in SIZES:
        raise ValueError(f"products must be {' or '.join(map(str, SIZES))}; got {products}; choose one of them")
    random = generator(0, seed, products)
    categories = SIZES[products]
    category = np.repeat(np.arange(categories), products // categories)
    level = random.lognormal(np.log(4.0), 0.6, categories)[category]
    regular = np.maximum(np.round(level * random.lognormal(0, 0.25, products), 2), 0.5)
    centre = np.exp(random.uniform(np.log(1.6), np.log(4.0), categories))[category]
    return Parameters(
        category=category,
        regular=regular,
        unit_cost=np.round(regular * random.uniform(*COST_SHARE, products), 2),
        units=np.clip(random.lognormal(np.log(20.0), 0.8, products), *UNITS),
        elasticity=np.clip(centre * random.lognormal(0, 0.25, products), *ELASTICITY),
        outside=random.uniform(*OUTSIDE_SHARE, categories),
        dispersion=random.lognormal(np.log(0.06), 0.5, products),
    )
