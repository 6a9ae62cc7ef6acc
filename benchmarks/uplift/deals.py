"""A shop whose customers answer to regular prices and to deals apart: what it earns at any path of prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from .choice import Segments, StockingUp
from .history import CHAIN_DEALS, History, autoregression
from .parameters import Array, Parameters
from .truth import Truth, best_path, best_steps

LONGEST = 4
"""Weeks after which a lower price is no deal but the regular price."""
UNNOTICED = 0.02
"""Reductions up to this pass for a change of the regular price."""
NOTICED = 0.05
"""Reductions beyond this are deals."""
YEAR = 52
_SENSITIVITY = 0.3
"""How far apart zones' customers are, in logs of their sensitivity."""
_LEVEL = -0.3
"""What the chain made of it: log price level of a zone per log of its sensitivity."""
_LARGEST = 0.15
"""The most by which price levels of zones differ from the chain's, in logs."""
_MOVE = (0.02, 0.05)
_CATEGORY_MOVE = (0.02, 0.025)
_ZONE_MOVE = (0.0, 0.04)
_SHOCK = 0.1
_PERSISTENCE = 0.8
_DEPTHS = ((0.1, 0.2), (0.2, 0.35))
_FEATURED = 0.7
_FUNDED = (0.2, 0.6)
OWN = (1.0, 3.0)
"""Absolute elasticities of a product's units with its regular price."""
CATEGORY = (0.1, 1.0)
"""Absolute elasticities of a category's units with its regular prices."""
BUMP = (2.0, 5.0)
"""How many times as strong as a regular price a deal is."""
STEEPEST = 6.0
"""The largest absolute elasticity of a deal."""
DEPTH = 0.2
"""The reduction for which these hold, in its first week and without a feature."""
_POINT = float(-np.log1p(-DEPTH))
_GROWTH = (0.3, 0.8)
_SIMILARITY = (0.5, 0.9)
_CLASSES = 3
_NESTS = 2
_MOST = 3.0
"""Times as many units of a category as usual that deals can sell at most."""
EXTRA = (0.8, 2.0)
"""What households put by on a deal, so that they account for about a third of its bump: see `StockingUp`."""
FREQUENT_BUMP = 3.0
"""How many times as strong as a regular price each deal of `chain-deals` is."""
_ROUNDS = 300
_WEAR = 0.3
"""Share of its strength that a deal loses in logs by one of 20% in the week before."""
_MEMORY = 0.8
"""What is left of that loss a week on."""


def regular_prices(path: Array, before: Array, after: Array | None = None) -> Array:
    """(…, T, n) regular prices that customers perceive in a path of prices: what it returns to after a deal.

    Prices that are lower for at most four weeks, after which the path is back, are deals, and others are
    changes of the regular price.

    Args:
        path: (…, T, n) prices.
        before: (4, n) regular prices of the weeks before.
        after: (…, 1, n) that at which the path goes on; by default the median of its last five weeks.

    Example:
        >>> path = np.array([2.0, 1.5, 2.0, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8])[:, None]
        >>> regular_prices(path, np.full((4, 1), 2.0)).ravel().tolist()
        [2.0, 2.0, 2.0, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8]
    """
    if after is None:
        after = np.median(path[..., -LONGEST - 1 :, :], axis=-2, keepdims=True)
    ends = [np.broadcast_to(end, (*path.shape[:-2], LONGEST, path.shape[-1])) for end in (before, after)]
    whole = np.concatenate([ends[0], path, ends[1]], axis=-2)
    upper = minimum_filter1d(maximum_filter1d(whole, LONGEST + 1, axis=-2), LONGEST + 1, axis=-2)
    upper = upper[..., LONGEST:-LONGEST, :]
    noticed = np.clip((1 - path / upper - UNNOTICED) / (NOTICED - UNNOTICED), 0, 1)
    return path * (upper / path) ** noticed


@dataclass(frozen=True)
class DealTruth(Truth):
    """A shop with deals whose customers are known.

    A feature is shown, and suppliers pay their share of a reduction, in the weeks for which the shop planned a deal, as
    far as the product is then on deal. Stores sit out deals in the tables alone: given paths are charged in all of them.

    Attributes:
        responses: The customers of each category.
        charged: Number of the last weeks of the tables in which it charged given prices, see `charging`.
    """

    responses: tuple[RegularAndDeal | NestedDeals, ...] = ()
    charged: int = 0

    @property
    def deals(self) -> DealHistory:
        """The shop's own prices."""
        assert isinstance(self.history, DealHistory), "a shop with deals has such a history"
        return self.history

    @cached_property
    def listed(self) -> Array:
        """(weeks, N) regular prices, the mean over the stores."""
        return np.einsum("s,tsn->tn", self.history.level, self.history.listed)

    def charging(self, listed: Array, depth: Array | None = None, after: Array | None = None) -> DealTruth:
        """The shop after it charged given regular prices in the weeks after its tables, which then hold these weeks too.

        Customers take them for regular prices, however soon they change. Earlier weeks stay as they were.

        Args:
            listed: (W, S, N) regular prices by store, currency per unit.
            depth: (26, N) reductions in these weeks and those to come, as shares of them; by default as planned.
            after: (S, N) regular prices from then on; by default the shop's own.

        Example:
            >>> from repricer.benchmarks.uplift import draw_shop
            >>> shop = draw_shop("regular-and-deal", seed=0)
            >>> later = shop.charging(1.1 * shop.history.listed[shop.weeks : shop.weeks + 4])
            >>> later.weeks - shop.weeks
            4
        """
        own = self.deals
        first = self.weeks
        end = self.weeks + len(listed)
        whole = own.listed.copy()
        reduced = own.depth.copy()
        whole[first:end] = listed
        if after is not None:
            whole[end:] = after
        if depth is not None:
            reduced[first:] = depth
        history = replace(own, listed=whole, depth=reduced)
        prices = np.concatenate([own.prices[:first], np.round(whole * (1 - history.taken), 2)[first:]])
        history = replace(history, prices=prices)
        return replace(self, weeks=end, history=history, charged=len(listed))

    def earned(self, objective: str = "profit") -> float:
        """Expected profit or revenue, over the shocks, of the weeks in which it charged given prices, by store."""
        here = slice(self.weeks - self.charged, self.weeks)
        own = self.deals
        price = np.moveaxis(own.prices[here], 1, 0)
        units = self._without_shocks()[:, here]
        margin = price
        if objective == "profit":
            funded = own.funding * np.moveaxis(own.listed[here] * own.taken[here], 1, 0)
            margin = price - self.unit_cost + funded
        return float((margin * units).sum())

    def history_units(self) -> Array:
        """(T, S, N) expected units of the history by store, given the shocks that popularity took."""
        shock = self.history.shock[: self.weeks]
        # The factor is 1 in the mean.
        return np.moveaxis(self._without_shocks() * np.exp(shock - self.history.shock.var() / 2), 0, 1)

    def _without_shocks(self) -> Array:
        """(S, T, N) units of the history, the shocks averaged over."""
        bought = [self._in_history(number, self.weeks) for number in range(len(self.responses))]
        assert self.stocking_up is not None, "households stock up"
        depth = np.moveaxis(self.deals.taken[: self.weeks], 1, 0)
        return self.stocking_up.units(np.concatenate(bought, axis=-1), depth)[0]

    def category_units(self, number: int, path: Array, first: int) -> Array:
        """(…, T, n) expected units of a category's products."""
        assert self.stocking_up is not None, "households stock up"
        own = self.parameters.category == number
        weeks = np.arange(first, first + path.shape[-2])
        regular = self._regular_prices(path, first, own)
        depth = 1 - path / regular
        feature = self._feature(number, weeks) * np.clip(depth / NOTICED, 0, 1)
        wanted = np.zeros_like(path)
        fresh, _ = worn(-np.log1p(-depth), np.zeros(path.shape[-1]))
        remembered, missing = self._left(number, first)
        weaker = weaker_for(remembered, len(weeks))
        # The stores of a zone have the same prices and customers, who remember the same deals unless stores sat some out.
        alike = np.column_stack([self.deals.sensitivity, remembered])
        _, stores, members = np.unique(alike, axis=0, return_index=True, return_inverse=True)
        for store, level in zip(stores, np.bincount(members.ravel(), self.history.level), strict=True):
            factor = self.history.listed[first, store, own] / self.listed[first, own] / self.deals.base[store, own]
            logs = np.log(regular * factor)
            deal = fresh * weaker[store]
            wanted += level * self.responses[number].bought(logs, deal, feature, float(self.deals.sensitivity[store]))
        wanted *= self.parameters.arrivals[number] * self.traffic[weeks, number][:, None]
        return self.stocking_up.units(wanted, depth, missing)[0]

    def _regular_prices(self, path: Array, first: int, own: NDArray[np.bool_] | slice) -> Array:
        """Those of a path of some products' prices from a week on."""
        after = None
        if self.family == CHAIN_DEALS:
            # More than half of the last weeks may be on deal.
            after = path[..., -LONGEST - 1 :, :].max(axis=-2, keepdims=True)
        return regular_prices(path, self.listed[first - LONGEST : first, own], after)

    def margin(self, path: Array, first: int, objective: str, own: NDArray[np.bool_] | slice = slice(None)) -> Array:
        """(…, T, n) profit or revenue per unit of some products, with what suppliers pay."""
        if objective == "revenue":
            return path
        regular = self._regular_prices(path, first, own)
        funded = np.minimum(regular - path, regular * self.deals.depth[first : first + path.shape[-2], own])
        return path - self.unit_cost[own] + self.deals.funding * funded

    def optimum(
        self,
        low: Array,
        high: Array,
        *,
        first: int | None = None,
        horizon: int = 12,
        objective: str = "profit",
        calendar: bool = True,
    ) -> Array:
        """(T, N) prices with the highest expected profit or revenue between two bounds.

        Args:
            low: (N,) lower bounds, currency per unit.
            high: (N,) upper bounds.
            first: Number of the first week since the start of the tables.
            horizon: T.
            objective: "profit" or "revenue".
            calendar: Whether deals are dropped, added and made deeper or less deep, too; if not, the shop's calendar
                stays, and the regular prices alone are the best.
        """
        first = self.weeks if first is None else first
        best = np.empty((horizon, low.size))
        for number in range(len(self.responses)):
            own = self.parameters.category == number
            depth = self.deals.depth[first : first + horizon, own]
            earned = self._earned_by(number, first, objective)
            best[:, own] = best_path(earned, self.listed[first, own], depth, low[own], high[own], calendar=calendar)
        return best

    def _earned_by(self, number: int, first: int, objective: str) -> Callable[[Array], Array]:
        """What each of B paths (B, T, n) of a category's prices earns, from a week on."""
        own = self.parameters.category == number

        def earned(paths: Array) -> Array:
            margin = self.margin(paths, first, objective, own)
            return (margin * self.category_units(number, paths, first)).sum(axis=(-2, -1))

        return earned

    def best_step(
        self, step: float, *, first: int | None = None, horizon: int = 12, objective: str = "profit"
    ) -> Array:
        """(T, N) prices with the highest expected profit or revenue that leave the shop's own by at most a step: each product
        moves its regular prices by one share and its deals, which stay in their weeks, by another.

        Args:
            step: Largest share by which a price leaves the shop's own.
            first: Number of the first week since the start of the tables.
            horizon: T.
            objective: "profit" or "revenue".
        """
        first = self.weeks if first is None else first
        best = self.own_prices(first, horizon)
        deals = self.deals.depth[first : first + horizon] > 0
        # Regular prices first, then deals, both of all products together and of each.
        parts = [part & chosen for part in (~deals, deals) for chosen in (True, *np.eye(best.shape[1], dtype=bool))]
        for number in range(len(self.responses)):
            own = self.parameters.category == number
            moved = [part[:, own] for part in parts if part[:, own].any()]
            best[:, own] = best_steps(self._earned_by(number, first, objective), best[:, own], moved, step)
        return best

    def _feature(self, number: int, weeks: np.ndarray) -> Array:
        own = self.parameters.category == number
        return self.history.display[weeks][:, own] * self.lift[own]

    @cached_property
    def _kept(self) -> dict[tuple[int, int], tuple[Array, Array]]:
        return {}

    def _left(self, number: int, first: int) -> tuple[Array, Array]:
        """What customers keep after some weeks: (S, n) deals that those of each store remember, and (3, n) units that are missing
        for what they put by.
        """
        assert self.stocking_up is not None, "households stock up"
        if (number, first) not in self._kept:
            past = self._in_history(number, first)
            depth = self._depth(number, first)
            _, remembered = worn(-np.log1p(-depth), np.zeros_like(depth[:, 0]))
            _, missing = self.stocking_up.units(past, depth)
            self._kept[number, first] = remembered, missing.sum(axis=1)
        return self._kept[number, first]

    def _depth(self, number: int, weeks: int) -> Array:
        """(S, T, n) reductions of the first weeks by store."""
        return np.moveaxis(self.deals.taken[:weeks, :, self.parameters.category == number], 1, 0)

    def _in_history(self, number: int, weeks: int) -> Array:
        """(S, T, n) units of the first weeks if no customer had any at home."""
        own = self.parameters.category == number
        when = np.arange(weeks)
        listed = np.moveaxis(self.history.listed[:weeks][..., own], 1, 0)
        sat_out = np.moveaxis(self.deals.sat_out[:weeks][..., own], 1, 0)
        depth = self._depth(number, weeks)
        felt, _ = worn(-np.log1p(-depth), np.zeros_like(depth[:, 0]))
        # The chain's advertisement makes customers compare its stores: where they find no deal, they answer to how much
        # dearer than the chain the store is as they do to a deal (Kaul and Wittink 1995, Marketing Science 14(3): price
        # advertising makes customers more sensitive to prices).
        deal = np.where(sat_out, np.log(self.listed[:weeks, own] / listed), felt)
        feature = np.where(sat_out, 0.0, self._feature(number, when))
        regular = np.log(listed / self.deals.base[:, own][:, None])
        stores = zip(self.history.level, self.deals.sensitivity, regular, deal, feature, strict=True)
        bought = [
            level * self.responses[number].bought(log, off, shown, factor) for level, factor, log, off, shown in stores
        ]
        return (self.parameters.arrivals[number] * self.traffic[:weeks, number])[:, None] * np.stack(bought)


# What a shop with deals did: regular prices that seldom move, a calendar of deals with features, costs and price
# zones.


@dataclass(frozen=True)
class DealHistory(History):
    """S stores, N products, by week; the calendar repeats after 52 weeks, and no regular price moves after the tables.

    Attributes:
        base: (S, N) regular prices at which the parameters hold.
        sensitivity: (S,) factor on the response to regular prices.
        depth: (weeks, N) planned reduction, as a share of the regular price.
        sat_out: (weeks, S, N) whether a store sits out the planned deal; after the tables, none does.
        funding: Share of a planned reduction that the suppliers pay.
        planned: Whether the tables hold the plan of the weeks to come; if not, it is that of a year ago.
    """

    base: Array
    sensitivity: Array
    depth: Array
    sat_out: NDArray[np.bool_]
    funding: float
    planned: bool

    @property
    def taken(self) -> Array:
        """(weeks, S, N) reduction by store, as a share of the regular price."""
        return np.where(self.sat_out, 0.0, self.depth[:, None])


@dataclass(frozen=True)
class Chain:
    """The stores of a shop with deals, and how often they are on deal.

    Attributes:
        zones: Number of price zones.
        stores: Number of stores of each.
        size: Customers, relative to those of a single store.
        rest: Fewest weeks between two deals of a product.
        pause: Mean number of weeks beyond them, which is drawn for each product: lowest and highest.
        sitting_out: Probability that a store sits out a deal.
        every: Number of weeks in which each zone moves each of its regular prices once.
    """

    zones: int = 1
    stores: int = 1
    size: float = 1.0
    rest: int = 3
    pause: tuple[float, float] = (1.0, 8.0)
    sitting_out: float = 0.0
    every: int = YEAR


ONE_STORE = Chain()
ZONES = Chain(zones=4, stores=2, size=4.0)
FREQUENT_DEALS = Chain(zones=6, stores=4, size=12.0, rest=1, pause=(0.0, 0.5), sitting_out=0.3, every=26)
"""A product is on deal in about half of the weeks, and in nearly all of these in more than half of the stores."""


def chain_of(family: str, seed: int) -> Chain:
    """The stores of a shop: half of the shops are chains, of `chain-deals` all."""
    if family == CHAIN_DEALS:
        return FREQUENT_DEALS
    return ZONES if seed % 2 == 1 else ONE_STORE


def draw_deal_history(
    chain: Chain, parameters: Parameters, seed: int, weeks: int, whole: int, random: Generator
) -> DealHistory:
    """The shop's own prices until the week `whole`, of which the tables hold the first `weeks`."""
    products = parameters.regular.size
    zones = chain.zones
    zone = np.repeat(np.arange(zones), chain.stores)
    level = random.dirichlet(np.full(zone.size, 6.0))
    sensitivity = np.exp(random.normal(0, _SENSITIVITY if zones > 1 else 0.0, zones))[zone]
    sensitivity = sensitivity / (level @ sensitivity)
    # Where customers mind prices, the chain charges less: prices differ between zones with what they do to sales.
    chosen = np.clip(_LEVEL * np.log(sensitivity) + random.normal(0, 0.015, zones)[zone], -_LARGEST, _LARGEST)
    base = parameters.regular * np.exp(chosen * (zones > 1))[:, None]
    supply = _moves((weeks, 1, parameters.outside.size), _CATEGORY_MOVE, random)[..., parameters.category]
    moved = _moves((weeks, 1, products), _MOVE, random)
    own = _moves((weeks, zones, products), _ZONE_MOVE, random, chain.every)[:, zone] if zones > 1 else 0.0
    steps = np.concatenate([supply + moved + own, np.zeros((whole - weeks, zone.size, products))])
    listed = np.round(base * np.exp(np.cumsum(steps, axis=0)), 2)
    cost = np.concatenate([(supply + 0.5 * moved)[:, 0], np.zeros((whole - weeks, products))])
    (depth, shown), years = _calendar(chain, products, random), (whole // YEAR + 1, 1)
    depth = np.tile(depth, years)[:whole]
    shown = np.tile(shown, years)[:whole]
    no_effect = np.zeros((whole, products))
    unit_cost = np.round(parameters.unit_cost * np.exp(np.cumsum(cost, axis=0)), 2)
    shock = autoregression(_PERSISTENCE, _SHOCK, (whole, products), random)
    funding = float(random.uniform(*_FUNDED)) if seed % 3 == 0 else 0.0
    planned = seed // 2 % 2 == 0
    sat_out = _sat_out(chain, depth[:weeks], whole, random)
    prices = np.round(listed * np.where(sat_out, 1.0, 1 - depth[:, None]), 2)
    own = (level, np.ones(zone.size), listed, prices, unit_cost, shown, shock, no_effect)
    return DealHistory(*own, base, sensitivity, depth, sat_out, funding, planned)


def _sat_out(chain: Chain, depth: Array, whole: int, random: Generator) -> NDArray[np.bool_]:
    """(whole, S, N) which stores sit out which deals of (weeks, N), each deal for as long as it lasts."""
    stores, (weeks, products) = chain.zones * chain.stores, depth.shape
    sat_out = np.zeros((whole, stores, products), dtype=bool)
    if chain.sitting_out > 0:
        on_deal = depth > 0
        first = on_deal & ~np.concatenate([np.zeros((1, products), dtype=bool), on_deal[:-1]])
        number = np.cumsum(first, axis=0, dtype=np.intp)
        drawn = random.random((weeks + 1, stores, products)) < chain.sitting_out
        by_deal = np.take_along_axis(drawn, number[:, None], axis=0)
        sat_out[:weeks] = by_deal & on_deal[:, None]
    return sat_out


def _moves(shape: tuple[int, int, int], size: tuple[float, float], random: Generator, every: int = YEAR) -> Array:
    """(weeks, …) changes of a log price: one in each year, or each so many weeks, in a week of its own."""
    moves = np.zeros(shape)
    for start in range(0, shape[0], every):
        when = random.integers(start, min(start + every, shape[0]), (1, *shape[1:]))
        np.put_along_axis(moves, when, random.normal(*size, when.shape), axis=0)
    return moves


def _calendar(chain: Chain, products: int, random: Generator) -> tuple[Array, NDArray[np.bool_]]:
    """(52, N) depth of each product's deals in the weeks of a year, and whether a feature comes with them."""
    depth = np.zeros((YEAR, products))
    shown = np.zeros((YEAR, products), dtype=bool)
    for product in range(products):
        usual = [random.uniform(*between) for between in _DEPTHS]
        pause = random.uniform(*chain.pause)
        week = int(random.integers(1, 8))
        while week < YEAR - 3:
            length = int(random.integers(1, 3))
            depth[week : week + length, product] = usual[int(random.random() < 0.5)]
            shown[week : week + length, product] = random.random() < _FEATURED
            week += length + chain.rest + int(random.poisson(pause))
    return np.round(depth, 2), shown


# Customers whose answer to a lasting change of a price and to a deal have nothing in common.
#
# Sizes are those of published findings, not of any fitted model: Hoch, Drèze and Purk (1994) and Hoch, Kim,
# Montgomery and Rossi (1995) for regular prices; van Heerde, Gupta and Wittink (2003) and van Heerde, Leeflang and
# Wittink (2004) for how a deal's bump divides into switching, growth of the category and stocking up.


@dataclass(frozen=True)
class RegularAndDeal:
    """A category with a constant elasticity, whose products share its units as a logit does.

    Attributes:
        share: (n,) units per customer at the regular prices at which the parameters hold.
        slope: (n,) utility lost per log point of the regular price.
        category: Absolute elasticity of the category with its regular prices.
        deal: (n,) utility per log point of a deal.
        growth: Share of what deals add to the value of the category by which its units grow, up to three times.
    """

    share: Array
    slope: Array
    category: float
    deal: Array
    growth: float

    def bought(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> Array:
        """(…, T, n) units per customer of the category.

        Args:
            regular: (…, T, n) log regular price relative to that at which the parameters hold.
            deal: (…, T, n) log of the regular price over the price.
            feature: (…, T, n) utility that features add.
            sensitivity: Factor on the response to regular prices.
        """
        usual = self.share * np.exp(-sensitivity * self.slope * regular)
        weight = usual * np.exp(self.deal * deal + feature)
        total = weight.sum(axis=-1, keepdims=True)
        index = regular @ (self.share / self.share.sum())
        level = np.exp(-sensitivity * self.category * index)[..., None] * self.share.sum()
        more = (total / usual.sum(axis=-1, keepdims=True)) ** self.growth
        return weight / total * level * _MOST * more / (_MOST - 1 + more)


@dataclass(frozen=True)
class NestedDeals:
    """Two-level nested logit by household class: a tier of the category, a product of the tier, or nothing.

    Attributes:
        tier: (n,) number of each product's nest.
        weight: (K,) sizes of the household classes.
        utility: (K, n) utility of each product; that of buying nothing is 0.
        level: Utility that buying in the category adds.
        slope: (K, n) utility lost per log point of the regular price.
        deal: (K, n) utility per log point of a deal.
        similarity: Weight of a nest's inclusive value in the choice between nests, 0 to 1.
        category: Weight of the category's inclusive value at regular prices in the choice against buying nothing.
        growth: Weight of what deals add to it.
    """

    tier: NDArray[np.intp]
    weight: Array
    utility: Array
    level: float
    slope: Array
    deal: Array
    similarity: float
    category: float
    growth: float

    def bought(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> Array:
        """As of `RegularAndDeal`."""
        shares = self.by_class(regular, deal, feature, sensitivity)
        return np.einsum("k,...kn->...n", self.weight, shares[0] * shares[1][..., None])

    def by_class(self, regular: Array, deal: Array, feature: Array, sensitivity: float = 1.0) -> tuple[Array, Array]:
        """(…, T, K, n) shares of the products in the category, and (…, T, K) share of the class that buys in it."""
        usual = self.utility - sensitivity * self.slope * regular[..., None, :]
        _, before = self._inside(usual)
        inside, value = self._inside(usual + self.deal * deal[..., None, :] + feature[..., None, :])
        utility = self.level + self.category * before + self.growth * (value - before)
        return inside, 1 / (1 + np.exp(-utility))

    def _inside(self, utility: Array) -> tuple[Array, Array]:
        """Shares of the products in the category, and its inclusive value."""
        weight = np.exp(utility)
        member = self.tier[:, None] == self.tier
        nest = weight @ member
        # Each product's part of its nest's weight, so that the products of a nest add up to it.
        part = weight * nest ** (self.similarity - 1)
        total = part.sum(axis=-1, keepdims=True)
        return part / total, np.log(total[..., 0])


def deal_parameters(family: str, parameters: Parameters, size: float, random: Generator) -> Parameters:
    """The parameters with elasticities of regular prices, and `size` times as many customers."""
    centre = random.lognormal(np.log(1.7), 0.3, parameters.outside.size)[parameters.category]
    elasticity = np.clip(centre * random.lognormal(0, 0.2, centre.size), *OWN)
    if family == CHAIN_DEALS:
        # A deal that many times as strong is not too steep.
        elasticity = np.minimum(elasticity, STEEPEST / FREQUENT_BUMP)
    return replace(parameters, elasticity=elasticity, units=size * parameters.units)


def worn(deal: Array, memory: Array) -> tuple[Array, Array]:
    """(…, T, n) deals as strong as they are after earlier ones, and the memory after the last week.

    Args:
        deal: (…, T, n) log of the regular price over the price.
        memory: (n,) or (…, n) deals remembered in the first week; 0 for none.
    """
    felt = np.empty_like(deal)
    for week in range(deal.shape[-2]):
        felt[..., week, :] = deal[..., week, :] * np.exp(-_WEAR * memory)
        memory = _MEMORY * (memory + deal[..., week, :] / _POINT)
    return felt, memory


def weaker_for(memory: Array, weeks: int) -> Array:
    """(…, T, n) factors by which deals remembered in the first of some weeks weaken those of each of them, see `worn`."""
    return np.exp(-_WEAR * _MEMORY ** np.arange(weeks)[:, None] * memory[..., None, :])


def draw_responses(
    family: str, parameters: Parameters, stocking_up: StockingUp, random: Generator
) -> tuple[RegularAndDeal | NestedDeals, ...]:
    """The customers of each category; what a deal adds is drawn apart from the response to regular prices."""
    responses = []
    for number in range(parameters.outside.size):
        own = parameters.category == number
        category = float(np.clip(random.lognormal(np.log(0.35), 0.6), *CATEGORY))
        bump = np.clip(random.lognormal(np.log(2.8), 0.3, int(own.sum())), *BUMP)
        if family == CHAIN_DEALS:
            bump = np.full_like(bump, FREQUENT_BUMP)
        make = _nested_deals if family == "nested-deals" else _regular_and_deal
        deal = (np.minimum(bump * parameters.elasticity[own], STEEPEST), stocking_up)
        responses.append(make(parameters.share[own], parameters.elasticity[own], category, deal, random))
    return tuple(responses)


def _regular_and_deal(
    share: Array, elasticity: Array, category: float, deal: tuple[Array, StockingUp], random: Generator
) -> RegularAndDeal:
    inside = share / share.sum()
    slope = (elasticity - category * inside) / (1 - inside)
    plain = RegularAndDeal(share, slope, category, np.zeros_like(share), random.uniform(*_GROWTH))
    return replace(plain, deal=_deal_slope(lambda utility: plain.bought(0 * utility, utility, utility), *deal))


def _nested_deals(
    share: Array, elasticity: Array, category: float, deal: tuple[Array, StockingUp], random: Generator
) -> NestedDeals:
    parts = Segments(
        weight=random.dirichlet(np.full(_CLASSES, 4.0)),
        sensitivity=random.lognormal(0, 0.4, _CLASSES),
        taste=random.normal(0, 0.5, (_CLASSES, share.size)),
    )
    prone = random.lognormal(0, 0.4, _CLASSES)[:, None]
    tier = random.permutation(np.arange(share.size) % _NESTS)
    similarity = random.uniform(*_SIMILARITY)
    growth = random.uniform(*_GROWTH)
    bought = share.sum()
    utility = np.log(share / bought)
    level = np.log(bought / (1 - bought))
    slope = elasticity
    reach = 0.5
    none = np.zeros((1, share.size))

    def at(deal: Array) -> NestedDeals:
        tastes = utility + parts.taste
        slopes = parts.sensitivity[:, None] * slope
        return NestedDeals(tier, parts.weight, tastes, level, slopes, deal, similarity, reach, growth)

    for _ in range(_ROUNDS):
        inside, buys = (found[0] for found in at(0 * parts.taste).by_class(none, none, none))
        reached = parts.weight @ (inside * buys[:, None])
        utility = utility + np.log(share / bought) - np.log(reached / reached.sum())
        level += np.log(bought / (1 - bought)) - np.log(reached.sum() / (1 - reached.sum()))
        # Own elasticities per unit of slope, and the category's per unit of its weight.
        nests = inside @ (tier[:, None] == tier)
        own = 1 - (1 - similarity) * inside / nests - similarity * inside * (1 - reach * (1 - buys[:, None]))
        buyers = (parts.weight * parts.sensitivity * buys)[:, None] * inside
        slope = elasticity * share / (buyers * own).sum(axis=0)
        reach = min(category * bought / (similarity * slope @ (buyers * (1 - buys[:, None])).sum(axis=0)), 1.0)
    bump = _deal_slope(lambda utility: _prone(at(0 * parts.taste), prone, utility), *deal)
    return at(prone * bump)


def _prone(plain: NestedDeals, prone: Array, utility: Array) -> Array:
    """What is bought if a deal adds utility times how prone each class is to deals."""
    none = 0 * utility
    return replace(plain, deal=np.broadcast_to(prone, plain.slope.shape)).bought(none, utility, none)


def _deal_slope(bought: Callable[[Array], Array], wanted: Array, stocking_up: StockingUp) -> Array:
    """(n,) utility per log point of a deal with which each product alone on deal has the wanted elasticity.

    Args:
        bought: (n, n) units per customer, given the utility that deals add.
        wanted: (n,) elasticity of the first week of a deal, with what households put by.
        stocking_up: What they put by.
    """
    put_by = stocking_up.units(np.ones((1, 1)), np.full((1, 1), DEPTH))[0].item()
    goal = wanted * _POINT - np.log(put_by)
    usual = bought(np.zeros((1, wanted.size)))[0]
    low = np.zeros_like(wanted)
    high = np.full_like(wanted, 30.0)
    for _ in range(60):
        middle = (low + high) / 2
        reached = np.log(np.diag(bought(np.diag(middle * _POINT))) / usual)
        low = np.where(reached < goal, middle, low)
        high = np.where(reached < goal, high, middle)
    return (low + high) / 2
