"""A chain whose customers are known: sales by store, day and product before and during an experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .chain import draw_chain, felt

FIRST = pd.Timestamp("2023-01-02")


@dataclass
class Shop:
    """Stores that sell a few products with constant elasticities, at regular prices that moved once, with deals of a week.

    Customers take days to get used to another regular price. No deal falls into the days of the experiment.
    """

    stores: int = 24
    past: int = 364
    days: int = 56
    seed: int = 0
    elasticity: tuple[float, ...] = (-2.0, -1.6, -2.4, -1.2, -2.0, -1.5)
    price: tuple[float, ...] = (2.0, 3.0, 1.5, 4.0, 2.5, 5.0)
    prices: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.chain = draw_chain(random, self.stores, self.past + self.days, self.days)
        self.share = random.dirichlet(np.full(len(self.price), 8.0))
        self.names = [f"store-{n:02d}" for n in range(self.stores)]
        self.products = [f"product-{n + 1}" for n in range(len(self.price))]
        self.categories = ["drinks" if n < 3 else "snacks" for n in range(len(self.price))]
        # The chain's deals, and regular prices before they rose to those of today.
        self.before = np.repeat(np.array(self.price)[:, None], self.past, axis=1)
        for n, price in enumerate(self.price):
            self.before[n, : int(random.integers(self.past // 4, self.past // 2))] = round(price / 1.06, 2)
            for week in random.choice(self.past // 7 - 2, self.past // 60, replace=False):
                self.before[n, 7 * week : 7 * week + 7] *= 0.8
        self.before = np.round(self.before, 2)
        self.first = FIRST + pd.Timedelta(days=self.past)

    def follow(self, calendar: pd.DataFrame, skip=None, until: pd.Timestamp | None = None) -> None:
        """Charge a calendar's prices, but in the cells that `skip` names (store, week), which keep the regular ones, and up to
        a day.
        """
        for store in self.names:
            for product, price in zip(self.products, self.price, strict=True):
                self.prices[store, product] = np.full(self.days, price)
        for row in calendar.itertuples():
            week = pd.Timestamp(row.week)
            start = (week - self.first).days
            if (skip and skip(row.store, week)) or (until is not None and week >= until):
                continue
            self.prices[row.store, row.product][start : start + 7] = row.price

    def sales(self, days: int | None = None) -> pd.DataFrame:
        """Sale lines of the past and the first days of the experiment: one a product, store and day."""
        random = np.random.default_rng(self.seed + 1)
        last, frames = self.past + (self.days if days is None else days), []
        for n, (product, usual) in enumerate(zip(self.products, self.price, strict=True)):
            price = np.full((self.stores, self.past + self.days), usual)
            price[:, : self.past] = self.before[n]
            for s, store in enumerate(self.names):
                if (store, product) in self.prices:
                    price[s, self.past :] = self.prices[store, product]
            moved = np.log(price / usual)
            moved[:, self.past :] = felt(moved[:, self.past :])
            units = random.poisson(self.chain.mean * self.share[n] * np.exp(self.elasticity[n] * moved))
            units[self.chain.closed] = 0
            store, day = np.nonzero(units[:, :last])
            frames.append(
                pd.DataFrame(
                    {
                        "date": FIRST + pd.to_timedelta(day, unit="D"),
                        "store": np.array(self.names, dtype=object)[store],
                        "product": product,
                        "units": units[store, day].astype(float),
                        "price_paid": price[store, day],
                        "regular_price": price[store, day],
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def product_table(self) -> pd.DataFrame:
        """The products, with unit costs of half the price."""
        cost = [round(0.5 * price, 2) for price in self.price]
        columns = {"product": self.products, "category": self.categories, "name": self.products, "unit_cost": cost}
        return pd.DataFrame(columns)
