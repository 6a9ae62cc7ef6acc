"""Ordering with lost sales, on Zipkin's grid: `python -m repricer.benchmarks.lost_sales`.

One product at one price; orders take one to four periods, demand beyond stock is lost, and the cost of
a period counts for ever after. Zipkin (2008), Old and New Methods for Lost-Sales Inventory Systems,
Operations Research 56(5), has the grid. Shown are the least cost, by value iteration over all units
on order, and how much more the best order-up-to level and the learned policy cost.
`--seeds N` trains each instance N times.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import geom, poisson

from ..agents import best_fixed, train
from ..envs import Market, seed_for
from ..pricing import Policy
from ..scenarios import MarketSpec, spec_from_table
from .customers import markdown

MEAN = 5
DEMANDS = ("Poisson", "geometric")
PENALTIES = (4, 9, 19, 39)
LEAD_TIMES = (1, 2, 3, 4)
STEPS = 1_200_000
SETTINGS = {"gamma": 0.98, "gae_lambda": 0.95, "batch_size": 480, "log_std_init": -2.0}
"""What differs from PPO's preset, in all instances: a raw order of one is the largest, so that its deviation is small."""
_LARGEST_ORDER = {"Poisson": 12, "geometric": 20}
_RARE = 1e-10
# Relative value iteration ends when the cost of a period is known this well.
_TOLERANCE = 1e-5
_MARKETS = 4_096
_WARM_UP = 100
_PERIODS = 1_000


class Instance(NamedTuple):
    """A cell of the grid.

    Attributes:
        demand: Distribution of a period's demand, with a mean of 5 units.
        penalty: Cost of a lost sale; a unit left costs 1 a period.
        lead_time: Periods from order to delivery.
    """

    demand: str
    penalty: int
    lead_time: int

    def market(self, periods: int = 100) -> MarketSpec:
        """The market whose profit is a constant less the cost: a lost sale costs the price, and units are free.

        Args:
            periods: Periods of an episode, after which the market goes on.
        """
        market = {"horizon_periods": periods, "objective": "profit", "discount_factor": 0.99, "ending": "truncated"}
        stock = {"initial_units": MEAN * (self.lead_time + 1), "lead_time_periods": self.lead_time, "shortage": "lost"}
        orders = {"replenishment": "action", "max_order_units": _LARGEST_ORDER[self.demand], "holding_cost": 1.0}
        table = {
            "name": f"lost-sales-{self.demand}-{self.penalty}-{self.lead_time}".lower(),
            "version": 1,
            "market": market,
            "products": {"names": ["unit"], "regular_price": self.penalty, "unit_cost": 0},
            "arrivals": {"rate": 2 * MEAN, "overdispersion": float(self.demand == "geometric")},
            "demand": {"family": "linear", "quality": 1.0, "price_sensitivity": 0.5 / self.penalty},
            "stock": stock | orders,
            "prices": {"price_ladder": {"start": self.penalty, "stop": self.penalty, "step": 1}},
        }
        return spec_from_table(table)

    def mass(self) -> NDArray[np.float64]:
        """(D + 1,) probability of each demand."""
        units = np.arange(1_000)
        mass = poisson.pmf(units, MEAN) if self.demand == "Poisson" else geom.pmf(units + 1, 1 / (MEAN + 1))
        mass = mass[: int(np.argmax(1 - np.cumsum(mass) < _RARE)) + 1]
        return mass / mass.sum()


def least_cost(instance: Instance) -> float:
    """Least mean cost of a period, by relative value iteration.

    The state is the units on hand, and those due in one period, in two, … Orders above the largest
    of the market, and stocks beyond what they lead to, pay in no instance of the grid.
    """
    mass = instance.mass()
    orders = _LARGEST_ORDER[instance.demand] + 1
    top = (instance.lead_time + 1) * MEAN * (3 if instance.demand == "Poisson" else 5)
    hand = np.arange(top + 1)[:, None]
    wanted = np.arange(mass.size)
    left = np.maximum(hand - wanted, 0)
    cost = (mass * (left + instance.penalty * np.maximum(wanted - hand, 0))).sum(axis=1)
    arriving = np.zeros((orders, top + 1, top + 1))
    for units in range(orders):
        np.add.at(arriving[units], (hand, np.minimum(left + units, top)), np.broadcast_to(mass, left.shape))
    value = np.zeros((top + 1,) + (orders,) * (instance.lead_time - 1))
    while True:
        if instance.lead_time == 1:
            after = (arriving @ value).min(axis=0)
        else:
            # The last axis after the product is the new order.
            flat = value.reshape(top + 1, -1)
            values = [(due @ flat).reshape(*value.shape[:1], -1, orders).min(axis=-1) for due in arriving]
            after = np.stack(values, axis=1).reshape(value.shape)
        after += cost.reshape(-1, *[1] * (value.ndim - 1))
        change = after - value
        if np.ptp(change) < _TOLERANCE:
            return float(change.max() + change.min()) / 2
        value = after - after.flat[0]


def cost_of(instance: Instance, policy: Policy) -> tuple[float, float]:
    """Mean cost of a period in the long run under a policy, simulated, and its standard error."""
    market = Market(instance.market(_WARM_UP + _PERIODS), num_markets=_MARKETS, seed=seed_for("test"))
    earned = np.zeros(_MARKETS)
    for period in range(_WARM_UP + _PERIODS):
        outcome = market.step(policy.act(market.view))
        if period >= _WARM_UP:
            earned += market.money(outcome, expected=True)[:, 0]
    costs = MEAN * instance.penalty - earned / _PERIODS
    return float(costs.mean()), float(costs.std(ddof=1) / np.sqrt(_MARKETS))


def row(instance: Instance, seeds: int) -> dict[str, float]:
    """The least cost, and how much more the best order-up-to level and the learned policies cost.

    Args:
        seeds: Number of trainings.
    """
    spec = instance.market()
    least = least_cost(instance)
    started = time.process_time()
    found = [cost_of(instance, train(spec, steps=STEPS, seed=seed, settings=SETTINGS).policy) for seed in range(seeds)]
    more = np.array([cost for cost, _ in found]) / least - 1
    return {
        "least": least,
        "level": cost_of(instance, best_fixed(spec))[0] / least - 1,
        "mean": float(more.mean()),
        "worst": float(more.max()),
        "error": max(error for _, error in found) / least,
        "seconds": (time.process_time() - started) / seeds,
    }


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each instance")
    seeds = parser.parse_args().seeds
    for instance in itertools.starmap(Instance, itertools.product(DEMANDS, PENALTIES, LEAD_TIMES)):
        print(markdown(pd.DataFrame([instance._asdict() | row(instance, seeds)])), flush=True)


if __name__ == "__main__":
    main()
