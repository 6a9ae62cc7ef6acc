"""Fairness: the cap between protected groups, figures by group, and columns that nothing else depends on."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import repricer
from repricer.envs import Market
from repricer.envs.kernels.price_rules import PriceRules, guard_discounts
from repricer.evaluation import group_figures, solve
from repricer.fitting import Assumptions
from repricer.fitting.fit_market import FittedMarket, fit
from repricer.fitting.shop_rules import ShopRules
from repricer.forecasting import MovingAverage
from repricer.pricing import Action, Guardrails
from repricer.scenarios import MarketSpec, load_scenario
from repricer.scenarios.sections import Fairness
from repricer.tests.data.shop_shapes import households

from .checks import check

SETS, EACH, SEGMENTS, PRODUCTS = 100, 1000, 4, 5
CAP = 0.1
AGE = Fairness(("young", "old"), ("age", "age"), np.array([[0.25, 0.75], [0.8, 0.2]]))


@functools.cache
def fuzzed() -> tuple[float, float, float]:
    """Of 2 * 10^6 random discounts (100 rule sets, 1,000 prices of 5 products, 4 segments): the most that groups differ beyond
    the cap; the largest difference between simulator and numpy; the most that those under the cap were changed.
    """
    rng, market = np.random.default_rng(0), load_scenario("stationary-logit")
    over, apart, moved = 0.0, 0.0, 0.0
    for _ in range(SETS):
        groups = rng.dirichlet(np.ones(SEGMENTS), 3)
        contrasts = np.array([groups[0] - groups[1], groups[0] - groups[2], groups[1] - groups[2]])
        rules = Guardrails(
            floor=rng.uniform(0.5, 2, PRODUCTS),
            ceiling=np.full(PRODUCTS, 9.0),
            unit_cost=np.ones(PRODUCTS),
            minimum_margin=rng.uniform(0, 0.4),
            max_discount=rng.uniform(0.2, 0.9),
            max_segment_spread=rng.uniform(0, 0.9),
            max_group_spread=rng.choice([0.0, 0.01, 0.05, 0.15]),
            group_contrasts=contrasts,
        )
        price = rng.uniform(3, 9, (EACH, PRODUCTS)).astype(np.float32)
        asked = rng.uniform(-0.2, 1.2, (EACH, PRODUCTS, SEGMENTS)).astype(np.float32)
        view = replace(Market(market, num_markets=EACH).view, list_price=price)
        done, free = (each.apply(Action(price, asked), view) for each in (rules, replace(rules, max_group_spread=1.0)))
        gaps, before = (abs(each.discount.astype(np.float64) @ contrasts.T).max(axis=-1) for each in (done, free))
        over = max(over, float(gaps.max() - rules.max_group_spread))
        within = before <= rules.max_group_spread
        moved = max(moved, float(abs(done.discount - free.discount)[within].max(initial=0.0)))
        allowed, trail = np.empty((SEGMENTS, PRODUCTS, EACH), np.float32), np.zeros((PRODUCTS, EACH), np.uint32)
        proposed, charged = (np.ascontiguousarray(each.T) for each in (asked, done.price))
        guard_discounts(proposed, charged, PriceRules.of(market, rules), allowed, trail)
        apart = max(apart, float(abs(allowed.T - done.discount).max()))
    return over, apart, moved


@check(
    "rules", "2 * 10^6 random discounts: protected groups differ beyond their cap by at most", "<=", 1e-6, "discount"
)
def beyond_the_cap() -> float:
    return fuzzed()[0]


@check("rules", "2 * 10^6 random discounts: simulator against service", "<=", 2e-6, "discount")
def simulator_and_service() -> float:
    return fuzzed()[1]


@check("rules", "2 * 10^6 random discounts: those within the cap are changed by", "==", 0.0, "discount")
def within_the_cap() -> float:
    return fuzzed()[2]


def market(**prices: float) -> MarketSpec:
    """Segment prices, with two age groups."""
    return replace(load_scenario("segment-prices"), fairness=AGE).with_changes(prices=prices)


def weights(spec: MarketSpec) -> tuple[np.ndarray, np.ndarray]:
    """(F, K) segments of each group, and (K,) price sensitivity; computed apart from the market's own."""
    joint = spec.arrivals.segment_share[0][:, None] * AGE.share
    return (joint / joint.sum(axis=0)).T, spec.demand.price_sensitivity[:, 0]


@check("rules", "surplus by protected group, two groups, against the log-sum in numpy", "<=", 0.005, "relative")
def surplus_by_hand() -> float:
    spec = market()
    of, slope = weights(spec)
    found = group_figures(spec, "optimum", against="fixed:8", episodes=2)
    optimum = solve(spec)
    assert optimum is not None
    path = optimum.policy
    paid = path.price[0, 0] * (1 - path.discount[0, 0])
    now, then = (of @ (np.log1p(np.exp(4 - price * slope)) / slope) for price in (paid, np.full(2, 8.0)))
    rows = found.rows.set_index("name").loc[list(AGE.groups)]
    wrong = [rows["surplus"] / now - 1, rows["surplus_before"] / then - 1, rows["basket_price"] / (of @ paid) - 1]
    gap = found.gaps.set_index("kind").loc["age"]
    wrong += [
        np.array(
            [gap["surplus_gap"] / np.ptp(now - then) - 1, gap["price_ratio"] / (max(of @ paid) / min(of @ paid)) - 1]
        )
    ]
    return float(max(abs(np.asarray(each)).max() for each in wrong))


@check(
    "rules",
    "what the cap costs: a search through the rules against the exact optimum of both",
    "<=",
    0.005,
    "of revenue",
)
def cost_of_the_cap() -> float:
    """With two segments, the cap on groups is one on segments, over the difference of the groups' shares."""
    free, capped = market(), market(max_group_spread=CAP)
    of, slope = weights(free)
    exact = []
    for spread in (1.0, CAP / abs(of[0] - of[1])[0]):
        optimum = solve(market(max_segment_spread=spread))
        assert optimum is not None
        exact.append(optimum.value)
    rng, share, customers = np.random.default_rng(1), free.arrivals.segment_share[0], free.arrivals.rate.sum()
    best = []
    for spec in (free, capped):
        top, rounds = np.array([30.0, 0.5, 0.5]), (30.0, 0.5, 0.5)
        for scale in (1.0, 0.2, 0.03):
            asked = (top + scale * np.array(rounds) * rng.uniform(-1, 1, (200_000, 3))).astype(np.float32)
            view = Market(spec, num_markets=len(asked)).view
            done = spec.guardrails.apply(Action(asked[:, :1], asked[:, None, 1:]), view)
            paid = done.price.astype(np.float64) * (1 - done.discount[:, 0].astype(np.float64))
            money = (paid * share / (1 + np.exp(paid * slope - 4))).sum(axis=1) * customers
            top = np.append(done.price[money.argmax()], done.discount[money.argmax(), 0])
        best.append(float(money.max()))
    return abs((best[0] - best[1]) - (exact[0] - exact[1])) / exact[0]


@functools.cache
def fitted(shuffled: bool) -> FittedMarket:
    """A shop with a protected column, as it is or shuffled between its customers."""
    tables = households(customers=600, weeks=60)
    if shuffled:
        ages = tables.customers["age_band"].sample(frac=1, random_state=1).to_numpy()
        tables = replace(tables, customers=tables.customers.assign(age_band=ages))
    rules = ShopRules.of({"shop": {"protected": ["age_band"], "max_discount": 0.2}})
    return fit(tables, name="fair", forecaster=MovingAverage(), assumptions=Assumptions(rules=rules, max_discount=0.2))


@check(
    "rules",
    "numbers of a fitted market that change with a shuffled protected column, shares of its groups apart",
    "==",
    0,
)
def shuffled_segments() -> float:
    (mine, report), (theirs, other) = ((fitted(s).spec, fitted(s).report) for s in (False, True))
    assert not np.allclose(mine.fairness.share, theirs.fairness.share, atol=0.1)
    changed = sum(
        report[key] != other[key] for key in ("segments", "segment_rules", "segment_selection", "recommender")
    )
    for section in fields(mine):
        a, b = getattr(mine, section.name), getattr(theirs, section.name)
        if section.name in ("fairness", "evidence") or not hasattr(a, "__dict__"):
            continue
        for key, value in vars(a).items():
            try:
                np.testing.assert_equal(vars(b)[key], value)
            except AssertionError:
                changed += 1
    return float(changed)


@check("rules", "prices of a trained policy that change with a shuffled protected column", "==", 0)
def shuffled_policy() -> float:
    actions = []
    with tempfile.TemporaryDirectory() as folder:
        for shuffled in (False, True):
            spec = fitted(shuffled).spec
            run = repricer.train(spec, algo="ppo", steps=30_000, seed=0, out=Path(folder) / str(shuffled))
            seen = Market(spec, num_markets=64, seed=5)
            seen.reset()
            acted = run.policy.act(seen.view)
            actions.append((acted.price, acted.discount))
    return float(sum((a != b).sum() for a, b in zip(*actions, strict=True)))
