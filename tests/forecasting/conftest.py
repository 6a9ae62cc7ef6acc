"""Simulated panels whose demand is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def simulate(
    *,
    n_products: int = 8,
    n_weeks: int = 40,
    n_categories: int = 2,
    elasticity=-2.0,
    noise: float = 0.2,
    level: float = 4.0,
    product_link: float = 0.0,
    week_link: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Log-log demand with promotions; the links make dear products and dear weeks the popular ones."""
    rng = np.random.default_rng(seed)
    shape = (n_weeks, n_products)
    popular, week_shock = rng.normal(0, 0.5, n_products), rng.normal(0, 0.2, (n_weeks, 1))
    regular = np.exp(1 + product_link * popular + week_link * week_shock + rng.normal(0, 0.03, shape))
    price = regular * np.where(rng.random(shape) < 0.25, rng.uniform(0.6, 0.9, shape), 1.0)
    log_units = level + popular + week_shock + np.asarray(elasticity) * np.log(price / np.e)
    log_units += rng.normal(0, noise, shape)
    weeks = pd.date_range("2023-01-02", periods=n_weeks, freq="7D")
    names = [f"p{number:02d}" for number in range(n_products)]
    panel = pd.DataFrame(
        {
            "product": np.tile(names, n_weeks),
            "week": np.repeat(weeks, n_products),
            "category": np.tile([f"c{number % n_categories}" for number in range(n_products)], n_weeks),
            "units": np.exp(log_units).ravel(),
            "price": price.ravel(),
            "regular_price": regular.ravel(),
            "discount_share": (1 - price / regular).ravel(),
            "traffic": np.repeat(np.round(1000 * np.exp(week_shock[:, 0])), n_products),
        }
    )
    return panel.sort_values(["product", "week"], ignore_index=True)


def split(panel: pd.DataFrame, n_weeks_ahead: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return history, and the weeks ahead with their units."""
    last = panel["week"].unique()[-n_weeks_ahead - 1]
    return panel[panel["week"] <= last], panel[panel["week"] > last]


@pytest.fixture(name="simulate", scope="session")
def simulate_fixture():
    return simulate


@pytest.fixture(name="split")
def split_fixture():
    return split


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return simulate()
