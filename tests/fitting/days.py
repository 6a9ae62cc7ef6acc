"""A shop that sells by day, with known weekdays and price responses."""

import numpy as np
import pandas as pd
from repricer.data import Tables
from repricer.envs import rollout
from repricer.evaluation import SalesRecorder
from repricer.pricing import PricePath
from repricer.scenarios import spec_from_table

WEEKDAYS = np.array([0.7, 0.8, 0.8, 0.9, 1.3, 1.7, 0.8])
"""Customers of each weekday, Monday first, over those of an average one."""
REGULAR = np.array([4.0, 5.0, 4.5, 3.0, 3.5, 3.2])
SENSITIVITY = np.array([0.75, 0.6, 0.67, 1.0, 0.86, 0.94])
QUALITY, RATE = np.array([2.4, 2.4, 2.4, 2.2, 2.2, 2.2]), (120.0, 90.0)
FIRST_DAY = pd.Timestamp("2024-01-01")
_MOST_WEEKS = 18


def elasticities() -> np.ndarray:
    """(6,) own-price elasticities at the regular prices."""
    weight = np.exp(QUALITY - SENSITIVITY * REGULAR).reshape(2, 3)
    share = (weight / (1 + weight.sum(axis=1, keepdims=True))).ravel()
    return -SENSITIVITY * REGULAR * (1 - share)


def daily_shop(weeks: int = 16, seed: int = 0) -> Tables:
    """The tables of a shop that reduces products for a few days now and then; each unit is a basket.

    Shops of the same seed agree on the days that they share.
    """
    days = 7 * _MOST_WEEKS
    price, level = _prices(np.random.default_rng(seed), days)
    truth = spec_from_table(
        {
            "name": "daily-truth",
            "version": 1,
            "market": {"horizon_periods": days, "period": "day", "first_day": f"{FIRST_DAY:%Y-%m-%d}"},
            "products": {"names": list("abcdef"), "category": list("xxxyyy"), "regular_price": REGULAR.tolist()},
            "arrivals": {
                "rate": np.outer(np.tile(WEEKDAYS, _MOST_WEEKS) * level, RATE).tolist(),
                "overdispersion": 0.02,
            },
            "demand": {"quality": [QUALITY.tolist()], "price_sensitivity": [SENSITIVITY.tolist()]},
            "prices": {"floor": (0.6 * REGULAR).tolist(), "ceiling": (1.1 * REGULAR).tolist(), "tick": 0.01},
        }
    )
    recorder = SalesRecorder(truth)
    rollout(truth, PricePath(price.astype(np.float32)), episodes=1, seed=seed, watch=recorder)
    sales = recorder.sales().drop(columns="store").assign(date=lambda rows: pd.to_datetime(rows["date"]))
    sales = sales[sales["date"] < FIRST_DAY + pd.Timedelta(weeks=weeks)]
    lines = sales.loc[sales.index.repeat(sales["units"].astype(int))].assign(units=1.0)
    lines = lines.reset_index(drop=True).assign(basket=lambda rows: rows.index.astype(str))
    return Tables(lines, pd.DataFrame({"product": list("abcdef"), "category": list("xxxyyy")}))


def _prices(random: np.random.Generator, days: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 6) prices, with reductions of four days on average, and (T,) the level of each day's week."""
    depth = np.zeros((days, 6))
    for day in range(1, days):
        goes_on, starts = random.random((2, 6)) < [[0.75], [0.08]]
        begun = np.where(starts, random.choice([0.1, 0.2, 0.3], 6), 0.0)
        depth[day] = np.where(depth[day - 1] > 0, depth[day - 1] * goes_on, begun)
    level = np.exp(0.1 * random.standard_normal(days // 7)).repeat(7)
    return np.round(REGULAR * (1 - depth), 2), level
