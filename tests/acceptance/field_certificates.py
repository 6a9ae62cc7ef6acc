"""Certificates from logged data: how often a loss is certified, and how often a gain is.

Scores are those of a chain of 6 stores over 56 days: each store draws each day, with a probability of its own, between
its current prices and the policy's. Store sizes differ several times, days by weekday, with a shock that all stores share
and gamma noise with a heavy tail; the response model knows the size and weekday of a store, with errors. The gain over the
logged money is set exactly. A few hundred logs come from simulated markets, through the whole command's function.
"""

from __future__ import annotations

import functools
import os

import numpy as np
from repricer.benchmarks.uplift.history import FAMILIES
from repricer.benchmarks.uplift.shop import draw_shop
from repricer.envs import rollout
from repricer.evaluation import LogRecorder
from repricer.planning.experiments.certificate import bounds_of_gain, certify
from repricer.pricing import EpsilonGreedy, FixedPrice
from repricer.scenarios import spec_from_table

from .checks import check

COUNT = int(os.environ.get("FIELD_LOGS", "5000"))
STORES, DAYS, LOSS, NOISE = 6, 56, 0.02, 0.25
WEEKDAYS = np.array([0.8, 0.8, 0.9, 0.9, 1.2, 1.5, 0.9])
ROLLOUTS, MARKETS = 300, 60
SHOPS, CHAIN, AHEAD = 24, 12, 12


def scores(gain: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(D * S,) scores, (D * S,) logged money and (D,) true gain so far, for a gain of the policy on each day."""
    days, chance = gain.size, random.uniform(0.3, 0.7, STORES)
    # Against the logged money, of which a share is the policy's already.
    change = gain[:, None] / (1 - chance * (1 + gain[:, None]))
    size = random.lognormal(0, 0.5, STORES) * WEEKDAYS[np.arange(days) % 7, None]
    shock = np.exp(random.normal(0, 0.1, (days, 1)) - 0.005)
    test = random.random((days, STORES)) < chance
    noise = random.gamma(1 / NOISE**2, NOISE**2, (days, STORES))
    money = size * shock * noise * (1 + change * test)
    model = size * random.uniform(0.9, 1.1, STORES)
    score = model + test / chance * (money - model) - money
    expected = size * (1 + change * chance)
    policy = size * (1 + change)
    return score.ravel(), money.ravel(), policy.sum(axis=1).cumsum() / expected.sum(axis=1).cumsum() - 1


@functools.cache
def certified(gain: float, loss: float) -> float:
    """Share of the logs whose whole is certified to lose at most this."""
    found = []
    for seed in range(COUNT):
        score, money, _ = scores(np.full(DAYS, gain), np.random.default_rng([7, seed]))
        found.append(bounds_of_gain(score, money, loss=loss, looks=[money.size]).betting >= -loss)
    return float(np.mean(found))


@check("field", "certificates at 2%: of logs at a true loss of exactly 2%, certified", "<=", 0.05)
def _at_the_loss() -> float:
    return certified(-LOSS, LOSS)


@check("field", "certificates at 2%: of logs at a true loss of 5%, certified", "<=", 0.05)
def _beyond_the_loss() -> float:
    return certified(-0.05, LOSS)


@check("field", "logs without a gain for which a gain is claimed (lower bound above 0)", "<=", 0.05)
def _without_a_gain() -> float:
    """At a gain of 0 it is true that the prices lose at most 2%; what must not be stated is a gain."""
    return certified(0.0, 0.0)


@check("field", "certificates at 2%: of logs at a true gain of 5% over eight weeks in 6 stores, certified", ">=", 0.8)
def _power() -> float:
    return certified(0.05, LOSS)


@check("field", "daily looks, drift: logs with a bound above the true average gain so far on any day", "<=", 0.05)
def _drift() -> float:
    """The gain wanders between -8% and +4% around -2%: stricter than a count of the losses that are certified."""
    wrong, ends = [], STORES * np.arange(2, DAYS + 1)
    for seed in range(COUNT):
        random = np.random.default_rng([8, seed])
        wave = np.sin(2 * np.pi * (random.uniform(0.3, 2) * np.arange(DAYS) / DAYS + random.random()))
        score, money, truth = scores(-LOSS + 0.06 * wave, random)
        wrong.append((np.array(bounds_of_gain(score, money, looks=ends).running) > truth[1:]).any())
    return float(np.mean(wrong))


@check("field", f"certificates of {ROLLOUTS} logs of a simulated market at its true loss, certified", "<=", 0.05)
def _simulated() -> float:
    """60 markets of 4 periods each, half of the decisions at each of two prices, with the response model fitted."""
    table = {"name": "shop", "version": 1, "market": {"horizon_periods": 4, "objective": "revenue"}}
    table |= {"products": {"names": ["tea"], "regular_price": 3.0}, "arrivals": {"rate": 30.0}}
    spec = spec_from_table(
        table | {"demand": {"quality": 3.0, "price_sensitivity": 0.8}, "prices": {"floor": 1.0, "ceiling": 6.0}}
    )
    low, high = FixedPrice(3.0), FixedPrice(4.2)
    earned = [rollout(spec, policy, episodes=200_000, seed=5).objective.mean() for policy in (low, high)]
    if earned[0] < earned[1]:
        low, high, earned = high, low, earned[::-1]
    loss, found = 1 - earned[1] / np.mean(earned), []
    for seed in range(ROLLOUTS):
        recorder = LogRecorder(spec)
        explorer = EpsilonGreedy(low, np.array([[3.0], [4.2]]), 1.0, seed=seed)
        rollout(spec, explorer, episodes=MARKETS, seed=seed, watch=recorder)
        found.append(certify(recorder.log(), high, loss=float(loss)).certified)
    return float(np.mean(found))


@functools.cache
def families() -> np.ndarray:
    """(shops, 4) true gain over current prices, whether no loss and a loss of at most 2% are certified, gain over the log.

    A policy changes the own prices of a synthetic shop by up to 15% a product. Each of 12 stores draws its prices each
    week, for 12 weeks; its money is the truth's at those prices with noise. What stays from week to week, as of customers who
    stock up, is what it would be at the same prices throughout.
    """
    rows = []
    for family in FAMILIES:
        for seed in range(SHOPS):
            shop, random = draw_shop(family, seed), np.random.default_rng([9, seed])
            own = shop.own_prices(horizon=AHEAD)
            paths = (own, own * (1 + random.uniform(-0.15, 0.15, own.shape[1])))
            current, asked = ((shop.margin(p, shop.weeks, "profit") * shop.units(p)).sum(axis=1) for p in paths)
            share = random.dirichlet(np.full(CHAIN, 4.0))
            test = random.random((AHEAD, CHAIN)) < 0.5
            noise = random.gamma(1 / 0.1**2, 0.1**2, test.shape)
            money = np.where(test, asked[:, None], current[:, None]) * share * noise
            model = current[:, None] * share
            score = (model + 2 * test * (money - model) - money).ravel()
            true = asked.sum() / current.sum() - 1
            of_log = asked.sum() / (asked + current).sum() * 2 - 1
            found = [
                bounds_of_gain(score, money.ravel(), loss=x, looks=[money.size]).betting >= -x for x in (0.0, LOSS)
            ]
            rows.append((true, *found, of_log))
    return np.array(rows)


@check(
    "field", "shops of all families: policies that earn less than the current prices, certified as no loss", "<=", 0.05
)
def _losing_shops() -> float:
    found = families()
    return float(found[found[:, 0] < 0, 1].mean())


@check("field", "shops of all families: policies certified at 2% that earn less than the current prices", "<=", 0.05)
def _certified_and_losing() -> float:
    # Most of these lose less than 2%, and are rightly certified: half of all policies drawn here lose.
    found = families()
    return float((found[found[:, 2] > 0, 0] < 0).mean())


@check("field", "shops of all families: policies that lose over 2% of the logged money, certified at 2%", "<=", 0.05)
def _far_losing_shops() -> float:
    found = families()
    return float(found[found[:, 3] < -LOSS, 2].mean())


@check(
    "field",
    "shops of all families: policies that earn over 2% more than the current prices, certified at 2%",
    ">=",
    0.8,
)
def _gaining_shops() -> float:
    found = families()
    return float(found[found[:, 0] > 0.02, 2].mean())
