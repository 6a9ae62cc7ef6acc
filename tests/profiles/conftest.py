from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

# Means of planted groups: heavy buyers, deal seekers, and buyers at full price.
_GROUPS = {"heavy": (90.0, 3.0, 0.15), "deals": (15.0, 0.8, 0.35), "full": (15.0, 0.8, 0.05)}


def planted_features(size: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Features of three well separated groups of `size` customers each, and their true groups."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "recency_days": rng.poisson(7, size).astype(float),
                "frequency": frequency * rng.lognormal(0, 0.15, size),
                "spend": spend * rng.lognormal(0, 0.15, size),
                "visit_units": 10 * rng.lognormal(0, 0.3, size),
                "discount_share": discount * rng.lognormal(0, 0.1, size),
            }
        )
        for spend, frequency, discount in _GROUPS.values()
    ]
    customers = [f"c_{number:04d}" for number in rng.permutation(len(parts) * size)]
    features = pd.concat(parts).set_axis(pd.Index(customers, name="customer"))
    return features, pd.Series(np.repeat(list(_GROUPS), size), index=features.index)


@pytest.fixture(scope="module")
def planted():
    return planted_features(150)


@pytest.fixture(scope="module")
def continuum():
    """Features of 400 customers without any groups, where a small difference in the fit shows in the labels."""
    rng = np.random.default_rng(1)
    features = pd.DataFrame({"spend": 20 * rng.lognormal(0, 0.8, 400), "discount_share": rng.beta(2, 8, 400)})
    return features.set_axis([f"c_{number:04d}" for number in rng.permutation(400)])


@pytest.fixture
def block_sales():
    """Two tastes, a and b: 12 customers and 6 products each; customer i of a taste buys all of it but one.

    All buy milk, but for a0 who has bought the whole of taste a instead. The lines fall into twelve weeks by turns.
    """
    rows = [(f"{taste}{i}", f"{taste}-{j}") for taste in "ab" for i in range(12) for j in range(6) if i % 6 != j]
    rows += [(f"{taste}{i}", "milk") for taste in "ab" for i in range(12) if (taste, i) != ("a", 0)]
    rows += [("a0", "a-0"), *[("b1", "b-2")] * 3]
    sales = pd.DataFrame(rows, columns=["customer", "product"])
    date = pd.Timestamp("2024-01-01") + pd.to_timedelta(7 * (np.arange(len(sales)) % 12), unit="D")
    return sales.assign(date=date, units=1.0, price_paid=1.0)


@pytest.fixture
def attributes(block_sales):
    """Products with their taste as category, and two that were never sold."""
    products = sorted(block_sales["product"].unique())
    rows = [(product, product.split("-")[0], f"fine {product.split('-')[0]}") for product in products]
    rows += [("a-new", "a", "fine a"), ("b-new", "b", None)]
    return pd.DataFrame(rows, columns=["product", "category", "name"])
