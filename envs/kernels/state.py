"""What a batch of markets is between two steps, and what one step brings. E markets, N products, K segments.

Arrays lie product by product with the markets side by side, (N, E), as the compiled loops want them; the properties show
them market by market, (E, N), without copying.
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
# Rows of `MarketState.clock` and of `MarketState.lanes`; what is ordered lies in the lane rows behind.
MARKET, EPISODE, PERIOD, REGIME = range(4)
LIST_PRICE, REFERENCE_PRICE, ON_HAND, LAST_UNITS, PIPELINE = range(5)
# Rows of `Outcome.money`.
UNITS, LOST, REVENUE, PROFIT = range(4)


@dataclass(frozen=True)
class StateLayout:
    """Which rows of `MarketState.context` hold what; slices are empty where a section is off.

    loyalty: K rows. shock: C rows, logarithms. waiting: C * K rows, customers. rival_price: R rows, currency per unit.
    rival_units: R rows, last period. rival_memory: 2 R rows. past: H * N rows, list prices of the H periods before the one
    that set the price in force, the latest first, where the price rules look back.
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
        """The rows that this market needs."""
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
        """Where each part ends, in this order."""
        parts = (self.loyalty, self.shock, self.waiting, self.rival_price, self.rival_units, self.rival_memory)
        return (*(part.stop for part in parts), self.past.stop)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.past.stop


class TableLayout(NamedTuple):
    """Where the parts end of the table that a period fills, (rows, N, E), behind the list price.

    money: units sold and lost, revenue, profit. wanted: stock on sale, mean units wanted. returned, perished, received, ordered:
    units, where any can be. segments: units by segment, where prices are personal. paid: mean price paid over the units drawn
    and over those expected, where they are. chances: that each of few customers buys, where no more come. promoted: whether
    a product is, where any can be. One more row holds the charges where they are wanted.
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
        """With such flows, so many segments with personal prices, so many customers where no more come, and promotions."""
        flows = (returned, perished, received, ordered)
        counts = (1 + 4, 2, *flows, personal, 2 * bool(personal), customers, promotions)
        return cls(*np.cumsum(counts).tolist())


class Shared(NamedTuple):
    """The rows of `MarketState.context` by name, see `StateLayout`."""

    loyalty: Floats
    shock: Floats
    waiting: Floats
    rival_price: Floats
    rival_units: Floats
    rival_memory: Floats
    past: Floats


@inlined
def shared_rows(sections, context):
    """The parts of the context."""
    a, b, c, d, e, f, g = sections.ends
    rivals = (context[c:d], context[d:e], context[e:f])
    return Shared(context[:a], context[a:b], context[b:c], *rivals, context[f:g])


@dataclass(eq=False)
class MarketState:
    """Three arrays, markets last; copying them saves the markets in mid-episode.

    clock: (4, E) int64, the market's own number, which keys its randomness, episode, period and regime. lanes: (4 + L, N, E)
    float32: list price, reference price (currency per unit), on hand, units sold last, and L slots of units ordered, slot
    t % L in period t. context: (Q, E) float32, what `layout` says.
    """

    clock: NDArray[np.int64]
    lanes: Floats
    context: Floats
    layout: StateLayout = field(repr=False)

    @property
    def market(self) -> NDArray[np.int64]:
        """(E,) the markets' own numbers."""
        return self.clock[MARKET]

    @property
    def episode(self) -> NDArray[np.int64]:
        """(E,) episodes that went before."""
        return self.clock[EPISODE]

    @property
    def period(self) -> NDArray[np.int64]:
        """(E,) periods that went before in this episode."""
        return self.clock[PERIOD]

    @property
    def regime(self) -> NDArray[np.int64]:
        """(E,) state of the market."""
        return self.clock[REGIME]

    @property
    def list_price(self) -> Floats:
        """(E, N) price in force, currency per unit."""
        return self.lanes[LIST_PRICE].T

    @property
    def reference_price(self) -> Floats:
        """(E, N) what customers remember, currency per unit."""
        return self.lanes[REFERENCE_PRICE].T

    @property
    def on_hand(self) -> Floats:
        """(E, N) units; below zero what is owed, where the scenario has a backlog."""
        return self.lanes[ON_HAND].T

    @property
    def last_units(self) -> Floats:
        """(E, N) units sold in the period before."""
        return self.lanes[LAST_UNITS].T

    @property
    def on_order(self) -> Floats:
        """(E, N) units on the way."""
        return self.lanes[PIPELINE:].sum(axis=0).T

    @property
    def loyalty(self) -> Floats:
        """(E, K) multiplier of a segment's arrivals; (E, 0) where it does not move."""
        return self.context[self.layout.loyalty].T

    @property
    def waiting(self) -> Floats:
        """(E, C * K) customers who wait, category by category; (E, 0) where nobody does."""
        return self.context[self.layout.waiting].T

    @property
    def rival_price(self) -> Floats:
        """(E, R) prices of the rival offers, currency per unit."""
        return self.context[self.layout.rival_price].T

    def latest_prices(self, periods: int) -> Floats:
        """(P, N, E) list prices of the latest periods, the price in force first; as many as are remembered."""
        past = self.context[self.layout.past].reshape(-1, *self.lanes.shape[1:])
        return np.concatenate([self.lanes[LIST_PRICE][None], past[: periods - 1]])

    def arrays(self) -> dict[str, NDArray]:
        """Name to array, for saving; the last axis is the market."""
        return {"clock": self.clock, "lanes": self.lanes, "context": self.context}


@dataclass(eq=False)
class Outcome:
    """What one period brought; the properties are (E, N) float32 unless said.

    period: (E,) its number. table: (rows, N, E), see layout. rules: (N, E) uint16, what the guardrails changed. slots: (2, K,
    E) product shown and runner-up, or (2, 0, E). offers: (2, R, E) prices and units (expected, or drawn where someone learns
    from them) of the rival offers; rival_cost: (R, 1) their unit costs. stated: (N, E) or None, the policy's propensity.
    expect: works out the expected money, (2, N, E), from the rows; nobody pays for it who does not ask.
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
        """(4, N, E) units, units lost, revenue and profit."""
        return self.table[1 : self.layout.money]

    @functools.cached_property
    def expected_money(self) -> Floats:
        """(2, N, E) revenue and profit, mean given action and state."""
        return self.expect(self)

    @property
    def shown(self) -> NDArray[np.int64]:
        """(E, K) product in each segment's slot, -1 for none; (E, 0) where there are no slots."""
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
        """(E, N) bit i set where the i-th of the price rules changed the price or a discount."""
        return self.rules.T

    @property
    def propensity(self) -> Floats | None:
        """(E, N) as the policy stated it, or None."""
        return None if self.stated is None else self.stated.T

    @property
    def rival_price(self) -> Floats:
        """(E, R) currency per unit, as they stand at the period's end."""
        return self.offers[0].T

    @property
    def rival_units(self) -> Floats:
        """(E, R) units of the rival offers."""
        return self.offers[1].T

    @property
    def rival_profit(self) -> Floats:
        """(E, R) currency."""
        return ((self.offers[0] - self.rival_cost) * self.offers[1]).T

    @property
    def list_price(self) -> Floats:
        """Currency per unit, before personal discount."""
        return self.table[0].T

    @property
    def paid(self) -> Floats:
        """Currency per unit, mean over those who bought."""
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
        """Currency, as drawn."""
        return self.table[1 + REVENUE].T

    @property
    def profit(self) -> Floats:
        """Currency, as drawn."""
        return self.table[1 + PROFIT].T

    @property
    def expected_revenue(self) -> Floats:
        """Currency, mean given action and state, before the draw."""
        return self.expected_money[0].T

    @property
    def expected_profit(self) -> Floats:
        """Currency, mean given action and state, before the draw."""
        return self.expected_money[1].T

    @property
    def charge(self) -> Floats:
        """Currency that the product's price, discounts and slot took from the others; zero where nobody asked."""
        last = self.layout.promoted
        return self.table[last].T if len(self.table) > last else np.zeros_like(self.units)

    @property
    def returned(self) -> Floats:
        """Units that came back."""
        return self._flow(self.layout.wanted, self.layout.returned)

    @property
    def perished(self) -> Floats:
        """Units that perished, or were left at the end of a season."""
        return self._flow(self.layout.returned, self.layout.perished)

    @property
    def received(self) -> Floats:
        """Units delivered, before the sales (lead time 0) or for the next period."""
        return self._flow(self.layout.perished, self.layout.received)

    @property
    def ordered(self) -> Floats:
        """Units ordered."""
        return self._flow(self.layout.received, self.layout.ordered)

    def _flow(self, row: int, end: int) -> Floats:
        return self.table[row].T if end > row else np.zeros_like(self.units)
