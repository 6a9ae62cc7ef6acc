"""State of a batch of markets between two steps.

E markets, N products, K segments.

The compiled loops need the markets last, (N, E); the properties show the arrays market by market,
(E, N), without copying.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from ..jit.math import inlined

Floats = NDArray[np.float32]
# Rows of `MarketState.clock` and of `MarketState.lanes`; orders on the way lie in the rows from
# PIPELINE on.
MARKET, EPISODE, PERIOD, REGIME = range(4)
LIST_PRICE, REFERENCE_PRICE, ON_HAND, LAST_UNITS, PIPELINE = range(5)
# Rows of `Outcome.money`.
UNITS, LOST, REVENUE, PROFIT = range(4)


@dataclass(frozen=True)
class StateLayout:
    """Rows of `MarketState.context`; a slice is empty if its section of the scenario is off.

    Attributes:
        loyalty: K rows, multiplier of a segment's arrivals.
        shock: C rows, logarithm of the demand shock.
        waiting: C * K rows, customers who wait.
        rival_price: R rows, currency per unit.
        rival_units: R rows, units in the last period.
        rival_memory: 2 R rows, recurrent state of learning rivals.
        past: H * N rows, list prices of the H periods before the current price was set, latest
            first, for price rules that look back.
        capacity: H rows, units left of the shared resources.
    """

    loyalty: slice
    shock: slice
    waiting: slice
    rival_price: slice
    rival_units: slice
    rival_memory: slice
    past: slice
    capacity: slice

    @classmethod
    def of(cls, spec: MarketSpec) -> StateLayout:
        """The rows that the scenario needs."""
        segments, categories, rivals = (spec.sizes[letter] for letter in "KCR")
        counts = {
            "loyalty": segments * (spec.loyalty is not None),
            "shock": categories * (spec.shocks is not None),
            "waiting": categories * segments * (spec.strategic is not None),
            "rival_price": rivals,
            "rival_units": rivals,
            "rival_memory": 2 * rivals,
            "past": spec.guardrails.past_periods * spec.sizes["N"],
            "capacity": spec.sizes["H"],
        }
        ends = np.cumsum(list(counts.values())).tolist()
        return cls(**{name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)})

    @property
    def ends(self) -> tuple[int, int, int, int, int, int, int, int]:
        """End of each part, in the order of the attributes."""
        parts = (self.loyalty, self.shock, self.waiting, self.rival_price, self.rival_units, self.rival_memory)
        return (*(part.stop for part in parts), self.past.stop, self.capacity.stop)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.capacity.stop


class TableLayout(NamedTuple):
    """End of each part of the table that a period fills, (rows, N, E).

    Row 0 is the list price; parts may be empty.

    After the last part there may be one more row, the charges of the difference rewards.

    Attributes:
        money: Units sold, units lost, revenue, profit.
        wanted: Stock on sale, mean units demanded.
        returned: Units returned.
        perished: Units perished.
        received: Units received.
        ordered: Units ordered, a row a supplier.
        segments: Units by segment, with personal prices.
        paid: Mean price paid over the drawn and over the expected units, with personal prices.
        chances: Purchase probability of each customer, where at most one comes at a time.
        promoted: 1 for products on promotion.
    """

    money: int
    wanted: int
    returned: int
    perished: int
    received: int
    ordered: int
    segments: int
    paid: int
    chances: int
    promoted: int

    @classmethod
    def of(
        cls,
        *,
        returned: bool,
        perished: bool,
        received: bool,
        ordered: int,
        personal: int,
        customers: int,
        promotions: bool,
    ) -> TableLayout:
        """The table for a market with these flows.

        Args:
            returned: Whether units may be returned.
            perished: Whether units may perish.
            received: Whether units may be received.
            ordered: Number of suppliers from which units may be ordered, or 0.
            personal: Number of segments with personal prices, or 0.
            customers: Number of single customers in a period, or 0.
            promotions: Whether there are promotions.
        """
        flows = (returned, perished, received, ordered)
        counts = (1 + 4, 2, *flows, personal, 2 * bool(personal), customers, promotions)
        return cls(*np.cumsum(counts).tolist())


class Shared(NamedTuple):
    """The parts of `MarketState.context` by name, see `StateLayout`."""

    loyalty: Floats
    shock: Floats
    waiting: Floats
    rival_price: Floats
    rival_units: Floats
    rival_memory: Floats
    past: Floats
    capacity: Floats


@inlined
def shared_rows(sections, context):
    """`Shared` views of the context, (rows, E)."""
    a, b, c, d, e, f, g, h = sections.ends
    rivals = (context[c:d], context[d:e], context[e:f])
    return Shared(context[:a], context[a:b], context[b:c], *rivals, context[f:g], context[g:h])


@dataclass(eq=False)
class MarketState:
    """State of E markets in three arrays, markets last; a copy saves them in mid-episode.

    Attributes:
        clock: (4, E) int64: number of the market (the key of its random numbers), episode, period,
            regime.
        lanes: (4 + L, N, E) float32, the state of each product: list price, reference price
            (currency per unit), units on hand, units sold in the last period, and L slots of units
            on order; orders of period t lie in slot t % L.
        context: (Q, E) float32, the state that products share, see `layout`.
        layout: Rows of the context.

    Example:
        >>> from repricer.envs import Market
        >>> state = Market("stationary-logit", num_markets=2).state
        >>> state.list_price.shape, state.period.tolist()
        ((2, 1), [0, 0])
    """

    clock: NDArray[np.int64]
    lanes: Floats
    context: Floats
    layout: StateLayout = field(repr=False)

    @property
    def market(self) -> NDArray[np.int64]:
        """(E,) number of each market."""
        return self.clock[MARKET]

    @property
    def episode(self) -> NDArray[np.int64]:
        """(E,) number of the episode, from 0."""
        return self.clock[EPISODE]

    @property
    def period(self) -> NDArray[np.int64]:
        """(E,) number of the period in its episode, from 0."""
        return self.clock[PERIOD]

    @property
    def regime(self) -> NDArray[np.int64]:
        """(E,) number of the current regime."""
        return self.clock[REGIME]

    @property
    def list_price(self) -> Floats:
        """(E, N) current list price, currency per unit."""
        return self.lanes[LIST_PRICE].T

    @property
    def reference_price(self) -> Floats:
        """(E, N) reference price of the customers, currency per unit."""
        return self.lanes[REFERENCE_PRICE].T

    @property
    def on_hand(self) -> Floats:
        """(E, N) units in stock; negative for units owed, where the scenario has a backlog."""
        return self.lanes[ON_HAND].T

    @property
    def last_units(self) -> Floats:
        """(E, N) units sold in the last period."""
        return self.lanes[LAST_UNITS].T

    @property
    def on_order(self) -> Floats:
        """(E, N) units ordered but not yet received."""
        return self.lanes[PIPELINE:].sum(axis=0).T

    @property
    def due(self) -> Floats:
        """(E, N, L - 1) units on order that arrive one period from now, two, … (orders placed so far)."""
        slots = self.lanes[PIPELINE:]
        ahead = (self.period + np.arange(1, len(slots))[:, None]) % len(slots)
        return np.take_along_axis(slots, ahead[:, None], axis=0).transpose(2, 1, 0)

    @property
    def loyalty(self) -> Floats:
        """(E, K) multiplier of a segment's arrivals; (E, 0) in a market without loyalty."""
        return self.context[self.layout.loyalty].T

    @property
    def waiting(self) -> Floats:
        """(E, C * K) customers who wait, category by category; (E, 0) if none do."""
        return self.context[self.layout.waiting].T

    @property
    def rival_price(self) -> Floats:
        """(E, R) prices of the rival offers, currency per unit."""
        return self.context[self.layout.rival_price].T

    @property
    def capacity(self) -> Floats:
        """(E, H) units left of the resources that products share; (E, 0) if they share none."""
        return self.context[self.layout.capacity].T

    def latest_prices(self, periods: int) -> Floats:
        """(P, N, E) list prices of at most `periods` latest periods, the current price first."""
        past = self.context[self.layout.past].reshape(-1, *self.lanes.shape[1:])
        return np.concatenate([self.lanes[LIST_PRICE][None], past[: periods - 1]])

    def arrays(self) -> dict[str, NDArray]:
        """Name to array, for saving; the last axis is the market."""
        return {"clock": self.clock, "lanes": self.lanes, "context": self.context}
