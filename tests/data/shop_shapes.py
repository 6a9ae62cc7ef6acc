"""Shops of shapes that differ from the demo's: a chain whose stores have prices of their own, a grocer with a short past."""

from __future__ import annotations

import numpy as np
import pandas as pd
from repricer.data import Tables

MONDAY = pd.Timestamp("2023-01-02")


def chain(
    *,
    stores: int = 83,
    weeks: int = 40,
    products: int = 4,
    zones: float = 0.1,
    closed: float = 0.02,
    seed: int = 0,
    alike: int | None = None,
) -> Tables:
    """A chain: each store has its own price level and deals, and is closed in some weeks.

    Args:
        stores: Number of stores.
        weeks: Number of weeks.
        products: Number of products, in two categories.
        zones: How far regular prices differ between stores, a fraction; 0 for a chain with one price.
        closed: Share of a store's weeks in which it is closed.
        seed: Fixes every draw.
        alike: Number of zones whose stores share price level and deals; by default each store is one.
    """
    rng = np.random.default_rng(seed)
    w, s, p = (axis.ravel() for axis in np.meshgrid(range(weeks), range(stores), range(products), indexing="ij"))
    zone = np.arange(stores) % (alike or stores)
    level = 1 + zones * (rng.uniform(-1, 1, stores) if alike is None else np.linspace(-1, 1, alike))[zone]
    deals = rng.choice([1.0, 1.0, 0.9, 0.75], (weeks, products) if zones == 0 else (weeks, stores, products))
    deal = deals[w, p] if zones == 0 else deals[w, zone[s], p]
    regular = np.round((3.0 + 0.4 * p) * level[s], 2)
    units = rng.poisson(12 * deal**-2.5)
    there = (rng.random((weeks, stores)) >= closed)[w, s] & (units > 0)
    sales = pd.DataFrame(
        {
            "date": MONDAY + pd.to_timedelta(7 * w, unit="D"),
            "product": np.char.add("p", p.astype(str)),
            "units": units.astype(float),
            "price_paid": np.round(regular * deal, 2),
            "regular_price": regular,
            "store": np.char.add("s", s.astype(str)),
        }
    )[there]
    names = [f"p{n}" for n in range(products)]
    categories = ["tea" if n % 2 else "jam" for n in range(products)]
    return Tables(sales.reset_index(drop=True), pd.DataFrame({"product": names, "category": categories}))


def baskets(*, weeks: int = 17, products: int = 2000, lines: int = 40_000, seed: int = 0) -> pd.DataFrame:
    """A grocer's receipts as a file has them: line totals, no store, a long tail of products.

    Args:
        weeks: Number of weeks.
        products: Number of products.
        lines: Number of sale lines at the lowest prices; fewer are bought at others.
        seed: Fixes every draw.
    """
    rng = np.random.default_rng(seed)
    product = np.minimum(rng.zipf(1.3, lines) - 1, products - 1)
    week = rng.integers(weeks, size=lines)
    price = np.round(rng.uniform(0.8, 9, products), 2)
    deal = rng.choice([1.0, 1.0, 0.9, 0.75], (weeks, products))[week, product]
    units = rng.choice([1, 1, 1, 2, 3], lines)
    bought = rng.random(lines) < (deal / 0.75) ** -2.5
    file = pd.DataFrame(
        {
            "date": (MONDAY + pd.to_timedelta(7 * week + rng.integers(7, size=lines), unit="D")).strftime("%Y-%m-%d"),
            "basket": rng.integers(lines // 6, size=lines),
            "product": np.char.add("item", product.astype(str)),
            "units": units,
            "amount": np.round(units * np.round(price[product] * deal, 2), 2),
        }
    )
    return file[bought]


def households(
    *, customers: int = 240, weeks: int = 40, young: tuple[float, float] = (0.2, 0.8), seed: int = 0
) -> Tables:
    """A shop whose customers are known: half buy much at any price, half little and mostly reduced; ages differ.

    Args:
        customers: Number of customers.
        weeks: Number of weeks.
        young: Probability of being young in either half.
        seed: Fixes every draw.
    """
    rng = np.random.default_rng(seed)
    thrifty = np.arange(customers) % 2
    deal = np.where(rng.random((weeks, 4)) < 0.35, 0.75, 1.0)
    regular = np.array([4.0, 4.5, 3.0, 3.2])
    mean = np.where(thrifty == 0, 1.5, 0.3)[:, None, None] * deal ** np.where(thrifty == 0, -1.5, -4.5)[:, None, None]
    c, w, p = np.nonzero(units := rng.poisson(mean))
    sales = pd.DataFrame(
        {
            "date": MONDAY + pd.to_timedelta(7 * w + rng.integers(0, 7, len(w)), unit="D"),
            "product": np.char.add("p", p.astype(str)),
            "units": units[c, w, p].astype(float),
            "price_paid": np.round(regular * deal, 2)[w, p],
            "regular_price": regular[p],
            "customer": np.char.add("c", c.astype(str)),
        }
    )
    age = np.where(rng.random(customers) < np.array(young)[thrifty], "young", "old")
    known = pd.DataFrame({"customer": [f"c{n}" for n in range(customers)], "age_band": age})
    names = [f"p{n}" for n in range(4)]
    products = pd.DataFrame({"product": names, "category": ["tea", "tea", "jam", "jam"], "unit_cost": regular / 2})
    return Tables(sales.sort_values("date").reset_index(drop=True), products, known)
