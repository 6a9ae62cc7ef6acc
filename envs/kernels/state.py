"""State of a batch of markets between two steps, and the outcome of a step.

E markets, N products, K segments.

The compiled loops need the markets last, (N, E); the properties show the arrays market by market,
(E, N), without copying.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
    """

    loyalty: slice
    shock: slice
    waiting: slice
    rival_price: slice
    rival_units: slice
    rival_memory: slice
    past: slice

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
        }
        ends = np.cumsum(list(counts.values())).tolist()
        return cls(**{name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)})

    @property
    def ends(self) -> tuple[int, int, int, int, int, int, int]:
        """End of each part, in the order of the attributes."""
        parts = (self.loyalty, self.shock, self.waiting, self.rival_price, self.rival_units, self.rival_memory)
        return (*(part.stop for part in parts), self.past.stop)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.past.stop


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
        ordered: Units ordered.
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
        ordered: bool,
        personal: int,
        customers: int,
        promotions: bool,
    ) -> TableLayout:
        """The table for a market with these flows.

        Args:
            returned: Whether units may be returned.
            perished: Whether units may perish.
            received: Whether units may be received.
            ordered: Whether units may be ordered.
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


@inlined
def shared_rows(sections, context):
    """`Shared` views of the context, (rows, E)."""
    a, b, c, d, e, f, g = sections.ends
    rivals = (context[c:d], context[d:e], context[e:f])
    return Shared(context[:a], context[a:b], context[b:c], *rivals, context[f:g])


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

    def latest_prices(self, periods: int) -> Floats:
        """(P, N, E) list prices of at most `periods` latest periods, the current price first."""
        past = self.context[self.layout.past].reshape(-1, *self.lanes.shape[1:])
        return np.concatenate([self.lanes[LIST_PRICE][None], past[: periods - 1]])

    def arrays(self) -> dict[str, NDArray]:
        """Name to array, for saving; the last axis is the market."""
        return {"clock": self.clock, "lanes": self.lanes, "context": self.context}


@dataclass(eq=False)
class Outcome:
    """Outcome of one period; the properties are (E, N) float32 unless stated otherwise.

    Attributes:
        period: (E,) its number.
        table: (rows, N, E), see `layout`.
        layout: Rows of the table.
        rules: (N, E) uint16, which price rules changed the price.
        slots: (2, K, E) product shown and runner-up, or (2, 0, E).
        offers: (2, R, E) prices and units of the rival offers; the units are expected, or drawn for
            rivals that learn.
        rival_cost: (R, 1) unit costs of the rival offers.
        stated: (N, E) the policy's propensity, or None.
        expect: Computes the expected money, (2, N, E), on demand.

    Example:
        >>> from repricer.envs import Market
        >>> from repricer.pricing import Action
        >>> market = Market("stationary-logit", num_markets=2)
        >>> outcome = market.step(Action(price=market.view.list_price))
        >>> outcome.revenue.shape, outcome.expected_revenue.shape
        ((2, 1), (2, 1))
    """

    period: NDArray[np.int64]
    table: Floats
    layout: TableLayout
    rules: NDArray[np.uint16]
    slots: NDArray[np.int64]
    offers: Floats
    rival_cost: Floats
    stated: Floats | None
    expect: Callable[[Outcome], Floats] = field(repr=False)

    @property
    def money(self) -> Floats:
        """(4, N, E) units sold, units lost, revenue and profit."""
        return self.table[1 : self.layout.money]

    @functools.cached_property
    def expected_money(self) -> Floats:
        """(2, N, E) expected revenue and profit given action and state."""
        return self.expect(self)

    @property
    def shown(self) -> NDArray[np.int64]:
        """(E, K) product in each segment's slot, -1 for none; (E, 0) in a market without slots."""
        return self.slots[0].T

    @property
    def promoted(self) -> NDArray[np.bool_]:
        """(E, N) whether the product was on promotion."""
        ends = self.layout
        if ends.promoted == ends.chances:
            return np.zeros(self.list_price.shape, np.bool_)
        return self.table[ends.chances].T > 0

    @property
    def segment_units(self) -> Floats | None:
        """(E, N, K) units by segment, or None without personal discounts."""
        units = self.table[self.layout.ordered : self.layout.segments]
        return units.transpose(2, 1, 0) if len(units) else None

    @property
    def trail(self) -> NDArray[np.uint16]:
        """(E, N) bit i is set where the i-th price rule changed the price or a discount."""
        return self.rules.T

    @property
    def propensity(self) -> Floats | None:
        """(E, N) propensity that the policy stated, or None."""
        return None if self.stated is None else self.stated.T

    @property
    def rival_price(self) -> Floats:
        """(E, R) prices of the rival offers at the end of the period, currency per unit."""
        return self.offers[0].T

    @property
    def rival_units(self) -> Floats:
        """(E, R) units sold of the rival offers."""
        return self.offers[1].T

    @property
    def rival_profit(self) -> Floats:
        """(E, R) profit of the rival offers, currency."""
        return ((self.offers[0] - self.rival_cost) * self.offers[1]).T

    @property
    def list_price(self) -> Floats:
        """List price, before personal discount, currency per unit."""
        return self.table[0].T

    @property
    def paid(self) -> Floats:
        """Mean price paid, currency per unit."""
        ends = self.layout
        return self.table[ends.segments if ends.paid > ends.segments else 0].T

    @property
    def units(self) -> Floats:
        """Units sold."""
        return self.table[1 + UNITS].T

    @property
    def lost(self) -> Floats:
        """Units demanded beyond stock."""
        return self.table[1 + LOST].T

    @property
    def revenue(self) -> Floats:
        """Drawn revenue, currency."""
        return self.table[1 + REVENUE].T

    @property
    def profit(self) -> Floats:
        """Drawn profit, currency."""
        return self.table[1 + PROFIT].T

    @property
    def expected_revenue(self) -> Floats:
        """Expected revenue given action and state, currency."""
        return self.expected_money[0].T

    @property
    def expected_profit(self) -> Floats:
        """Expected profit given action and state, currency."""
        return self.expected_money[1].T

    @property
    def charge(self) -> Floats:
        """Charge of the difference rewards, currency: what the product took from others, or 0.

        See `kernels/difference_rewards.py`.
        """
        last = self.layout.promoted
        return self.table[last].T if len(self.table) > last else np.zeros_like(self.units)

    @property
    def returned(self) -> Floats:
        """Units returned."""
        return self._flow(self.layout.wanted, self.layout.returned)

    @property
    def perished(self) -> Floats:
        """Units that perished or were left at the end of a season."""
        return self._flow(self.layout.returned, self.layout.perished)

    @property
    def received(self) -> Floats:
        """Units delivered: before the sales if the lead time is 0, else for the next period."""
        return self._flow(self.layout.perished, self.layout.received)

    @property
    def ordered(self) -> Floats:
        """Units ordered."""
        return self._flow(self.layout.received, self.layout.ordered)

    def _flow(self, row: int, end: int) -> Floats:
        return self.table[row].T if end > row else np.zeros_like(self.units)
