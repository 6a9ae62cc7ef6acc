"""Random sets of price rules of all priorities, what they ask for, and solvers that share no code with the rules.

`milp_least` finds the least amount by which a rule must be missed, given the rules before it; `can_be_kept` says for many
markets at once whether some prices keep a list of rules.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from repricer.pricing import Catalogue, Guardrails, MarketView, PriceEndings, PriceLadder
from repricer.pricing.price_rules.rule_formulas import BOUNDS, LINKING, PRIORITIES, RULES
from scipy.optimize import Bounds, LinearConstraint, milp

PRODUCTS, SEGMENTS, WINDOW = 4, 2, 4
SWITCHES = (
    "frozen",
    "max_changes",
    "max_change",
    "direction",
    "minimum_margin",
    "minimum_advertised_price",
    "line_order",
    "price_gap",
    "pack_price",
    "rival_price",
    "price_index",
    "planned_price",
    "max_step",
)
MOST = 80.0
"""No price of these rule sets is higher."""
CATALOGUE = Catalogue(
    products=tuple("abcd"),
    segments=("s", "t"),
    category=np.zeros(PRODUCTS, int),
    regular_price=np.ones(PRODUCTS, np.float32),
    unit_cost=np.ones(PRODUCTS, np.float32),
    segment_elasticity=np.full((SEGMENTS, PRODUCTS), -2.0, np.float32),
    segment_units=np.ones((SEGMENTS, PRODUCTS), np.float32),
    forecast_units=np.ones((3, PRODUCTS), np.float32),
    change_window_periods=WINDOW,
)


def drawn_set(rng: np.random.Generator, grid: str, on: set[str]) -> dict[str, Any]:
    """Arguments of `Guardrails`; they fit together more often than not."""
    floor = rng.uniform(0.6, 8, PRODUCTS)
    rules: dict[str, Any] = {"floor": floor, "ceiling": floor * rng.uniform(1.0, 4, PRODUCTS) + 0.7}
    rules["unit_cost"] = floor * rng.random()
    if grid == "ladder":
        rules["ladder"] = PriceLadder(np.unique(rng.uniform(0.5, 30, rng.integers(8, 60)).round(2)))
    elif grid == "tick":
        rules["tick"] = float(rng.choice([0.01, 0.05, 0.25, 0.3]))
    elif grid == "endings":
        rules["endings"] = PriceEndings(np.sort(rng.choice(100, rng.integers(1, 4), replace=False)) / 100)
    if "line_order" in on:
        order = rng.permutation(PRODUCTS)
        whole = rng.random() < 0.5
        rules["lines"] = (tuple(order[:3].tolist()),) if whole else tuple(map(tuple, order.reshape(2, 2).tolist()))
        for line in map(list, rules["lines"]):
            for bound in ("floor", "ceiling"):
                if rng.random() < 0.8:
                    rules[bound][line] = np.sort(rules[bound][line])
    # Shares that leave room for most bounds, some of them in a circle.
    pairs = rng.permutation([(a, b) for a in range(PRODUCTS) for b in range(PRODUCTS) if a != b])
    for rule, key in (("price_gap", "gaps"), ("pack_price", "packs")):
        if rule in on:
            chosen, pairs = pairs[: rng.integers(1, 4)], pairs[4:]
            rules[key] = tuple((int(a), int(b), round(float(rng.uniform(0.6, 4)), 2)) for a, b in chosen)
    if "rival_price" in on:
        rules |= {"rival_at_least": rng.uniform(0.2, 0.8, PRODUCTS), "rival_at_most": rng.uniform(0.8, 1.3, PRODUCTS)}
    if "price_index" in on:
        baskets = int(rng.integers(1, 3))
        weights = rng.uniform(0.1, 1, (baskets, PRODUCTS)) * (rng.random((baskets, PRODUCTS)) < 0.7)
        middle = weights @ (floor + rng.uniform(0, 1.2) * (rules["ceiling"] - floor))
        rules |= {"index_weights": weights, "index_at_most": middle, "index_names": ("rival", "month")[:baskets]}
    choices = {
        "minimum_margin": rng.uniform(0, 0.5),
        "max_change": rng.choice([0.0, 0.02, 0.2, 1.5], rng.choice([1, PRODUCTS])),
        "direction": str(rng.choice(["falling", "rising"])),
        "minimum_advertised_price": rng.uniform(0, 1.3, PRODUCTS) * floor,
        "frozen": rng.random(PRODUCTS) < 0.4,
        "max_changes": int(rng.integers(1, WINDOW)),
        "max_discount": rng.uniform(0, 0.8),
        "max_segment_spread": rng.uniform(0, 0.5),
        "planned_price": rng.uniform(0.3, 40, (1, PRODUCTS)),
    }
    rules |= {rule: value for rule, value in choices.items() if rule in on}
    if "max_step" in on:
        rules["planned_price"] = planned = choices["planned_price"]
        on_deal = rng.random(planned.shape) < 0.4
        rules["planned_regular"] = planned * np.where(on_deal, rng.uniform(1.03, 1.6, planned.shape), 1.0)
        rules["max_step"] = rng.choice([0.0, 0.05, 0.5], rng.choice([1, PRODUCTS]))
    if "max_changes" in on:
        rules["change_window_periods"] = WINDOW
    levels: list[str | int] = ["law", "hard", 1, 2, 3, 9]
    given = rng.random(len(PRIORITIES)) < rng.choice([0.0, 0.5])
    drawn = rng.choice(len(levels), len(PRIORITIES), p=[0.1, 0.3, 0.2, 0.2, 0.1, 0.1])
    rules["priority"] = {rule: levels[level] for rule, own, level in zip(PRIORITIES, given, drawn, strict=True) if own}
    return rules


def drawn_state(rng: np.random.Generator, markets: int) -> MarketView:
    """Prices in force, rivals' prices and counts of changes."""
    rows = (markets, PRODUCTS)
    price = rng.uniform(0.3, 20, rows).astype(np.float32)
    rival = np.where(rng.random(rows) < 0.2, np.inf, rng.uniform(0.3, 20, rows)).astype(np.float32)
    changes = rng.integers(0, WINDOW, rows)
    return MarketView(CATALOGUE, np.zeros(markets, int), *[price] * 5, competitor_price=rival, changes=changes)


def anything(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Sensible numbers, and some that are none."""
    wild = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e38], shape)
    return np.where(rng.random(shape) < 0.2, wild, rng.uniform(0, scale, shape)).astype(np.float32)


def asked_for(rules: Guardrails, rule: str, view: MarketView) -> tuple[np.ndarray, np.ndarray] | None:
    """(E, N) the range that a rule asks for, from its definition; None for a rule between products."""
    now = view.list_price.astype(np.float64)
    nothing, everything = np.zeros_like(now), np.full_like(now, np.inf)
    if rule == "minimum_margin":
        return nothing + (
            0 if rules.minimum_margin is None else rules.unit_cost / (1 - rules.minimum_margin)
        ), everything
    if rule == "minimum_advertised_price":
        return nothing + (0 if rules.minimum_advertised_price is None else rules.minimum_advertised_price), everything
    if rule == "floor":
        return nothing + rules.floor, everything
    if rule == "ceiling":
        return nothing, nothing + rules.ceiling
    if rule == "frozen":
        return np.where(rules.frozen, now, 0), np.where(rules.frozen, now, np.inf)
    if rule == "max_changes":
        used = view.changes >= rules.max_changes
        return np.where(used, now, 0), np.where(used, now, np.inf)
    if rule == "direction":
        return (now, everything) if rules.direction == "rising" else (nothing, now)
    if rule == "max_change":
        change = np.broadcast_to(rules.max_change, now.shape)
        least, most = now * (1 - change), now * (1 + change)
        if rules.planned_price is not None and rules.direction == "any":
            least, most = np.minimum(least, rules.planned_price), np.maximum(most, rules.planned_price)
        return least, most
    if rule == "max_step":
        planned = rules.planned_price[0] + np.zeros_like(now)
        most = planned * (1 + rules.max_step)
        on_deal = planned < rules.planned_regular
        # A deal stays one.
        highest = np.maximum(planned, 0.98 * rules.planned_regular)
        return planned * (1 - rules.max_step), np.where(on_deal, np.minimum(most, highest), most)
    if rule == "rival_price":
        rival = view.competitor_price.astype(np.float64)
        there = np.isfinite(rival)
        seen = np.where(there, rival, 1.0)
        return np.where(there, seen * rules.rival_at_least, 0), np.where(there, seen * rules.rival_at_most, np.inf)
    return None


def links_of(rules: Guardrails, rule: str) -> list[tuple[int, int, float]]:
    """Pairs (a, b, share) of a rule: a costs at most share times what b costs."""
    if rule == "line_order":
        return [(a, b, 1.0) for line in rules.lines for a, b in itertools.pairwise(line)]
    return list(rules.gaps if rule == "price_gap" else rules.packs)


def all_rules(rules: Guardrails) -> list[str]:
    """The rules in use that can contradict others, the strongest first."""
    level = {"law": -1, "hard": 0}
    own = PRIORITIES | dict(rules.priority)
    return sorted(
        {*rules.leading, *rules.order}, key=lambda rule: (level.get(own[rule], own[rule]), [*PRIORITIES].index(rule))
    )


def grid_prices(rules: Guardrails) -> np.ndarray | None:
    """All prices of the grid up to `MOST`; None without one."""
    if rules.ladder is not None:
        return rules.ladder.steps
    if rules.tick is not None:
        return np.arange(1, int(MOST / rules.tick) + 1) * rules.tick
    if rules.endings is not None:
        found = (np.arange(int(MOST))[:, None] + rules.endings.fractions).ravel()
        return found[found > 0]
    return None


def missed(rules: Guardrails, rule: str, view: MarketView, price: np.ndarray) -> np.ndarray:
    """(E, I) by how much prices miss each of a rule's items: products, links or baskets."""
    price = price.astype(np.float64)
    if rule in LINKING:
        return np.stack([np.maximum(price[:, a] - share * price[:, b], 0) for a, b, share in links_of(rules, rule)], 1)
    if rule == "price_index":
        return np.maximum(price @ rules.index_weights.T - rules.index_at_most, 0)
    least, most = asked_for(rules, rule, view)
    return np.maximum(np.maximum(least - price, price - most), 0)


def can_be_kept(rules: Guardrails, kept: list[str], view: MarketView) -> np.ndarray:
    """(E,) whether some prices of the grid keep all of these rules, by raising lower and lowering upper bounds."""
    shape, grid, slack = view.list_price.shape, grid_prices(rules), 3e-7
    low, high = np.full(shape, 1e-9), np.full(shape, np.inf)
    for rule in kept:
        if rule not in (*LINKING, "price_index"):
            least, most = asked_for(rules, rule, view)
            low, high = np.maximum(low, least), np.minimum(high, most)

    def up(price: np.ndarray) -> np.ndarray:
        if grid is None:
            return price
        return np.append(grid, np.inf)[np.searchsorted(grid, price * (1 - slack))]

    def down(price: np.ndarray) -> np.ndarray:
        if grid is None:
            return price
        return np.append(-np.inf, grid)[np.searchsorted(grid, price * (1 + slack), side="right")]

    low, high = up(low), down(high)
    links = [link for rule in kept if rule in LINKING for link in links_of(rules, rule)]
    for _ in range(60):
        for a, b, share in links:
            low[:, b] = np.maximum(low[:, b], up(low[:, a] / share * (1 - slack)))
            high[:, a] = np.minimum(high[:, a], down(high[:, b] * share * (1 + slack)))
    # With room for rounding: what is only just possible counts as impossible.
    fits = (low <= high * (1 if grid is not None else 1 - 1e-5)).all(axis=1)
    if "price_index" in kept:
        fits &= (np.where(fits[:, None], low, 0) @ rules.index_weights.T <= rules.index_at_most * (1 - 1e-5)).all(
            axis=1
        )
    return fits


def milp_least(
    rules: Guardrails, view: MarketView, e: int, found: dict[tuple[str, int], float], item: tuple[str, int]
) -> float:
    """The least amount by which market e must miss an item, if it misses those before it by no more than was found.

    Args:
        found: by rule and item, the strongest first, the amounts that the prices at hand miss them by.
        item: one of them.
    """
    grid, size = grid_prices(rules), PRODUCTS
    steps = [] if grid is None else [grid] * PRODUCTS
    columns = size + sum(map(len, steps)) + 1
    lower, upper, integer = np.zeros(columns), np.full(columns, np.inf), np.zeros(columns)
    upper[:size] = MOST
    matrix, low, high = [], [], []

    def row(entries: dict[int, float], least: float, most: float) -> None:
        line = np.zeros(columns)
        for column, value in entries.items():
            line[column] += value
        matrix.append(line)
        low.append(least)
        high.append(most)

    if grid is not None and rules.tick is not None:
        columns = 2 * size + 1
        lower, upper, integer = np.zeros(columns), np.full(columns, np.inf), np.r_[np.zeros(size), np.ones(size), 0]
        upper[:size], lower[size:-1] = MOST, 1  # nothing is free
        for n in range(size):
            row({n: 1.0, size + n: -rules.tick}, 0, 0)
    elif grid is not None:
        integer[size:-1], upper[size:-1] = 1, 1
        for n in range(size):
            own = size + n * len(grid) + np.arange(len(grid))
            row(dict.fromkeys(own.tolist(), 1.0), 1, 1)
            row({n: -1.0, **dict(zip(own.tolist(), grid.tolist(), strict=True))}, 0, 0)
    amount = columns - 1
    for (rule, i), at_most in found.items():
        last = (rule, i) == item
        room, free = (0.0, {amount: -1.0}) if last else (at_most + 2e-6 * 10, {})
        if rule in LINKING:
            a, b, share = links_of(rules, rule)[i]
            row({a: 1.0, b: -share} | free, -np.inf, room)
        elif rule == "price_index":
            row(dict(enumerate(rules.index_weights[i])) | free, -np.inf, rules.index_at_most[i] + room)
        else:
            least, most = (float(side[e, i]) for side in asked_for(rules, rule, view))
            row({i: 1.0} | free, -np.inf, most + room)
            row({i: -1.0} | free, -np.inf, -least + room)
        if last:
            break
    cost = np.zeros(columns)
    cost[amount] = 1
    solved = milp(
        cost,
        constraints=LinearConstraint(np.array(matrix), low, high),
        bounds=Bounds(lower, upper),
        integrality=integer,
        options={"mip_rel_gap": 1e-6},
    )
    assert solved.x is not None, solved.message
    return float(solved.fun)


assert set(BOUNDS) < set(PRIORITIES) < set(RULES)
