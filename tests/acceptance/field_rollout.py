"""The live certificate: how often it is wrong, how soon it comes, and how soon prices that turn bad are stopped.

`ROLLOUT_SHOPS` caps the number of shops of a check for a quick look.
"""

from __future__ import annotations

import functools
import os

import numpy as np
from repricer.evaluation import named_policy
from repricer.evaluation.uncertainty.by_product import product_figures
from repricer.planning.experiments.rollout import Look, RolloutPlan, rollout
from repricer.scenarios import MarketSpec

from .agents_markets import fitted
from .checks import check

MOST = int(os.environ.get("ROLLOUT_SHOPS", "2000"))
FALSE_SHOPS, SHOPS = min(2000, MOST), min(400, MOST)
STORES, PAST, STAGE, LATER = 24, 364, 91, 182
TURN = 70
"""Day of the rollout from which on prices lose; most are certified by then."""
PLAN = RolloutPlan(loss=0.02)
_WEEK = np.array([0.9, 0.85, 0.9, 0.95, 1.1, 1.3, 1.0])


def followed(money: np.ndarray, draw: np.ndarray, gain: np.ndarray | float) -> tuple[list[Look], np.ndarray]:
    """All looks where each is acted upon on the next day, and the arms that this makes.

    Args:
        money: (D, S) at the prices of the holdout.
        draw: (S,) what the hash gives the stores.
        gain: (D,) of the policy's prices.
    """
    held = np.full(money.shape, np.nan)
    held[PAST:] = draw < PLAN.shares[0]
    while True:
        sold = money * np.where(held == 0, 1 + np.broadcast_to(gain, len(money))[:, None], 1.0)
        looks = rollout(sold, held, PLAN, draw)
        for look in looks:
            after = held[look.day + 1 :]
            wanted = draw < look.holdout
            if len(after) and not look.stop and (after[0] != wanted).any():
                after[:] = wanted
                break
        else:
            return looks, held


def hostile_shop(random: np.random.Generator, days: int) -> np.ndarray:
    """(D, S) money of a chain with a week and a season, whose stores have shocks that last, drift and trends of their own."""
    lasting, deviation = random.uniform(0.93, 0.985), random.uniform(0.02, 0.06)
    steps = random.normal(0, deviation * np.sqrt(1 - lasting**2), (days, STORES))
    shock = np.empty((days, STORES))
    shock[0] = random.normal(0, deviation, STORES)
    for day in range(1, days):
        shock[day] = lasting * shock[day - 1] + steps[day]
    drift = np.cumsum(random.normal(0, random.uniform(0, 0.004), (days, STORES)), axis=0)
    trend = np.linspace(0, 1, days)[:, None] * random.normal(0, 0.05, STORES)
    chain = np.cumsum(random.normal(0, 0.004, days)) + 0.15 * np.sin(2 * np.pi * np.arange(days) / 364)
    noise = random.normal(0, random.uniform(0.04, 0.12), (days, STORES))
    week = _WEEK[np.arange(days) % 7]
    return random.lognormal(0, 0.5, STORES) * week[:, None] * np.exp(chain[:, None] + shock + drift + trend + noise)


@functools.cache
def weekly() -> tuple[MarketSpec, np.ndarray, np.ndarray]:
    """The fitted grocer, and (T, N) expected units and prices of its weeks at its current prices."""
    spec = fitted()
    figures = product_figures(spec, named_policy("historical", spec), seed=0)
    units = figures.units.mean
    return spec, units, figures.revenue.mean / np.maximum(units, 1e-9)


def grocer(random: np.random.Generator, days: int) -> np.ndarray:
    """(D, S) money of a chain of which each store is a market of the fitted grocer, up to its size: its weeks again and
    again, with its overdispersion of each product in each week and Poisson sales, apart in each store.
    """
    spec, units, price = weekly()
    spread = np.maximum(np.asarray(spec.arrivals.overdispersion, dtype=float), 1e-9)
    at = np.arange(-(-days // 7)) % len(units)
    gamma = random.gamma(1 / spread, spread, (len(at), STORES, len(spread)))
    mean = units[at][:, None] * gamma * random.lognormal(0, 0.5, STORES)[:, None]
    sold = random.poisson(mean[:, None] * (_WEEK / _WEEK.sum())[:, None, None])
    return np.einsum("wdsn,wn->wds", sold, price[at]).reshape(-1, STORES)[:days]


@functools.cache
def good_prices() -> tuple[list[int], list[bool]]:
    """Of shops whose prices gain 5%: the day of the certificate, 0 without one, and whether they were stopped."""
    days, stopped = list[int](), list[bool]()
    for seed in range(SHOPS):
        random = np.random.default_rng([1, seed])
        looks, _ = followed(grocer(random, PAST + LATER), random.random(STORES), 0.05)
        days.append(next((look.day - PAST + 1 for look in looks if look.state == "certified"), 0))
        stopped.append(any(look.stop for look in looks))
    return days, stopped


@check("field", "live certificate, 2,000 shops whose prices lose 2%: certified at any of the daily looks", "<=", 0.05)
def false_certificates() -> float:
    certified = 0
    for seed in range(FALSE_SHOPS):
        random = np.random.default_rng([0, seed])
        looks, _ = followed(hostile_shop(random, PAST + STAGE + 14), random.random(STORES), -PLAN.loss)
        certified += any(look.state == "certified" for look in looks)
    return certified / FALSE_SHOPS


@check("field", "live certificate, fitted grocer, prices that gain 5%: certified within eight weeks", ">=", 0.8)
def true_certificates() -> float:
    return float(np.mean([0 < day <= 56 for day in good_prices()[0]]))


@check("field", "live certificate, fitted grocer, prices that gain 5%: stopped within half a year", "<=", 0.05)
def false_stops() -> float:
    return float(np.mean(good_prices()[1]))


@check("field", "live certificate, fitted grocer, prices that turn to lose 10%: stopped within four weeks", ">=", 0.8)
def stops() -> float:
    stopped = list[bool]()
    for seed in range(SHOPS):
        random = np.random.default_rng([1, seed])
        gain = np.where(np.arange(PAST + LATER) < PAST + TURN, 0.05, -0.1)
        looks, _ = followed(grocer(random, PAST + LATER), random.random(STORES), gain)
        if any(look.state == "certified" and look.day < PAST + TURN for look in looks):
            stopped.append(any(look.stop and PAST + TURN <= look.day < PAST + TURN + 28 for look in looks))
    return float(np.mean(stopped))
