"""What each price rule costs on the demo's market, against a search that shares nothing with it but the market.

The other search draws prices and discounts at random, nearer and nearer, in the simulator's own demand under the draws
that the figures do not use; its rules are written out here. `RULES_DEMO` names a folder of `make demo`, otherwise one is made.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from repricer.envs import expected_units
from repricer.evaluation.rule_costs import ALL, RuleCost, RuleCosts, rule_costs
from repricer.scenarios import MarketSpec, goal_market, load_scenario
from repricer.scenarios.planned_deals import planned_deals

from .checks import check
from .loop import REPRICER, ROOT

DRAWS, SEED, STARTS, Z90 = 100, 11, 2, 1.645
_WIDTHS, _PRICES, _LEVELS = (1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02), 9, 9
_FREE = 4.0


@functools.cache
def demo_folder() -> Path:
    """The folder of a demo."""
    given = os.environ.get("RULES_DEMO")
    if given:
        return Path(given)
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    out = Path(folder.name, "demo")
    command = [*REPRICER, "demo", "--out", str(out), "--steps", "1000", "--episodes", "10", "--json"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out


@functools.cache
def market() -> MarketSpec:
    """The demo's market, of whose rules the other search knows all: without steps near the plan and prices that are held."""
    free: dict[str, Any] = {"max_step": None, "frozen": (), "frozen_because": None, "frozen_as_planned": False}
    return load_scenario(demo_folder() / "market").with_changes(prices=free)


@functools.cache
def costs() -> RuleCosts:
    """What its rules cost, over half of its draws."""
    return rule_costs(market(), draws=DRAWS, seed=SEED)


class _Search:
    """The best prices and discounts without some rules, by other means and other draws."""

    def __init__(self, lifted: frozenset[str]) -> None:
        spec, self.lifted = market(), lifted
        used = np.random.default_rng(SEED).choice(spec.num_draws, DRAWS, replace=False)
        self.spec, self.goal, self.regular = spec, goal_market(spec), spec.products.regular_price
        self.draws = [spec.draw(m) for m in sorted({*range(spec.num_draws)} - {*used.tolist()})]
        self.planned, self.begun = spec.plan.price, spec.initial_price
        low, high = spec.prices.floor, spec.prices.ceiling
        self.paid_low = np.ceil(np.where("floor_from_sales" in lifted, self.regular / _FREE, low) / 0.01 - 1e-6) * 0.01
        self.low = self.paid_low
        high = np.where("ceiling_from_sales" in lifted, self.regular * _FREE, high)
        self.high = np.floor(high / 0.01 + 1e-6) * 0.01
        if "paid_floor" in lifted:
            self.paid_low = np.zeros_like(low)
        self.cap = 0.95 if "max_discount" in lifted else spec.prices.max_discount
        category = spec.category_index
        self.member, self.category = np.eye(category.max() + 1)[category], category
        self.place = np.array([(category[:n] == one).sum() for n, one in enumerate(category)])

    def path(self, price: np.ndarray) -> np.ndarray:
        """(T, N) what the largest change makes of a fixed price."""
        rows, now = [], self.begun
        for planned in self.planned:
            if "max_change" not in self.lifted:
                most = self.spec.prices.max_change
                least, largest = np.minimum(now * (1 - most), planned), np.maximum(now * (1 + most), planned)
                now = np.clip(price, np.ceil(least / 0.01 - 1e-6) * 0.01, np.floor(largest / 0.01 + 1e-6) * 0.01)
            else:
                now = price
            rows.append(now)
        return np.array(rows)

    def money(self, paths: np.ndarray, discount: np.ndarray, draws: list[MarketSpec]) -> np.ndarray:
        """(M, B, K, C) what is maximised, of B courses of prices (B, T, N) with discounts (B, N, K)."""
        spec, memory, shape = self.spec, self.spec.reference_price.memory, paths.shape
        plan = planned_deals(spec)
        reference, shown, level = np.empty(shape), np.empty(shape), np.ones(shape[::2])
        remembered = np.tile(spec.initial_reference, (shape[0], 1))
        for t in range(shape[1]):
            own = paths[:, t] / plan.usual[t]
            now = np.where(plan.on_deal[t], np.maximum(level, own), own)
            reference[:, t] = remembered * np.minimum(now, 1) / np.minimum(level, 1)
            depth = np.log(now * plan.usual[t] / paths[:, t]) / plan.depth[t]
            standing = np.where(plan.on_deal[t], plan.feature[t] * np.clip(depth, 0, 1), plan.always[t])
            shown[:, t] = standing - plan.feature[t]
            remembered = memory * reference[:, t] + (1 - memory) * paths[:, t] * np.minimum(now, 1) / now
            level = now
        flat = paths.reshape(-1, shape[2])
        given = {"reference": reference.reshape(flat.shape), "discount": np.repeat(discount, shape[1], axis=0)}
        if spec.recommendation is not None:
            given["shown"] = np.tile(spec.shown_by_recommender, (len(flat), 1))
        period, found = np.tile(np.arange(shape[1]), shape[0]), []
        if plan.lift.any():
            given["promoted"] = shown.reshape(flat.shape)
        for draw in draws:
            units = expected_units(draw, period, flat, **given)
            paid = flat[:, None] * (1 - np.moveaxis(given["discount"], 2, 1))
            cost = self.goal.products.unit_cost if self.goal is not spec else draw.products.unit_cost
            cost = cost * (self.goal.market.objective == "profit")
            money = (units * (paid - cost)).reshape(*shape[:2], -1, shape[2]).sum(axis=1)
            found.append(money @ self.member)
        return np.array(found)

    def climbed(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """(T, N) prices and (N, K) discounts from random prices: each product in turn takes the best of random choices,
        which come nearer and nearer.
        """
        rng, few = np.random.default_rng((SEED, start)), self.draws[:: max(1, len(self.draws) // 25)]
        n, segment = np.arange(len(self.regular)), np.arange(self.spec.sizes["K"])
        discount = np.zeros((len(n), len(segment)))
        price = self.low * (self.high / self.low) ** rng.uniform(size=len(n))
        for width in _WIDTHS:
            for turn in (self.place == j for j in range(self.place.max() + 1)):
                near = price * np.exp(width * rng.uniform(-1, 1, (_PRICES, len(n))))
                anywhere = self.low * (self.high / self.low) ** rng.uniform(size=near.shape)
                grid = np.where((np.arange(_PRICES) % 2 == 0)[:, None], near, anywhere if width > 0.2 else near)
                grid = np.where(turn, np.clip(np.round(grid, 2), self.low, self.high), price)
                grid[0] = price
                paths = np.array([self.path(row) for row in grid])
                most = np.clip(1 - self.paid_low / paths.min(axis=1), 0, self.cap)
                share = rng.uniform(-0.1, 1.1, (_LEVELS, 1, len(n), 1)).clip(0, 1)
                tried = np.where(turn[:, None], share * most[..., None], np.minimum(discount, most[..., None]))
                tried[0] = np.minimum(discount, most[..., None])
                course = np.broadcast_to(paths, (_LEVELS, *paths.shape)).reshape(-1, *paths.shape[1:])
                money = self.money(course, tried.reshape(-1, *discount.shape), few).mean(axis=0)
                money = money.reshape(_LEVELS, _PRICES, *money.shape[1:])
                best = money.max(axis=0).sum(axis=1).argmax(axis=0)[self.category]
                level = money.argmax(axis=0)[best, :, self.category]
                price, discount = grid[best, n], tried[level, best[:, None], n[:, None], segment]
        return self.path(price), discount


@functools.cache
def climbed(lifted: frozenset[str]) -> np.ndarray:
    """(M,) what the best prices of all starts earn under each draw, category by category the best."""
    search = _Search(lifted)
    found = [search.climbed(start) for start in range(STARTS)]
    paths, discounts = (np.stack(part) for part in zip(*found, strict=True))
    money = search.money(paths, discounts, search.draws).sum(axis=2)
    return np.take_along_axis(money, money.mean(axis=0).argmax(axis=0)[None, None], axis=1)[:, 0].sum(axis=-1)


def apart(one: RuleCost) -> float:
    """How far a cost is from that of the other search, in standard errors of their difference."""
    other = climbed(frozenset(one.rules)) - climbed(frozenset())
    low, high = one.cost_interval90
    error = np.hypot((high - low) / (2 * Z90) / DRAWS**0.5, other.std(ddof=1) / len(other) ** 0.5)
    said = f"{one.rule}: {one.cost:,.2f}, by another search {other.mean():,.2f}, standard error {error:,.2f}"
    print(said, file=sys.stderr)
    off = abs(one.cost - other.mean())
    return float(off / error) if error else 0.0 if off == 0 else float("inf")


@check("rules", "demo: cost of each rule alone, off another search with other draws, in standard errors, most", "<=", 3)
def alone() -> float:
    return max(map(apart, costs().rules))


@check("rules", "demo: cost of each group and of all rules, off another search, in standard errors, most", "<=", 3)
def together() -> float:
    return max(map(apart, (*costs().groups, costs().together)))


@check("rules", "demo: rules that bind nothing and cost something, in any draw", "==", 0, "rules")
def binding_nothing() -> float:
    spec = market()
    regular, names = spec.products.regular_price, np.array(spec.products.names)
    cheap, dear = names[regular.argmin()], names[regular.argmax()]
    loose = {
        "minimum_advertised_price": 0.01 * regular,
        "max_changes": 99,
        "change_window_periods": 100,
        "line_order": ((str(cheap), str(dear)),),
        "max_segment_spread": 0.9,
    }
    found = rule_costs(spec.with_changes(prices=loose), draws=DRAWS, seed=SEED)
    free = [one for one in found.rules if one.rule in loose or one.rule == "segment_spread"]
    assert len(free) == 4, [one.rule for one in found.rules]
    ends = [(one.cost, *one.cost_interval90, *one.revenue_interval90, *one.profit_interval90) for one in free]
    return float(sum(any(row) or bool(one.products) for one, row in zip(free, ends, strict=True)))


@check("rules", "demo: the least cost of a set of rules beyond that of one inside it", ">=", 0, "dollars")
def nested() -> float:
    every = (*costs().rules, *costs().groups, costs().together)
    assert every[-1].rule == ALL
    return min(other.cost - one.cost for one in every for other in every if set(one.rules) < set(other.rules))
