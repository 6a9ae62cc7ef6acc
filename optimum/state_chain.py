"""The market as a Markov chain: the expected money of one period, and the probabilities of
the next states.

A state holds what a policy may look at (current price, reference price, units on hand, units sold
last, competitors' prices, regime), and a hidden regime. A period follows the events of the market,
not Bellman's equation, so that this module and the solvers check each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..envs import catalogue_of, expected_units
from ..pricing import MarketView, Policy
from ..scenarios import MarketSpec
from .problem import Array, Costs, demand_mass, most_demand
from .rival_replies import initial_prices, lowest_prices, prices_in_period

# Branches with a lower probability are dropped: a value changes by less than a billionth.
_NEGLIGIBLE_CHANCE = 1e-15
_MOST_BRANCHES = 5_000_000


class TooManyStates(Exception):
    """More states are reached than can be listed."""


def is_unlimited(spec: MarketSpec) -> bool:
    """Whether stock never runs out: money is then linear in units sold, and their mean is enough."""
    return bool(np.isinf(spec.stock.initial_units).all())


def sales_are_few(spec: MarketSpec) -> bool:
    """Whether the possible sales of a period can be listed: units of one product, or one unit of several."""
    single = spec.arrivals.process == "single" and len(spec.category_names) == 1
    return single or len(spec.products.names) == 1


@dataclass(frozen=True)
class States:
    """S states with their probabilities.

    Attributes:
        list_price: (S, N) current list price, currency per unit.
        reference_price: (S, N) currency per unit.
        on_hand: (S, N) units on hand; negative for units owed.
        last_units: (S, N) units sold in the period before.
        rival_price: (S, R) price of each competitor's offer, currency per unit.
        regime: (S,) index of the regime.
        weight: (S,) probability.
    """

    list_price: Array
    reference_price: Array
    on_hand: Array
    last_units: Array
    rival_price: Array
    regime: NDArray[np.intp]
    weight: Array

    @classmethod
    def initial(cls, spec: MarketSpec) -> States:
        """The first period: the prices before it, initial stock, and each possible regime."""
        units = np.floor(spec.stock.initial_units)
        rivals = initial_prices(spec)
        rows = (spec.initial_price, spec.initial_reference, units, 0 * spec.products.regular_price, rivals)
        return cls._of(rows, spec.regime_probabilities(1)[0])

    @classmethod
    def seen(cls, spec: MarketSpec, view: MarketView) -> States:
        """The possible states of the first market of a view: one per regime where policies do not observe it."""
        period = int(view.period[0])
        chance = spec.regime_probabilities(period + 1)[-1]
        if view.regime is not None:
            chance = np.eye(chance.size)[view.regime[0]]
        prices = np.zeros(0)
        if view.competitor_price is not None:
            prices = view.competitor_price[0, spec.competitor_product]
        rows = (view.list_price[0], view.reference_price[0], view.on_hand[0], view.last_units[0], prices)
        return cls._of(rows, chance)

    @classmethod
    def _of(cls, rows: tuple[NDArray, ...], chance: Array) -> States:
        """The same in each possible regime."""
        regime = np.flatnonzero(chance)
        tiled = (np.tile(row.astype(np.float64), (regime.size, 1)) for row in rows)
        return cls(*tiled, regime=regime, weight=chance[regime])

    def merged(self) -> States:
        """Each state once, with the total probability of its copies."""
        parts = (self.list_price, self.reference_price, self.on_hand, self.last_units, self.rival_price)
        code = np.zeros(self.weight.size, np.intp)
        for column in (*np.hstack(parts).T, self.regime):
            values, index = np.unique(column, return_inverse=True)
            if values.size > 1:
                code = np.unique(code * values.size + index, return_inverse=True)[1]
        first = np.unique(code, return_index=True)[1]
        weight = np.bincount(code, self.weight).astype(np.float64)
        return States(*(part[first] for part in parts), regime=self.regime[first], weight=weight)

    def view(self, spec: MarketSpec, period: int, kind: type[MarketView], assumed: MarketSpec) -> MarketView:
        """What a policy sees of them if it believes in the market `assumed`."""
        rivals = None if spec.competitors is None else lowest_prices(spec, self.rival_price).astype(np.float32)
        regime = self.regime if spec.regimes is not None and spec.regimes.observed else None
        none_ordered = np.zeros(self.on_hand.shape)
        parts = (self.list_price, self.reference_price, self.on_hand, none_ordered, self.last_units)
        rows = (part.astype(np.float32) for part in parts)
        return kind(
            catalogue_of(assumed), np.full(self.weight.size, period), *rows, competitor_price=rivals, regime=regime
        )


@dataclass(frozen=True)
class PolicyChoice:
    """What a policy does in S states, after the guardrails.

    Attributes:
        price: (S, N) list price, currency per unit.
        discount: (S, N, K) fraction of the list price, or None.
        order: (S, N) units.
    """

    price: Array
    discount: Array | None
    order: Array

    @classmethod
    def of(cls, spec: MarketSpec, policy: Policy, view: MarketView) -> PolicyChoice:
        """Evaluate the policy and apply the guardrails."""
        action = policy.act(view)
        allowed = spec.guardrails.apply(action, view)
        order = np.zeros(allowed.price.shape)
        discount = None
        if spec.stock.replenishment == "action" and action.order is not None:
            order = np.clip(np.round(action.order), 0, np.floor(spec.stock.max_order_units)).astype(np.float64)
        if spec.prices.max_discount > 0 and allowed.discount is not None:
            discount = allowed.discount.astype(np.float64)
        return cls(allowed.price.astype(np.float64), discount, order)


@dataclass(frozen=True)
class _Branches:
    """B possible courses of a period so far: initial state (B,), units on hand and sold (B, N), probability (B,)."""

    origin: NDArray[np.intp]
    on_hand: Array
    sold: Array
    weight: Array


@dataclass(frozen=True)
class Period:
    """One period of a market from S states under a policy's choice.

    Attributes:
        spec: The market.
        costs: Its costs.
        number: The period, from 0.
        now: The states.
        choice: What the policy does in them.
        keep_sales: Whether the states that follow hold the units sold. Where they need not and
            stock is unlimited, mean sales are enough.
    """

    spec: MarketSpec
    costs: Costs
    number: int
    now: States
    choice: PolicyChoice
    keep_sales: bool

    def run(self) -> tuple[float, States]:
        """The expected money, and the states of the next period. Raises TooManyStates."""
        now = self.now
        order = self.choice.order
        money = -float(now.weight @ (order @ self.costs.ordered + (order > 0) @ self.costs.order))
        branches = _Branches(np.arange(now.weight.size), self._on_sale, 0 * now.list_price, now.weight)
        rival_price = now.rival_price
        for rival_price in prices_in_period(self.spec, self.choice.price, now.list_price, now.rival_price):
            earned, branches = self._sell(branches, rival_price)
            money += earned
        if not is_unlimited(self.spec):
            kept = np.maximum(branches.on_hand, 0)
            owed = np.maximum(-branches.on_hand, 0)
            money -= float(branches.weight @ (kept @ self.costs.holding + owed @ self.costs.backlog))
        return money, self._next(branches, rival_price)

    @property
    def _on_sale(self) -> Array:
        """(S, N) units at the start of the period; customers of either half choose among what they find there."""
        return self.now.on_hand + self.choice.order

    def _sell(self, branches: _Branches, rival_price: Array) -> tuple[float, _Branches]:
        """Expected money of the customers of a period, or of half of it, and every possible outcome."""
        backlog = self.spec.stock.shortage == "backlog"
        mean, paid = self._wanted(
            branches, rival_price, available=None if backlog else self._on_sale[branches.origin] > 0
        )
        if is_unlimited(self.spec) and not self.keep_sales:
            row = np.arange(len(mean))
            demand = mean
            weight = branches.weight
        else:
            row, demand, weight = _outcomes(self.spec, mean, branches.weight)
        on_hand = branches.on_hand[row]
        sold = demand if backlog else np.minimum(demand, np.maximum(on_hand, 0))
        earned = (paid[row] - self.costs.sold) * sold - self.costs.lost * (demand - sold)
        after = _Branches(branches.origin[row], on_hand - sold, branches.sold[row] + sold, weight)
        return float(weight @ earned.sum(axis=1)), after

    def _wanted(self, branches: _Branches, rival_price: Array, available: NDArray | None) -> tuple[Array, Array]:
        """(B, N) mean demand, and the mean price paid for it.

        Customers are served in random order, so units sold have the same mean price
        as units demanded.
        """
        spec = self.spec
        o = branches.origin
        price = self.choice.price
        discount = None if self.choice.discount is None else self.choice.discount[o]
        given = {"reference": self.now.reference_price[o], "regime": self.now.regime[o], "discount": discount}
        rivals = None if spec.competitors is None else rival_price[o]
        units = expected_units(spec, self.number, price[o], rival_price=rivals, in_stock=available, lost=True, **given)
        mean = units.sum(axis=1)
        if discount is None:
            return mean, price[o]
        share = units / np.maximum(mean, 1e-300)[:, None, :]
        return mean, price[o] * (1 - (share * discount.swapaxes(1, 2)).sum(axis=1))

    def _next(self, branches: _Branches, rival_price: Array) -> States:
        spec = self.spec
        o = branches.origin
        reference = self.now.reference_price
        if spec.reference_price is not None:
            memory = spec.reference_price.memory
            reference = memory * reference + (1 - memory) * self.choice.price
        regime = self.now.regime[o]
        weight = branches.weight
        row = np.arange(o.size)
        if spec.regimes is not None:
            chance = weight[:, None] * spec.regimes.transition[regime]
            row, regime = np.nonzero(chance > _NEGLIGIBLE_CHANCE)
            weight = chance[row, regime]
        sold = branches.sold if self.keep_sales else 0 * branches.sold
        o = o[row]
        following = (self.choice.price[o], reference[o], branches.on_hand[row], sold[row], rival_price[o])
        return States(*following, regime=regime, weight=weight).merged()


def _outcomes(spec: MarketSpec, mean: Array, weight: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Every possible demand of each row (B, N): the row (B',), the demand (B', N) and its probability (B',)."""
    products = mean.shape[1]
    if mean.size * (most_demand(spec, mean) + 1) > _MOST_BRANCHES:
        raise TooManyStates
    if spec.arrivals.process == "single":
        mass = np.column_stack([1 - mean.sum(axis=1), mean])
        demand = np.vstack([np.zeros(products), np.eye(products)])
    else:
        mass = demand_mass(spec, mean[:, 0])
        demand = np.arange(mass.shape[1], dtype=np.float64)[:, None]
    chance = weight[:, None] * mass
    row, outcome = np.nonzero(chance > _NEGLIGIBLE_CHANCE)
    return row, demand[outcome], chance[row, outcome]
