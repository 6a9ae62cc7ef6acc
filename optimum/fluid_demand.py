"""The best money from customers when every unit of stock has a dual value: the building block of
the fluid bound.

Every effect of the market takes its best case: reference prices are at their maximum, competitors
at their ceiling (at their price, if they never move), loyalty as high as the lowest prices could
bring it, every product is promoted at no cost, each segment is shown the best product of each
category, and strategic customers come back as long as that pays. Shocks and overdispersion have a
mean of one and do not matter. Each logit segment has prices of its own.
"""

from __future__ import annotations

import functools

import numpy as np

from ..envs import expected_units
from ..pricing import choice_shares
from ..scenarios import MarketSpec, choice_model
from ..scenarios.sections import SATURATING
from .logit import best_price, linear_and_log
from .nested_logit import NestedCustomer
from .problem import Array, Costs, cycle_periods, is_infinite_horizon, is_stationary, price_grid, sections_on
from .rival_replies import all_stay, initial_prices

_CURVE_PRICES = 2001
_VALUE_HALVINGS = 45
# Families whose demand is convex in the price, as long as not everybody buys.
_CONVEX = ("mnl", "exponential", "linear", "constant-elasticity")
_EXCESS_TOLERANCE = 1e-12
# What is divided by is at least this, where late money counts nothing or all units come back.
_LEAST_DIVISOR = 1e-200
# Above this utility exp would overflow.
_HIGHEST_UTILITY = 500.0


def demand_of(spec: MarketSpec) -> FluidDemand | None:
    """The fluid demand, or None for a demand family that it does not cover, and where prices hold VAT."""
    if spec.products.vat.any():
        return None
    logit = spec.demand.family == "mnl"
    if logit:
        # `_Logit` lets each segment pay any price of its own. So does the market where prices are personal, or where
        # they are continuous and there is a single segment.
        personal = spec.prices.max_discount > 0
        if personal or (spec.sizes["K"] == 1 and spec.guardrails.allowed_prices() is None):
            return _Logit(spec)
    plain = sections_on(spec) <= {"regimes", "reference_price", "competitors", "shocks", "returns", "express"}
    # With a gain below zero, demand is not highest at the highest reference price.
    gains = spec.reference_price is None or bool((spec.reference_price.gain >= 0).all())
    one_product_each = np.bincount(spec.category_index).max() == 1
    if plain and gains and one_product_each:
        return _Priced(spec)
    if spec.demand.family == "nested-logit" and sections_on(spec) <= {"capacity"}:
        return _Nested(spec)
    return _Logit(spec) if logit else None


class FluidDemand:
    """The demand of a market in the fluid problem. What all kinds share: discounting, costs, regimes, returns, and
    reference prices at their maximum.
    """

    def __init__(self, spec: MarketSpec) -> None:
        self.spec = spec
        self.periods = int(spec.market.horizon_periods)
        self.cycle = cycle_periods(spec) if is_infinite_horizon(spec) else 0
        costs = Costs.of(spec)
        backlog = spec.stock.shortage == "backlog"
        orders = spec.stock.replenishment != "none" and not backlog
        self.cost = costs.sold + (costs.ordered if orders else 0)
        self.kept = np.maximum(1 - (0.0 if spec.returns is None else spec.returns.probability), _LEAST_DIVISOR)
        rules = spec.guardrails
        # Prices paid lie between the floor after a discount and the highest list price.
        self.low = (rules.paid_low if spec.prices.max_discount > 0 else rules.low).astype(np.float64)
        self.high = rules.high.astype(np.float64)
        if rules.follows_plan.any():
            # A price that follows the plan keeps no bound.
            self.low = np.where(rules.follows_plan, np.fmin(self.low, rules.frozen_rows.min(axis=0)), self.low)
            self.high = np.where(rules.follows_plan, np.fmax(self.high, rules.frozen_rows.max(axis=0)), self.high)
        self.reference = np.maximum(spec.products.regular_price, self.high)
        self.regimes = max(spec.sizes["Z"], 1)

    def discounting(self, period: int) -> tuple[float, float]:
        """The discount factor of a period and its weight in customers; one of the last cycle of an infinite
        horizon counts for all later ones that are like it.
        """
        factor = self.spec.market.discount_factor
        again = factor**self.cycle if period >= self.periods - self.cycle else 0.0
        return max(factor**period, _LEAST_DIVISOR), self.spec.visits / (1 - again)

    @functools.cached_property
    def chances(self) -> Array:
        """(T, Z) probability of each regime in each period; in the last cycle of an infinite horizon, its discounted mean
        over all later periods that are like it.
        """
        spec = self.spec
        chances = self.spec.regime_probabilities(self.periods)
        if spec.regimes is not None and self.cycle:
            factor = spec.market.discount_factor**self.cycle
            last = slice(self.periods - self.cycle, None)
            stays = np.eye(self.regimes) - factor * np.linalg.matrix_power(spec.regimes.transition, self.cycle)
            chances[last] = (1 - factor) * np.linalg.solve(stays.T, chances[last].T).T
        return chances

    @functools.cached_property
    def rival_price(self) -> Array | None:
        """(R,) competitors' prices in the best case."""
        if self.spec.competitors is None:
            return None
        return initial_prices(self.spec) if all_stay(self.spec) else self.spec.competitors.ceiling

    def money(self, value: Array, first: int) -> tuple[float, Array]:
        """The most money, less the dual value of the units sold, that P periods can bring.

        Args:
            value: (P, N) dual value of a unit sold in each period, discounted to
                the episode's start.
            first: The first of the periods.

        Returns:
            The money, discounted to the episode's start, and the units sold (N,).
        """
        total = 0.0
        sold = np.zeros(value.shape[1])
        known = {}
        stationary = is_stationary(self.spec)
        for t, row in enumerate(value, start=first):
            factor, times = self.discounting(t)
            kind = (0 if stationary else t, (row / factor).tobytes())
            if kind not in known:
                known[kind] = self.best(kind[0], row / factor)
            money, units = known[kind]
            weight = self.chances[t] * times
            total += factor * float(weight @ money)
            sold += weight @ units
        return total, sold

    def best(self, period: int, value: Array) -> tuple[Array, Array]:
        """By regime, the most money of a period (Z,) and the units sold for it (Z, N)."""
        raise NotImplementedError


class _Priced(FluidDemand):
    """Categories of one product: every price is tried, one for all segments unless there
    are personal prices.

    Where prices are continuous, demand between two prices of a grid is taken as what it cannot exceed: their chord, as
    it is convex between the prices up to which everybody of a segment buys (but for a logit's share above one half,
    where the chord is short by the square of a step), and in the other families demand at the lower one.
    """

    def __init__(self, spec: MarketSpec) -> None:
        super().__init__(spec)
        self.continuous = spec.prices.max_discount > 0 or spec.guardrails.allowed_prices() is None
        self.convex = spec.demand.family in _CONVEX and not spec.stocks_up
        if self.continuous:
            self.price = np.geomspace(self.low, self.high, _CURVE_PRICES)
            return
        grids = [price_grid(spec, n) for n in range(spec.sizes["N"])]
        longest = max(grid.size for grid in grids)
        # Shorter grids are padded with their last price.
        self.price = np.stack([np.pad(g, (0, longest - g.size), mode="edge") for g in grids], axis=1)

    def _at(self, period: int, regime: int, price: Array) -> Array:
        """(G, K, N) mean units at these prices (G, N)."""
        given = {"reference": self.reference, "regime": regime, "rival_price": self.rival_price}
        return expected_units(self.spec, period, price, **given)

    @functools.lru_cache(maxsize=256)  # noqa: B019  as many as a season has periods, for a short-lived object
    def _units(self, period: int, regime: int) -> tuple[Array, Array]:
        """(G, N) prices and (G, K, N) units at them, (G, 1, N) where all segments pay the same."""
        price = self.price
        if self.continuous:
            price = np.sort(np.vstack([price, self._everybody_buys(period, regime)]), axis=0)
        units = self._at(period, regime, price)
        return price, units if self.spec.prices.max_discount > 0 else units.sum(axis=1, keepdims=True)

    def _everybody_buys(self, period: int, regime: int) -> Array:
        """(K, N) highest prices at which a segment buys as much as at the lowest price."""
        segments = np.arange(self.spec.sizes["K"])
        low, high = (np.tile(bound, (segments.size, 1)) for bound in (self.low, self.high))
        most = self._at(period, regime, low)[segments, segments]
        for _ in range(_VALUE_HALVINGS):
            middle = (low + high) / 2
            all_buy = self._at(period, regime, middle)[segments, segments] >= most
            low = np.where(all_buy, middle, low)
            high = np.where(all_buy, high, middle)
        return low

    def best(self, period: int, value: Array) -> tuple[Array, Array]:
        """See `FluidDemand`."""
        money = np.zeros(self.regimes)
        sold = np.zeros((self.regimes, value.size))
        for z in range(self.regimes):
            price, units = self._units(period, z)
            price, units = self._best_between(price[:, None], units * self.kept, self.cost + value)
            gain = (price - self.cost - value) * units
            best = gain.argmax(axis=0)
            most = gain.max(axis=0)
            # No unit has to be sold at a loss: a product that is sold out does not sell.
            taken = np.where(most > 0, np.take_along_axis(units, best[None], axis=0)[0], 0)
            money[z] = np.maximum(most, 0).sum()
            sold[z] = taken.sum(axis=0)
        return money, sold

    def _best_between(self, price: Array, units: Array, cost: Array) -> tuple[Array, Array]:
        """The best price of each step of the grid, and the most units at it; the grid itself where it holds all prices."""
        if not self.continuous or len(price) < 2:
            return price, units
        width = np.diff(price, axis=0)
        left = units[:-1]
        if not self.convex:
            return price[1:], left
        fall = (left - units[1:]) / np.maximum(width, _LEAST_DIVISOR)
        # (price - cost) times the chord is a parabola.
        further = (left / np.maximum(fall, _LEAST_DIVISOR) - (price[:-1] - cost)) / 2
        further = np.clip(further, 0, width)
        return price[:-1] + further, left - fall * further


class _Nested(FluidDemand):
    """Nested logit in a market without further sections: each segment's best prices."""

    def best(self, period: int, value: Array) -> tuple[Array, Array]:
        """See `FluidDemand`."""
        arrivals = self.spec.arrivals
        total = 0.0
        sold = np.zeros(value.size)
        for c, k in np.ndindex(self.spec.sizes["C"], self.spec.sizes["K"]):
            products = np.flatnonzero(self.spec.category_index == c)
            customer = NestedCustomer.of(self.spec, period, k, products, self.low)
            _, money, share = customer.best((self.cost + value)[products])
            customers = arrivals.rate[period, c] * arrivals.segment_share[c, k]
            total += customers * money
            sold[products] += customers * share
        # There are no regimes: one row.
        return np.array([total]), sold[None]


class _Logit(FluidDemand):
    """Multinomial logit: each segment's best prices by Newton's method on the expected money
    of a customer.

    At the optimum the money theta satisfies theta * outside = sum of (price - cost - theta) *
    weight over the products, each at the price that is best for it (see `logit`); a product whose
    term is negative is not offered.
    """

    def __init__(self, spec: MarketSpec) -> None:
        super().__init__(spec)
        self.member = np.eye(spec.sizes["C"])[spec.category_index]  # (N, C)
        strategic = spec.strategic
        segments = spec.sizes["K"]
        share = np.zeros(segments) if strategic is None else strategic.share
        # Customers who never wait, and after them those who may.
        self.who = np.tile(np.arange(segments), 1 if strategic is None else 2)
        self.part = 1 - share if strategic is None else np.concatenate([1 - share, share])
        self.patience = np.zeros(segments)
        if strategic is not None:
            self.patience = np.concatenate([self.patience, strategic.patience])
        if (remembered := spec.reference_price) is not None:
            # A purchase is of as many units as at the lowest price; `utility` takes off what they are fewer.
            self.kept = self.kept * np.exp(remembered.units_gain * choice_model(spec).gap(self.low, self.reference))

    @functools.cached_property
    def loyalty(self) -> Array:
        """(T, K) highest multiplier of arrivals that can be reached."""
        spec = self.spec
        loyal = self.spec.loyalty
        if loyal is None:
            return np.ones((self.periods, spec.sizes["K"]))
        cut = np.log(spec.products.regular_price / self.low).max()
        goal = np.exp(loyal.price_effect * max(cut, 0))
        rows = [np.ones(spec.sizes["K"])]
        for _ in range(self.periods - 1):
            rows.append(np.clip(loyal.memory * rows[-1] + (1 - loyal.memory) * goal, loyal.low, loyal.high))
        rows[self.periods - self.cycle :] = [np.full(spec.sizes["K"], loyal.high)] * self.cycle
        return np.array(rows)

    def customers(self, period: int) -> Array:
        """(Z, K', C) mean customers of a period by regime."""
        spec = self.spec
        busy = np.ones(1) if spec.regimes is None else spec.regimes.arrivals
        mean = spec.arrivals.rate[period] * spec.arrivals.segment_share.T * self.loyalty[period][:, None]
        return (busy * self.chances[period])[:, None, None] * (mean[self.who] * self.part[:, None])

    def utility(self, period: int) -> tuple[Array, Array, Array, Array]:
        """Utility at a price of zero, its fall per unit of currency and of log price (Z, K', N),
        and the weight of the outside option (Z, K', C).
        """
        spec = self.spec
        model = choice_model(self.spec)
        mood, care = (
            (np.zeros(1), np.ones(1)) if spec.regimes is None else (spec.regimes.utility, spec.regimes.sensitivity)
        )
        level, steep = model.linear_utility(period)
        level = level + mood[:, None, None] + (0 if spec.promotion is None else spec.promotion.lift)
        fixed, slope, power = (rows[:, self.who] for rows in linear_and_log(spec, care[:, None, None] * steep))
        level = level[:, self.who] - fixed
        if spec.reference_price is not None:
            # A gain below zero is at its best where the price is at the reference.
            gain = np.maximum(spec.reference_price.gain, 0.0)
            units = spec.reference_price.units_gain
            if spec.reference_price.scale == "log":
                level = level + gain * np.log(self.reference) + units * np.log(self.low)
                power = power + gain + units
            elif spec.reference_price.scale == SATURATING:
                # The square of a ratio lies above its tangent at the regular price.
                ratio = spec.products.regular_price / self.reference
                above = (1 + ratio**2) / 2
                level = level + (gain + units) * above - units * model.gap(self.low, self.reference)
                slope = slope + (gain + units) * ratio / self.reference
            else:
                level = level + gain * self.reference + units * self.low
                slope = slope + gain + units
        regimes = [None] if spec.regimes is None else range(self.regimes)
        outside = [model.outside_weight(period, rival_price=self.rival_price, regime=z) for z in regimes]
        return level, slope, power, np.stack(outside)[:, self.who]

    def money(self, value: Array, first: int) -> tuple[float, Array]:
        """See `FluidDemand`. Backwards, as the value of a waiting customer depends on the next period."""
        shape = (self.regimes, self.who.size)
        later = np.zeros((*shape, self.spec.sizes["C"]))
        later_units = np.zeros((*shape, value.shape[1]))
        ahead = np.eye(1) if self.spec.regimes is None else self.spec.regimes.transition
        total = 0.0
        sold = np.zeros(value.shape[1])
        for t in reversed(range(first, first + len(value))):
            factor, times = self.discounting(t)
            come_back = (
                self.spec.market.discount_factor * np.tensordot(ahead, later, 1),
                np.tensordot(ahead, later_units, 1),
            )
            later, later_units = self._customer(t, self.cost + value[t - first] / factor, *come_back)
            mean = self.customers(t) * times
            total += factor * float((mean * later).sum())
            sold += ((mean @ self.member.T) * later_units).sum(axis=(0, 1))
        return total, sold

    def _customer(self, period: int, cost: Array, later: Array, later_units: Array) -> tuple[Array, Array]:
        """Money (Z, K', C) and units (Z, K', N) of one customer; later: those of a customer who comes back."""
        level, slope, power, outside = self.utility(period)
        low = self.low
        high = self.high
        category = self.spec.category_index
        cheapest = np.exp(np.minimum(level - slope * low - power * np.log(low), _HIGHEST_UTILITY))
        waiting = self.patience[:, None] * (cheapest @ self.member)
        theta = np.zeros_like(later)
        while True:
            floor = cost + (theta @ self.member.T) / self.kept
            price = best_price(floor, slope, power, low, high)
            gain = self.kept * (price - floor)
            utility = np.where(gain > 0, level - slope * price - power * np.log(price), -np.inf)
            utility = utility + self._shown(gain, utility, outside)
            waits = waiting * (later > theta)
            bought, left = choice_shares(utility, category, outside + waits)
            waits = left * waits / (outside + waits)
            # The excess over the logit's denominator is convex and falls in theta: Newton's steps
            # rise to its zero. One that falls is rounding, where hardly anybody leaves.
            excess = (gain * bought) @ self.member + waits * (later - theta) - (left - waits) * theta
            theta = theta + np.maximum(excess, 0)
            if np.all(excess <= _EXCESS_TOLERANCE * (1 + np.abs(theta))):
                break
        return theta, self.kept * bought + (waits @ self.member.T) * later_units

    def _shown(self, gain: Array, utility: Array, outside: Array) -> Array:
        """(Z, K', N) utility added by recommendations, to the best candidate of each category."""
        slot = self.spec.recommendation
        if slot is None:
            return np.zeros_like(gain)
        earned = gain * choice_shares(utility, self.spec.category_index, outside).product
        lift = np.zeros_like(gain)
        may = slot.candidates[self.who] > 0
        for c in range(self.spec.sizes["C"]):
            here = np.where(may & (self.spec.category_index == c), earned, -1.0)
            best = here.argmax(axis=-1)[..., None]
            more = np.where(here.max(axis=-1) > 0, slot.lift[self.who], 0.0)
            np.put_along_axis(lift, best, more[..., None], axis=-1)
        return lift
