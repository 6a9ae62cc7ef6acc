"""One product against one competitor that responds to every price by a rule without memory.

The competitor's price is the state. A price earns in both halves of a period: in the first against
the competitor's current price, in the second against its response, with which the next period
starts.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ..envs import expected_units
from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from .problem import (
    Array,
    Costs,
    Optimum,
    has_horizon,
    method_of,
    optimise,
    price_grid,
    prices_are_free,
    sections_on,
    stock_settings,
)
from .rival_replies import answer, charged, initial_prices, one_answers

_MOST_PAIRS = 4_000_000
_MOST_PRICES = 1000


def covers(spec: MarketSpec) -> bool:
    """Whether the competitor's price is the whole state: stock is unlimited and the rule has no memory."""
    return (
        one_answers(spec)
        and stock_settings(spec) <= {"lead_time_periods"}
        and sections_on(spec) <= {"competitors"}
        and prices_are_free(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class RivalPrice:
    """A table of prices by period and the competitor's price.

    Attributes:
        rival: (B,) the competitor's prices, rising.
        table: (T, B), or (1, B) for all periods, currency per unit.
        name: Name of the policy.
    """

    rival: Array
    table: Array
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look up the price for the nearest of the competitor's prices."""
        seen = view.list_price if view.competitor_price is None else view.competitor_price
        middles = (self.rival[1:] + self.rival[:-1]) / 2
        period = np.minimum(view.period, len(self.table) - 1)
        return Action(self.table[period, np.searchsorted(middles, seen[:, 0])].astype(np.float32)[:, None])


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits and whose competitor has few prices, else None.

    Continuous prices are searched on a grid of 1000.
    """
    if not covers(spec):
        return None
    prices = charged(price_grid(spec, most=_MOST_PRICES))
    rival = _reachable(spec, prices)
    if rival is None:
        return None
    pair = (np.tile(prices, rival.size), np.repeat(rival, prices.size))
    answered = answer(spec, *pair)
    shape, following = (rival.size, prices.size), np.searchsorted(rival, answered)

    @functools.lru_cache(maxsize=1)
    def money(period: int) -> Array:
        """(B * P,) currency of both halves together."""
        halves = [
            expected_units(spec, period, pair[0][:, None], rival_price=half[:, None]) for half in (pair[1], answered)
        ]
        return (pair[0] - Costs.of(spec).sold[0]) * np.sum(halves, axis=(0, 2, 3))

    def step(period: int, future: Array) -> tuple[Array, Array]:
        """Best value and price for each of the competitor's prices, both (B,)."""
        values = (money(period) + future[following]).reshape(shape)
        return values.max(axis=1), prices[values.argmax(axis=1)]

    values, table = optimise(spec, step, np.zeros(rival.size))
    initial = np.searchsorted(rival, initial_prices(spec)[0])
    return Optimum(float(values[initial]), method_of(spec), RivalPrice(rival, np.array(table)))


def _reachable(spec: MarketSpec, prices: Array) -> Array | None:
    """Prices that the competitor can reach, rising, or None where there are too many."""
    rival = initial_prices(spec)
    while rival.size * prices.size <= _MOST_PAIRS:
        more = np.union1d(rival, answer(spec, np.tile(prices, rival.size), np.repeat(rival, prices.size)))
        if more.size == rival.size:
            return rival
        rival = more
    return None
