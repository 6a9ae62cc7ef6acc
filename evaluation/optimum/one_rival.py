"""One product against one rival that answers every price by a rule without a memory.

The rival's price is the state. A price earns twice: in the first half of the period against the price that the rival
still has, in the second against its answer, which is what the next period opens with.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from ...envs import expected_units
from ...pricing import Action, MarketView
from ...scenarios import MarketSpec
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
from .rival_replies import answer, charged, one_answers, opening_prices

_MOST_PAIRS = 4_000_000
_MOST_PRICES = 1000


def covers(spec: MarketSpec) -> bool:
    """Whether the rival's price is the whole state: stock is unlimited and the rule remembers nothing."""
    return (
        one_answers(spec)
        and stock_settings(spec) <= {"lead_time_periods"}
        and sections_on(spec) <= {"competitors"}
        and prices_are_free(spec)
        and has_horizon(spec)
    )


@dataclass(frozen=True)
class RivalPrice:
    """A table of prices by period and the rival's price.

    rival: (B,) the rival's prices, rising. table: (T, B) currency per unit, or (1, B) for all periods.
    """

    rival: Array
    table: Array
    name: str = "optimum"

    def act(self, view: MarketView) -> Action:
        """Look up the price against the nearest of the rival's prices."""
        seen = view.list_price if view.competitor_price is None else view.competitor_price
        middles = (self.rival[1:] + self.rival[:-1]) / 2
        period = np.minimum(view.period, len(self.table) - 1)
        return Action(self.table[period, np.searchsorted(middles, seen[:, 0])].astype(np.float32)[:, None])


def solve(spec: MarketSpec) -> Optimum | None:
    """The optimum of a market that `covers` admits and whose rival has few prices, else None.

    Continuous prices are searched on a grid of a thousand.
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
        """Best value and price against each of the rival's prices, both (B,)."""
        worth = (money(period) + future[following]).reshape(shape)
        return worth.max(axis=1), prices[worth.argmax(axis=1)]

    values, table = optimise(spec, step, np.zeros(rival.size))
    opening = np.searchsorted(rival, opening_prices(spec)[0])
    return Optimum(float(values[opening]), method_of(spec), RivalPrice(rival, np.array(table)))


def _reachable(spec: MarketSpec, prices: Array) -> Array | None:
    """Prices that the rival may come to, rising, or None where there are too many."""
    rival = opening_prices(spec)
    while rival.size * prices.size <= _MOST_PAIRS:
        more = np.union1d(rival, answer(spec, np.tile(prices, rival.size), np.repeat(rival, prices.size)))
        if more.size == rival.size:
            return rival
        rival = more
    return None
