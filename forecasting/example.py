"""A synthetic weekly panel with known elasticity, for examples and tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

_PRODUCT_NAMES = ("apple", "bread", "fig", "jam", "milk", "pear", "roll", "tea")


def example_panel(*, n_products: int = 6, n_weeks: int = 40, elasticity: float = -2.0, seed: int = 0) -> pd.DataFrame:
    """Return a made-up weekly panel in which every product has the same price elasticity.

    A third of the weeks have a reduction of 10 to 40% from a regular price that moves a little
    around 2. Units are Poisson with mean .05 · traffic · (price / 2) ** elasticity.

    Args:
        n_products: number of products, 1 to 8, in two categories.
        n_weeks: number of weeks from 2024-01-01 on.
        elasticity: own-price elasticity of every product.
        seed: seed of prices and sales.

    Returns:
        One row per product and week: `product`, `week`, `category`, `price`, `regular_price`,
        `discount_share`, `traffic` (baskets) and `units`.

    Example:
        >>> panel = example_panel(n_products=2, n_weeks=3)
        >>> panel.shape, panel["product"].unique().tolist()
        ((6, 8), ['apple', 'bread'])
    """
    rng = np.random.default_rng(seed)
    products = _PRODUCT_NAMES[:n_products]
    weeks = pd.date_range("2024-01-01", periods=n_weeks, freq="7D")
    panel = pd.MultiIndex.from_product([products, weeks], names=["product", "week"]).to_frame(index=False)
    size = len(panel)
    panel["category"] = np.where(panel["product"].isin(_PRODUCT_NAMES[::2]), "fresh", "dry")
    panel["regular_price"] = np.round(2 * np.exp(rng.normal(0, 0.05, size)), 2)
    panel["discount_share"] = np.where(rng.random(size) < 0.33, rng.uniform(0.1, 0.4, size), 0.0)
    panel["price"] = panel["regular_price"] * (1 - panel["discount_share"])
    panel["traffic"] = np.tile(rng.integers(900, 1100, n_weeks), len(products)).astype(float)
    panel["units"] = rng.poisson(0.05 * panel["traffic"] * (panel["price"] / 2) ** elasticity).astype(float)
    columns = ["product", "week", "category", "price", "regular_price", "discount_share", "traffic", "units"]
    return panel[columns]
