"""Guardrails: the price rules that training, evaluation and the service apply, one object for all three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .catalogue import MarketView
from .elementwise import ONE, ZERO, clip, double, floor, larger, single, smaller, where
from .ladder import PriceLadder
from .policy import Action

RULES = {
    "not_a_number": "a price that is no finite positive number is replaced by the price in force",
    "max_change": "the price moves by at most this share of the price in force",
    "price_ladder": "the price is a step of the price ladder, or a multiple of the tick",
    "minimum_margin": "the price leaves at least this margin over the unit cost",
    "floor": "the price is at least the floor",
    "ceiling": "the price is at most the ceiling",
    "max_discount": "a personal discount lies between nothing and the cap",
    "segment_spread": "discounts of two segments differ by at most the cap",
    "paid_floor": "the price paid after the discount keeps the floor and the minimum margin",
}
_BIT = {rule: np.uint16(1 << i) for i, rule in enumerate(RULES)}
PRICE_RULES, DISCOUNT_RULES = tuple(RULES)[:6], tuple(RULES)[6:]
NO_GRID, LADDER, TICK = 0, 1, 2
_SLACK, _LARGEST = np.float32(1e-6), np.float32(1e30)


class GridConstants(NamedTuple):
    """The part of a set of price rules that is not a bound.

    grid: NO_GRID, LADDER or TICK. steps: prices of the ladder. tick: currency per unit. change: largest relative
    change, inf for none. margin_low: (N,) allowed price that leaves the minimum margin, 0 for none.
    """

    grid: int
    steps: NDArray[np.float64]
    tick: float
    change: np.float32
    margin_low: NDArray[np.float32]


def price_steps(price, in_force, low, high, constants):
    """The price after each of `PRICE_RULES`, elementwise; low, high: the hard bounds."""
    grid, steps, tick, change, margin_low = constants
    current = clip(in_force, low, high)
    proper = where((price > ZERO) & (price < _LARGEST), price, current)
    least, most = in_force * (ONE - change), in_force * (ONE + change)
    moved = clip(proper, least, most)
    if grid == LADDER:
        # The price in force may stand outside the hard range (a new floor): the hard range then wins.
        snapped = on_ladder(moved, clip(least, low, high), clip(most, low, high), current, steps)
    elif grid == TICK:
        snapped = on_tick(moved, clip(least, low, high), clip(most, low, high), current, tick)
    else:
        snapped = moved
    margin = larger(snapped, margin_low)
    floored = larger(margin, low)
    return proper, moved, snapped, margin, floored, smaller(floored, high)


def on_ladder(price, soft_low, soft_high, current, steps):
    """The nearest step of the ladder in the soft range; the one nearest the current price if there is none in it."""
    first = np.searchsorted(steps, soft_low * (ONE - _SLACK), side="left")
    last = np.searchsorted(steps, soft_high * (ONE + _SLACK), side="right") - 1
    inside = clip(nearest_step(steps, price), first, where(last < first, first, last))
    return single(steps[clip(where(first <= last, inside, nearest_step(steps, current)), 0, len(steps) - 1)])


def nearest_step(steps, price):
    """Index of the nearest step; a tie goes to the lower one."""
    above = clip(np.searchsorted(steps, price, side="left"), 1, len(steps) - 1)
    below = where(len(steps) > 1, above - 1, 0 * above)
    return where(price > (steps[below] + steps[where(len(steps) > 1, above, below)]) / 2, above, below)


def on_tick(price, soft_low, soft_high, current, tick):
    """The nearest multiple of the tick in the soft range; the one nearest the current price if there is none in it."""
    first, last = -floor(-(double(soft_low) / tick - 1e-4)), floor(double(soft_high) / tick + 1e-4)
    inside = clip(floor(double(price) / tick + 0.5), first, last)
    return single(where(first <= last, inside, floor(double(current) / tick + 0.5)) * tick)


def capped_discount(discount, cap):
    """Between nothing and the cap; a NaN is no discount."""
    return smaller(where(discount > ZERO, discount, ZERO), cap)


def discount_steps(capped, least, price, low, spread):
    """The discount after the segment spread and after the floor of the price paid; least: of the segments' capped."""
    near = smaller(capped, least + spread)
    return near, smaller(near, larger(ONE - low / price, ZERO))


@dataclass(frozen=True)
class TrailStep:
    """One thing a guardrail changed: the rule, the value before and after (price, or discount fractions)."""

    rule: str
    before: Any
    after: Any

    @property
    def why(self) -> str:
        """The rule in words."""
        return RULES[self.rule]


@dataclass(frozen=True)
class GuardedAction:
    """An allowed action and what was changed to get there.

    price: (E, N); discount: (E, N, K) or None; trail: (E, N) uint16, bit i set where the i-th of `RULES` changed it.
    """

    price: NDArray[np.float32]
    discount: NDArray[np.float32] | None
    trail: NDArray[np.uint16]

    def rules(self, market: int, product: int) -> list[str]:
        """Names of the rules that changed this product's price or discount."""
        return [rule for rule, bit in _BIT.items() if self.trail[market, product] & bit]


@dataclass(frozen=True)
class Guardrails:
    """Price rules; the hard ones (minimum margin, floor, ceiling) act last and cannot be broken by another rule.

    floor, ceiling: (N,) currency per unit. minimum_margin: least (price - unit cost) / price, or None.
    max_change: largest relative change from one period to the next, or None. ladder: allowed prices, or None.
    tick: prices are multiples of it (currency per unit), or None; a ladder and a tick exclude each other.
    max_discount: cap on a personal discount (fraction). max_segment_spread: cap on the difference between two
    segments' discounts. Raises ValueError where no price could satisfy all hard rules.
    """

    floor: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    unit_cost: NDArray[np.float64]
    minimum_margin: float | None = None
    max_change: float | None = None
    ladder: PriceLadder | None = None
    tick: float | None = None
    max_discount: float = 0.0
    max_segment_spread: float = 1.0
    low: NDArray[np.float32] = field(init=False, repr=False)
    high: NDArray[np.float32] = field(init=False, repr=False)
    margin_low: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_scalars()
        for name in ("floor", "ceiling", "unit_cost"):
            object.__setattr__(self, name, np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64)))
        margin_low = np.zeros_like(self.floor)
        if self.minimum_margin is not None:
            margin_low = self.unit_cost / (1.0 - self.minimum_margin)
        low = self._round(np.maximum(self.floor, margin_low), up=True)
        high = self._round(self.ceiling, up=False)
        empty = np.flatnonzero(~(low <= high))
        if empty.size:
            i = int(empty[0])
            raise ValueError(
                f"guardrails must leave at least one allowed price; product {i + 1} got floor {self.floor[i]:g}, "
                f"minimum margin price {margin_low[i]:g}, ceiling {self.ceiling[i]:g}"
                f"{' with a price ladder or tick' if self.ladder or self.tick else ''}; widen the range"
            )
        object.__setattr__(self, "margin_low", margin_low)
        object.__setattr__(self, "low", low.astype(np.float32))
        object.__setattr__(self, "high", high.astype(np.float32))

    def _check_scalars(self) -> None:
        allowed = {
            "minimum_margin": (0.0, 1.0, self.minimum_margin),
            "max_change": (0.0, np.inf, self.max_change),
            "tick": (0.0, np.inf, self.tick),
            "max_discount": (0.0, 1.0, self.max_discount),
            "max_segment_spread": (0.0, np.inf, self.max_segment_spread),
        }
        for name, (least, below, value) in allowed.items():
            if value is not None and not least <= value < below:
                raise ValueError(f"{name} must lie in [{least:g}, {below:g}); got {value:g}; mend the price rules")
        if self.ladder is not None and self.tick is not None:
            raise ValueError("price rules take a price_ladder or a tick; got both; remove one")

    def apply(self, action: Action, view: MarketView) -> GuardedAction:
        """The allowed action nearest in spirit to what was proposed, for E markets at once."""
        price = np.asarray(action.price, dtype=np.float32)
        discount = None if action.discount is None else np.asarray(action.discount, dtype=np.float32)
        trail = np.zeros(price.shape, dtype=np.uint16)
        for rule, kind, after in self._steps(action, view):
            if kind == "price":
                trail |= np.where(after != price, _BIT[rule], np.uint16(0))
                price = after
            else:
                trail |= np.where((after != discount).any(axis=-1), _BIT[rule], np.uint16(0))
                discount = after
        return GuardedAction(price, discount, trail)

    def traces(self, action: Action, view: MarketView) -> list[list[TrailStep]]:
        """Step by step, what the rules did to each product's price and discounts in the first market."""
        value = {"price": np.asarray(action.price), "discount": action.discount}
        trails: list[list[TrailStep]] = [[] for _ in range(action.price.shape[1])]
        for rule, kind, after in self._steps(action, view):
            before, now = np.asarray(value[kind])[0], after[0]
            same = (before == now) | (np.isnan(before) & np.isnan(now))
            for n in np.flatnonzero(~same.reshape(len(now), -1).all(axis=1)):
                trails[n].append(TrailStep(rule, before[n].tolist(), now[n].tolist()))
            value[kind] = after
        return trails

    def _steps(self, action: Action, view: MarketView) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        """Each rule in turn, with the price or the discount after it; `apply` and `traces` both read this."""
        price = np.asarray(action.price, dtype=np.float32)
        after = price_steps(price, view.list_price, self.low, self.high, self.constants)
        for rule, step in zip(PRICE_RULES, after, strict=True):
            yield rule, "price", step
        if action.discount is not None:
            cap, spread = np.float32(self.max_discount), np.float32(self.max_segment_spread)
            capped = capped_discount(np.asarray(action.discount, dtype=np.float32), cap)
            least = capped.min(axis=-1, keepdims=True)
            steps = (capped, *discount_steps(capped, least, after[-1][..., None], self.low[:, None], spread))
            for rule, step in zip(DISCOUNT_RULES, steps, strict=True):
                yield rule, "discount", step

    @property
    def constants(self) -> GridConstants:
        """What `price_steps` needs beside the bounds."""
        change = np.inf if self.max_change is None else self.max_change
        margin = self._round(self.margin_low, up=True)
        if self.ladder is not None:
            return GridConstants(LADDER, self.ladder.steps, 1.0, np.float32(change), margin.astype(np.float32))
        grid = NO_GRID if self.tick is None else TICK
        tick = 1.0 if self.tick is None else float(self.tick)
        return GridConstants(grid, np.empty(0), tick, np.float32(change), margin.astype(np.float32))

    def _round(self, price: ArrayLike, *, up: bool) -> NDArray[np.float64]:
        """The allowed step at or above (up) or at or below a bound; NaN where there is none."""
        price = np.asarray(price, dtype=np.float64)
        if self.ladder is not None:
            steps = np.concatenate([[np.nan], self.ladder.steps, [np.nan]])
            side = "left" if up else "right"
            index = np.searchsorted(self.ladder.steps, price * (1 - 1e-9 if up else 1 + 1e-9), side=side)
            return steps[index + 1] if up else steps[index]
        if self.tick is not None:
            return (np.ceil(price / self.tick - 1e-9) if up else np.floor(price / self.tick + 1e-9)) * self.tick
        return price
