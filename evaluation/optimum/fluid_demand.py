"""What customers bring at best when every unit has a worth: the building block of the fluid bound.

Granted in full: reference prices stand at the highest that they can, rivals at their ceiling (where they never move, at
their price), loyalty as high as the lowest prices could bring it, every product is promoted for nothing, in each category
each segment is shown what is best, and those who may wait come back as long as it pays. Shocks and the spread of demand have
a mean of one and change nothing. A logit segment of several products is priced by itself.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np

from ...envs import expected_units
from ...pricing import choice_shares
from ...scenarios import MarketSpec, choice_model
from .problem import Array, Costs, is_endless, is_stationary, price_grid, sections_on
from .rival_replies import all_stay, opening_prices

_MOST_PRICES = 4000
_TOLERANCE = 1e-12
# Beyond it, exp would overflow.
_HIGHEST_UTILITY = 500.0


class FluidDemand(Protocol):
    """The customers of a market."""

    def money(self, worth: Array, first: int) -> tuple[float, Array]:
        """Most money above the worth of the stock it takes, and the units (N,), in the P periods from `first` on.

        worth: (P, N) of a unit sold in each, in money of the episode's start, as is the result.
        """
        ...


def demand_of(spec: MarketSpec) -> FluidDemand | None:
    """The customers, or None where nothing is known of how they choose."""
    logit = spec.demand.family == "mnl"
    if logit and (spec.prices.max_discount > 0 or (spec.sizes["K"] == 1 and spec.guardrails.allowed_prices() is None)):
        return _Logit(spec)
    plain = sections_on(spec) <= {"regimes", "reference_price", "competitors", "shocks", "returns"}
    if plain and np.bincount(spec.category_index).max() == 1:
        return _Priced(spec)
    return _Logit(spec) if logit else None


class _Calendar:
    """What both kinds share: discounting, costs, regimes, what stays sold, reference prices at their highest."""

    def __init__(self, spec: MarketSpec) -> None:
        self.spec, self.periods = spec, int(spec.market.horizon_periods)
        costs, backlog = Costs.of(spec), spec.stock.shortage == "backlog"
        orders = spec.stock.replenishment != "none" and not backlog
        self.cost = costs.sold + (costs.ordered if orders else 0)
        self.kept = 1 - (0.0 if spec.returns is None else spec.returns.probability)
        rules = spec.guardrails
        # What is paid: between the floor after a discount and the highest list price.
        self.low = (rules.paid_low if spec.prices.max_discount > 0 else rules.low).astype(np.float64)
        self.high = rules.high.astype(np.float64)
        self.reference = np.maximum(spec.products.regular_price, self.high)
        self.regimes = max(spec.sizes["Z"], 1)

    def worth_of_money(self, period: int) -> tuple[float, float]:
        """The discount factor of a period, and how many periods it stands for: the last of an endless market for all."""
        factor = self.spec.market.discount_factor
        endless = is_endless(self.spec) and period == self.periods - 1
        return factor**period, 1 / (1 - factor) if endless else 1.0

    @functools.cached_property
    def chances(self) -> Array:
        """(T, Z) probability of each regime in each period."""
        return self.spec.regime_probabilities(self.periods)

    @functools.cached_property
    def rival_price(self) -> Array | None:
        """(R,) where rivals are least dangerous."""
        if self.spec.competitors is None:
            return None
        return opening_prices(self.spec) if all_stay(self.spec) else self.spec.competitors.ceiling


class _Priced(_Calendar):
    """Categories of one product: all prices are tried, one for all segments unless there are personal prices."""

    def __init__(self, spec: MarketSpec) -> None:
        super().__init__(spec)
        grids = [self._paid(n) for n in range(spec.sizes["N"])]
        longest = max(grid.size for grid in grids)
        # Shorter grids are filled up with their last price.
        self.price = np.stack([np.pad(g, (0, longest - g.size), mode="edge") for g in grids], axis=1)
        self.alike = is_stationary(spec)

    def _paid(self, n: int) -> Array:
        """Prices that a customer may pay: list prices, and what a discount may make of the least of them."""
        grid = price_grid(self.spec, n, most=_MOST_PRICES)
        if self.low[n] >= grid[0]:
            return grid
        return np.concatenate([np.linspace(self.low[n], grid[0], _MOST_PRICES, endpoint=False), grid])

    @functools.lru_cache(maxsize=256)  # noqa: B019  a season's periods, for a short-lived object
    def _units(self, period: int, regime: int) -> Array:
        """(G, K, N), or (G, 1, N) where all segments pay the same."""
        given = {"reference": self.reference, "regime": regime, "rival_price": self.rival_price}
        units = expected_units(self.spec, period, self.price, **given)
        return units if self.spec.prices.max_discount > 0 else units.sum(axis=1, keepdims=True)

    def money(self, worth: Array, first: int) -> tuple[float, Array]:
        """See `FluidDemand`."""
        total, sold, known = 0.0, np.zeros(worth.shape[1]), {}
        for t, row in enumerate(worth, start=first):
            factor, times = self.worth_of_money(t)
            kind = (0 if self.alike else t, (row / factor).tobytes())
            if kind not in known:
                known[kind] = self._best(kind[0], row / factor)
            money, units = known[kind]
            weight = self.chances[t] * times
            total += factor * float(weight @ money)
            sold += weight @ units
        return total, sold

    def _best(self, period: int, worth: Array) -> tuple[Array, Array]:
        """By regime, the most money of a period (Z,) and the units that bring it (Z, N)."""
        money, sold = np.zeros(self.regimes), np.zeros((self.regimes, worth.size))
        for z in range(self.regimes):
            units = self._units(period, z) * self.kept
            gain = (self.price - self.cost - worth)[:, None, :] * units
            best, most = gain.argmax(axis=0), gain.max(axis=0)
            # Nobody has to sell at a loss: what is sold out is not sold.
            taken = np.where(most > 0, np.take_along_axis(units, best[None], axis=0)[0], 0)
            money[z], sold[z] = np.maximum(most, 0).sum(), taken.sum(axis=0)
        return money, sold


class _Logit(_Calendar):
    """Multinomial logit: each segment's best prices by Newton's method on the money that a customer brings.

    At the optimum the money theta satisfies theta * outside = sum of (price - cost - theta) * weight over the products,
    each at the price that is best for it (see `logit`); a product whose term is negative is not offered.
    """

    def __init__(self, spec: MarketSpec) -> None:
        super().__init__(spec)
        self.member = np.eye(spec.sizes["C"])[spec.category_index]  # (N, C)
        strategic, segments = spec.strategic, spec.sizes["K"]
        share = np.zeros(segments) if strategic is None else strategic.share
        # Those who never wait, and behind them those who may.
        self.who = np.tile(np.arange(segments), 1 if strategic is None else 2)
        self.part = 1 - share if strategic is None else np.concatenate([1 - share, share])
        self.patience = np.zeros(segments)
        if strategic is not None:
            self.patience = np.concatenate([self.patience, strategic.patience])

    @functools.cached_property
    def loyalty(self) -> Array:
        """(T, K) the most that arrivals can have been multiplied by."""
        spec, loyal = self.spec, self.spec.loyalty
        if loyal is None:
            return np.ones((self.periods, spec.sizes["K"]))
        cut = np.log(spec.products.regular_price / self.low).max()
        goal, rows = np.exp(loyal.price_effect * max(cut, 0)), [np.ones(spec.sizes["K"])]
        for _ in range(self.periods - 1):
            rows.append(np.clip(loyal.memory * rows[-1] + (1 - loyal.memory) * goal, loyal.low, loyal.high))
        if is_endless(spec):
            rows[-1] = np.full(spec.sizes["K"], loyal.high)
        return np.array(rows)

    def customers(self, period: int) -> Array:
        """(Z, K', C) mean customers of a period by regime."""
        spec = self.spec
        busy = np.ones(1) if spec.regimes is None else spec.regimes.arrivals
        mean = spec.arrivals.rate[period] * spec.arrivals.segment_share.T * self.loyalty[period][:, None]
        return (busy * self.chances[period])[:, None, None] * (mean[self.who] * self.part[:, None])

    def utility(self, period: int) -> tuple[Array, Array, Array, Array]:
        """Utility at a price of zero, its fall per unit of currency and of log price (Z, K', N), weight of leaving
        (Z, K', C)."""
        spec, demand, category = self.spec, self.spec.demand, self.spec.category_index
        mood, care = (
            (np.zeros(1), np.ones(1)) if spec.regimes is None else (spec.regimes.utility, spec.regimes.sensitivity)
        )
        path = care[:, None, None] * demand.sensitivity_path[period]  # (Z, 1, C)
        season = mood[:, None, None] + demand.season[period]
        quality = demand.quality + demand.quality_path[period] + (0 if spec.promotion is None else spec.promotion.lift)
        level = (quality + season[..., category])[:, self.who]
        slope = (demand.price_sensitivity * path[..., category])[:, self.who]
        power = np.zeros_like(slope)
        if spec.reference_price is not None:
            gain = spec.reference_price.gain
            if spec.reference_price.scale == "log":
                level, power = level + gain * np.log(self.reference), power + gain
            else:
                level, slope = level + gain * self.reference, slope + gain
        regimes = [None] if spec.regimes is None else range(self.regimes)
        outside = np.stack(
            [choice_model(spec).outside_weight(period, rival_price=self.rival_price, regime=z) for z in regimes]
        )[:, self.who]
        return level, slope, power, outside

    def money(self, worth: Array, first: int) -> tuple[float, Array]:
        """See `FluidDemand`. Backwards, as those who wait bring what the next period's best prices bring."""
        shape = (self.regimes, self.who.size)
        later, later_units = np.zeros((*shape, self.spec.sizes["C"])), np.zeros((*shape, worth.shape[1]))
        ahead = np.eye(1) if self.spec.regimes is None else self.spec.regimes.transition
        total, sold = 0.0, np.zeros(worth.shape[1])
        for t in reversed(range(first, first + len(worth))):
            factor, times = self.worth_of_money(t)
            come_back = (
                self.spec.market.discount_factor * np.tensordot(ahead, later, 1),
                np.tensordot(ahead, later_units, 1),
            )
            later, later_units = self._customer(t, self.cost + worth[t - first] / factor, *come_back)
            mean = self.customers(t) * times
            total += factor * float((mean * later).sum())
            sold += ((mean @ self.member.T) * later_units).sum(axis=(0, 1))
        return total, sold

    def _customer(self, period: int, cost: Array, later: Array, later_units: Array) -> tuple[Array, Array]:
        """Money (Z, K', C) and units (Z, K', N) of one customer; later: what one brings who comes back."""
        level, slope, power, outside = self.utility(period)
        low, high, category = self.low, self.high, self.spec.category_index
        cheapest = np.exp(np.minimum(level - slope * low - power * np.log(low), _HIGHEST_UTILITY))
        waiting = self.patience[:, None] * (cheapest @ self.member)
        theta = np.zeros_like(later)
        while True:
            floor = cost + (theta @ self.member.T) / self.kept
            price = _best_price(floor, slope, power, low, high)
            gain = self.kept * (price - floor)
            utility = np.where(gain > 0, level - slope * price - power * np.log(price), -np.inf)
            utility = utility + self._shown(gain, utility, outside)
            waits = waiting * (later > theta)
            bought, left = choice_shares(utility, category, outside + waits)
            waits = left * waits / (outside + waits)
            # Over the logit's denominator: a convex function that falls, so that the steps rise to its zero from below.
            excess = (gain * bought) @ self.member + waits * (later - theta) - (left - waits) * theta
            theta = theta + excess
            if np.all(np.abs(excess) <= _TOLERANCE * (1 + np.abs(theta))):
                break
        return theta, self.kept * bought + (waits @ self.member.T) * later_units

    def _shown(self, gain: Array, utility: Array, outside: Array) -> Array:
        """(Z, K', N) utility that the slot adds: to the candidate of each category that gains most."""
        slot = self.spec.recommendation
        if slot is None:
            return np.zeros_like(gain)
        earned = gain * choice_shares(utility, self.spec.category_index, outside).product
        lift, may = np.zeros_like(gain), slot.candidates[self.who] > 0
        for c in range(self.spec.sizes["C"]):
            here = np.where(may & (self.spec.category_index == c), earned, -1.0)
            best = here.argmax(axis=-1)[..., None]
            more = np.where(here.max(axis=-1) > 0, slot.lift[self.who], 0.0)
            np.put_along_axis(lift, best, more[..., None], axis=-1)
        return lift


def _best_price(floor: Array, slope: Array, power: Array, low: Array, high: Array) -> Array:
    """Maximiser of (price - floor) * exp(-slope * price) * price ** -power in [low, high]."""
    slope = np.maximum(slope, 1e-12)
    half = (slope * floor + 1 - power) / (2 * slope)
    root = half + np.sqrt(np.maximum(half**2 + power * floor / slope, 0))
    price = np.clip(root, low, high)
    if not (power.any() and (floor < 0).any()):
        return price
    # Below a floor of zero and with a power there are two peaks, one at the lowest price.
    worth = [np.log(p - floor) - slope * p - power * np.log(p) for p in (np.broadcast_to(low, price.shape), price)]
    return np.where(worth[0] > worth[1], low, price)
