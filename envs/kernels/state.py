"""State of a batch of markets between two steps, and the outcome of a step.

E markets, N products, K segments.

The compiled loops need the markets last, (N, E); the properties show the arrays market by market,
(E, N), without copying.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from ...scenarios.planned_deals import planned_deals
from ..jit.compiling import inlined

Floats = NDArray[np.float32]
# Rows of `MarketState.clock` and of `MarketState.lanes`; orders on the way lie in the rows from
# PIPELINE on.
MARKET, EPISODE, PERIOD, REGIME = range(4)
LIST_PRICE, REFERENCE_PRICE, ON_HAND, LAST_UNITS, PIPELINE = range(5)
# Rows of `Results.money`.
UNITS, LOST, REVENUE, PROFIT = range(4)


_PARTS = "loyalty shock waiting rival_price rival_units rival_memory past capacity prior level"


class StateLayout(namedtuple("StateLayout", _PARTS)):
    """Rows of `MarketState.context`: slices, empty if the section of the scenario is off.

    Attributes:
        loyalty: K rows, multiplier of a segment's arrivals.
        shock: C rows, logarithm of the demand shock.
        waiting: C * K rows, customers who wait.
        rival_price: R rows, currency per unit.
        rival_units: R rows, units in the last period.
        rival_memory: 2 R rows, recurrent state of learning rivals.
        past: H * N rows, list prices of the H periods before the current price was set, latest
            first, for price rules that look back and for what is observed.
        capacity: H rows, units left of the shared resources.
        prior: N rows, the prior price that the list price is announced with as reduced, 0 where it is not; for the law
            of the European Union.
        level: N rows, level of the regular prices relative to the plan's, where a plan has deals.
    """

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
            "past": spec.past_periods * spec.sizes["N"],
            "capacity": spec.sizes["H"],
            "prior": spec.sizes["N"] * (spec.guardrails.law is not None and spec.guardrails.law.states_prior),
            "level": spec.sizes["N"] * (planned_deals(spec) is not None),
        }
        ends = np.cumsum(list(counts.values())).tolist()
        return cls(**{name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)})

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.level.stop


Shared = namedtuple("Shared", _PARTS)
"""The parts of `MarketState.context` by name, see `StateLayout`."""


@inlined
def shared_rows(ends, context):
    """`Shared` views of the context, (rows, E); ends: of each part."""
    a, b, c, d, e, f, g, h, i, j = ends
    rivals = (context[c:d], context[d:e], context[e:f])
    rules = (context[f:g], context[g:h], context[h:i])
    return Shared(context[:a], context[a:b], context[b:c], *rivals, *rules, context[i:j])


def _market_first(rows: Callable[[Any], NDArray], doc: str) -> Any:
    """A property that shows rows, whose markets are last, market by market."""
    return property(lambda own: rows(own).T, doc=doc)


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

    market = _market_first(lambda own: own.clock[MARKET], "(E,) number of each market.")
    episode = _market_first(lambda own: own.clock[EPISODE], "(E,) number of the episode, from 0.")
    period = _market_first(lambda own: own.clock[PERIOD], "(E,) number of the period in its episode, from 0.")
    regime = _market_first(lambda own: own.clock[REGIME], "(E,) number of the current regime.")
    list_price = _market_first(lambda own: own.lanes[LIST_PRICE], "(E, N) current list price, currency per unit.")
    reference_price = _market_first(
        lambda own: own.lanes[REFERENCE_PRICE], "(E, N) reference price of the customers, currency per unit."
    )
    on_hand = _market_first(
        lambda own: own.lanes[ON_HAND],
        "(E, N) units in stock; negative for units owed, where the scenario has a backlog.",
    )
    last_units = _market_first(lambda own: own.lanes[LAST_UNITS], "(E, N) units sold in the last period.")
    on_order = _market_first(lambda own: own.lanes[PIPELINE:].sum(axis=0), "(E, N) units ordered but not yet received.")

    @property
    def due(self) -> Floats:
        """(E, N, L - 1) units on order that arrive one period from now, two, … (orders placed so far)."""
        slots = self.lanes[PIPELINE:]
        ahead = (self.period + np.arange(1, len(slots))[:, None]) % len(slots)
        return np.take_along_axis(slots, ahead[:, None], axis=0).transpose(2, 1, 0)

    loyalty = _market_first(
        lambda own: own.context[own.layout.loyalty],
        "(E, K) multiplier of a segment's arrivals; (E, 0) in a market without loyalty.",
    )
    waiting = _market_first(
        lambda own: own.context[own.layout.waiting],
        "(E, C * K) customers who wait, category by category; (E, 0) if none do.",
    )
    rival_price = _market_first(
        lambda own: own.context[own.layout.rival_price], "(E, R) prices of the rival offers, currency per unit."
    )
    capacity = _market_first(
        lambda own: own.context[own.layout.capacity],
        "(E, H) units left of the resources that products share; (E, 0) if they share none.",
    )

    @property
    def prior_price(self) -> Floats:
        """(E, N) the prior price that the current price is announced with as reduced, NaN where it is not; (E, 0)
        where the law does not ask for it.
        """
        rows = self.context[self.layout.prior].T
        return np.where(rows > 0, rows, np.float32(np.nan))

    def latest_prices(self, periods: int) -> Floats:
        """(P, N, E) list prices of the latest `periods` periods, the current price first. Raises ValueError where the state
        keeps fewer.
        """
        past = self.context[self.layout.past].reshape(-1, *self.lanes.shape[1:])
        if periods > len(past) + 1:
            wanted = f"at most {len(past) + 1} latest prices can be observed"
            raise ValueError(f"{wanted}; got {periods}; let MarketSpec.past_periods count them")
        return np.concatenate([self.lanes[LIST_PRICE][None], past[: periods - 1]])

    def arrays(self) -> dict[str, NDArray]:
        """Name to array, for saving; the last axis is the market."""
        return {"clock": self.clock, "lanes": self.lanes, "context": self.context}


_RESULTS = """
price money stock wanted returned perished received ordered by_segment paid chances promoted taken baseline
trail shown runner_up rival_price rival_units displayed funded
"""


class Results(namedtuple("Results", _RESULTS)):
    """What a period fills; a part that the market does not have has no rows. S suppliers, R rival offers.

    Attributes:
        price: (N, E) list price, currency per unit.
        money: (4, N, E) units sold, units lost, revenue, profit.
        stock: (N, E) stock on sale, units.
        wanted: (N, E) mean units demanded.
        returned: (1, N, E) units returned.
        perished: (1, N, E) units that perished or were left at the end of a season.
        received: (1, N, E) units received.
        ordered: (S, N, E) units ordered.
        by_segment: (K, N, E) units by segment, with personal prices.
        paid: (2, N, E) mean price paid over the drawn and over the expected units, with personal prices.
        chances: (H, N, E) purchase probability of each customer, where at most one comes at a time.
        promoted: (N, E) 1 for products on promotion.
        taken: (N, E) charges of the difference rewards, where asked for.
        baseline: (N, E) their baselines.
        trail: (N, E) bit i is set where the i-th price rule changed the price or a discount.
        shown: (K, E) product in each segment's slot, -1 for none.
        runner_up: (K, E) the second best.
        rival_price: (R, E) prices of the rival offers, currency per unit.
        rival_units: (R, E) their units, expected, or drawn for rivals that learn.
        displayed: (N, E) share of stores with a display or mailer beyond the planned one, where displays go with deals.
        funded: (N, E) what the supplier pays for a unit, currency, where it does.
    """


@dataclass(eq=False)
class Outcome:
    """Outcome of one period; the properties are (E, N) float32 unless stated otherwise.

    Attributes:
        period: (E,) its number.
        results: What the period filled, markets last; the properties show it market by market.
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
    results: Results
    rival_cost: Floats
    stated: Floats | None
    expect: Callable[[Outcome], Floats] = field(repr=False)

    @functools.cached_property
    def expected_money(self) -> Floats:
        """(2, N, E) expected revenue and profit given action and state."""
        return self.expect(self)

    shown = _market_first(
        lambda own: own.results.shown,
        "(E, K) product in each segment's slot, -1 for none; (E, 0) in a market without slots.",
    )

    @property
    def promoted(self) -> NDArray[np.bool_]:
        """(E, N) whether the product was on promotion."""
        return self._or_zero(self.results.promoted) > 0

    @property
    def segment_units(self) -> Floats | None:
        """(E, N, K) units by segment, or None without personal discounts."""
        units = self.results.by_segment
        return units.transpose(2, 1, 0) if len(units) else None

    trail = _market_first(
        lambda own: own.results.trail, "(E, N) bit i is set where the i-th price rule changed the price or a discount."
    )

    @property
    def propensity(self) -> Floats | None:
        """(E, N) propensity that the policy stated, or None."""
        return None if self.stated is None else self.stated.T

    rival_price = _market_first(
        lambda own: own.results.rival_price,
        "(E, R) prices of the rival offers at the end of the period, currency per unit.",
    )
    rival_units = _market_first(lambda own: own.results.rival_units, "(E, R) units sold of the rival offers.")

    @property
    def rival_profit(self) -> Floats:
        """(E, R) profit of the rival offers, currency."""
        return ((self.results.rival_price - self.rival_cost) * self.results.rival_units).T

    list_price = _market_first(
        lambda own: own.results.price, "List price, before personal discount, currency per unit."
    )

    @property
    def paid(self) -> Floats:
        """Mean price paid, currency per unit."""
        paid = self.results.paid
        return (paid[0] if len(paid) else self.results.price).T

    units = _market_first(lambda own: own.results.money[UNITS], "Units sold.")
    lost = _market_first(lambda own: own.results.money[LOST], "Units demanded beyond stock.")
    revenue = _market_first(lambda own: own.results.money[REVENUE], "Drawn revenue, currency.")
    profit = _market_first(lambda own: own.results.money[PROFIT], "Drawn profit, currency.")
    expected_revenue = _market_first(
        lambda own: own.expected_money[0], "Expected revenue given action and state, currency."
    )
    expected_profit = _market_first(
        lambda own: own.expected_money[1], "Expected profit given action and state, currency."
    )

    @property
    def charge(self) -> Floats:
        """Charge of the difference rewards, currency: what the product took from others, or 0.

        See `kernels/difference_rewards.py`.
        """
        return self._or_zero(self.results.taken)

    @property
    def baseline(self) -> Floats:
        """Baseline of the difference rewards, currency: what the product would have earned in its counterfactual, or 0."""
        return self._or_zero(self.results.baseline)

    returned = _market_first(lambda own: own.results.returned.sum(axis=0), "Units returned.")
    perished = _market_first(
        lambda own: own.results.perished.sum(axis=0), "Units that perished or were left at the end of a season."
    )
    received = _market_first(
        lambda own: own.results.received.sum(axis=0),
        "Units delivered: before the sales if the lead time is 0, else for the next period.",
    )
    ordered = _market_first(
        lambda own: own.results.ordered.sum(axis=0), "Units ordered, from both suppliers where there are two."
    )
    express = _market_first(
        lambda own: own.results.ordered[1:].sum(axis=0), "Units ordered from the supplier that delivers sooner."
    )

    def _or_zero(self, rows: Floats) -> Floats:
        return rows.T if len(rows) else np.zeros_like(self.units)
