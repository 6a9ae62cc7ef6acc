"""What the prices of one period leave to the next: the current price, where rules allow only some prices after it; the
reference price; and the last price of a competitor that answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ..envs import catalogue_of
from ..pricing import Action, MarketView
from ..scenarios import MarketSpec
from .problem import Array, Units
from .rival_replies import all_stay, answer, charged, initial_prices, one_answers

_MOST_PAIRS = 4_000_000
# Reference prices between which values are interpolated: with stock, and without for continuous prices and for a ladder.
_NODES = 101
_FREE_NODES = 801
_LADDER_NODES = 4001
# Money of a price that the rules do not allow; finite, as it is multiplied by probabilities of zero.
_NEVER = -1e200


@dataclass(frozen=True)
class Links:
    """Y states that prices leave behind: current prices times competitor's prices times reference prices.

    Attributes:
        spec: The market.
        n: The product.
        levels: (I,) current prices, or a single NaN where they do not matter.
        rival: (R,) prices of the competitor, or a single NaN.
        nodes: (G,) reference prices, or a single NaN.
        prices: (P,) the product's prices; those between the bounds among the nodes, where prices are continuous.
        start: The first state.
        following: (Y, P) the state after each price; where reference prices are interpolated, that below.
        share: (Y, P) weight of the state above.
        allowed: (Y, P) whether the price rules allow a price.
    """

    spec: MarketSpec
    n: int
    levels: Array
    rival: Array
    nodes: Array
    prices: Array
    start: int
    following: Units
    share: Array
    allowed: NDArray[np.bool_]

    @classmethod
    def cover(cls, spec: MarketSpec) -> bool:
        """Whether these are all links between the periods of a market, beside stock and regimes."""
        # Rules beyond bounds may look at competitors.
        rules = spec.guardrails
        alone = len(spec.products.names) == 1 and spec.competitors is None
        steps = alone and rules.allowed_prices() is not None and spec.prices.max_changes is None
        answers = spec.competitors is None or all_stay(spec) or one_answers(spec)
        return answers and (rules.bounds_only or (steps and rules.frozen is None and not len(rules.planned_rows)))

    @classmethod
    def of(cls, spec: MarketSpec, n: int, prices: Array) -> Links | None:
        """The links of a product's prices (P,); None where there are too many."""
        rules = spec.guardrails
        none = np.full(1, np.nan)
        levels = none
        rival = none
        nodes = none
        first = [0, 0, 0]
        if not rules.bounds_only:
            initial = float(spec.initial_price[n])
            near = prices[np.abs(prices - initial).argmin()]
            levels = prices if np.isclose(near, initial, rtol=1e-6) else np.union1d(prices, initial)
            first[0] = int(np.abs(levels - initial).argmin())
        if spec.competitors is not None and not all_stay(spec):
            prices = charged(prices)
            found = _reachable(spec, prices)
            if found is None:
                return None
            rival = found
            within = spec.competitors.answers_within_period
            begin = initial_prices(spec)[:1]
            first[1] = int(
                np.searchsorted(rival, begin if within else answer(spec, charged(spec.initial_price), begin))[0]
            )
        if spec.reference_price is not None:
            nodes, prices = _reference_nodes(spec, n, prices, alone=levels.size == rival.size == 1)
            first[2] = int(np.searchsorted(nodes, spec.initial_reference[n]))
        shape = (levels.size, rival.size, nodes.size)
        if np.prod(shape) * prices.size > _MOST_PAIRS:
            return None
        level, old, reference = (part.ravel() for part in np.meshgrid(levels, rival, nodes, indexing="ij"))
        pair = np.tile(prices, level.size), *(np.repeat(part, prices.size) for part in (level, old, reference))
        index = [np.zeros(pair[0].size, np.intp) for _ in shape]
        share = np.zeros(pair[0].size)
        allowed = np.ones(pair[0].size, bool)
        if levels is not none:
            index[0] = np.searchsorted(levels, pair[0])
            allowed = _allowed(spec, pair[1], pair[0])
        if rival is not none:
            index[1] = np.searchsorted(rival, answer(spec, pair[0], pair[2]))
        if nodes is not none:
            assert spec.reference_price is not None, "there are reference prices"
            memory = spec.reference_price.memory
            after = memory * pair[3] + (1 - memory) * pair[0]
            index[2] = np.clip(np.searchsorted(nodes, after, side="right") - 1, 0, nodes.size - 2)
            share = (after - nodes[index[2]]) / (nodes[index[2] + 1] - nodes[index[2]])
        table = (level.size, prices.size)
        following = np.ravel_multi_index(tuple(index), shape).reshape(table)
        start = int(np.ravel_multi_index(tuple(first), shape))
        return cls(
            spec, n, levels, rival, nodes, prices, start, following, share.reshape(table), allowed.reshape(table)
        )

    @property
    def size(self) -> int:
        """Y."""
        return self.levels.size * self.rival.size * self.nodes.size

    @property
    def interpolated(self) -> bool:
        """Whether values between reference prices are interpolated."""
        return self.nodes.size > 1

    @property
    def smooth(self) -> bool:
        """Whether reference prices are the state, any price may be charged, and gains weigh as much as losses."""
        effect = self.spec.reference_price
        n = self.n
        if effect is None or self.size != self.nodes.size or self.spec.guardrails.allowed_prices(n) is not None:
            return False
        even = effect.gain[n] == effect.loss[n] and effect.units_gain[n] == effect.units_loss[n]
        return bool(even) and self.prices.size > 2

    def parts(self) -> tuple[Array, list[dict[str, Any]]]:
        """(Y * P,) prices, and what else `expected_units` is given for them in each part of a period."""
        shape = (self.levels.size, self.rival.size, self.nodes.size, self.prices.size)
        own = np.broadcast_to(self.prices, shape).ravel()
        given: dict[str, Any] = {}
        if self.interpolated:
            reference = np.tile(self.spec.products.regular_price, (own.size, 1))
            reference[:, self.n] = np.broadcast_to(self.nodes[:, None], shape).ravel()
            given["reference"] = reference
        rivals = self.spec.competitors
        if rivals is None or np.isnan(self.rival[0]):
            return own, [given]
        old = np.broadcast_to(self.rival[:, None, None], shape).ravel()
        halves = [old, answer(self.spec, own, old)] if rivals.answers_within_period else [old]
        return own, [{**given, "rival_price": half[:, None]} for half in halves]

    def ahead(self, later: Array) -> Array:
        """(Y, P) values of the next states (Y,) after each price, by cubic polynomials where they are smooth."""
        found = self._mixed(later, slice(None))
        if not self.smooth:
            return found
        slope = PchipInterpolator(self.nodes, later)(self.nodes, 1)
        rise = np.diff(later)
        width = np.diff(self.nodes)
        below, above = ((side * width - rise)[self.following] for side in (slope[:-1], slope[1:]))
        return found + self.share * (1 - self.share) * (below - self.share * (below + above))

    def ahead_of(self, y: int, later: Array) -> Array:
        """As `ahead` for one state, (P, …); (…) where all prices lead to the same one."""
        return later[0] if self.size == 1 else self._mixed(later, y)

    def _mixed(self, later: Array, y: Any) -> Array:
        grown = (..., *[None] * (later.ndim - 1))
        following = self.following[y]
        share = self.share[y][grown]
        found = later[following]
        if self.interpolated:
            found = found + share * (later[following + 1] - found)
        return np.where(self.allowed[y][grown], found, _NEVER)

    def seen(self, view: MarketView) -> tuple[Units, Array]:
        """(E, W) states near to what a policy sees, and their weights: two where continuous prices are interpolated."""
        count = view.num_markets
        index = [np.zeros(count, np.intp) for _ in range(3)]
        current = view.list_price[:, self.n].astype(np.float64)
        if self.levels.size > 1:
            index[0] = _nearest(self.levels, current)
        if not np.isnan(self.rival[0]):
            assert view.competitor_price is not None, "the market has a competitor"
            assert self.spec.competitors is not None, "the market has a competitor"
            old = view.competitor_price[:, 0].astype(np.float64)
            if not self.spec.competitors.answers_within_period:
                old = answer(self.spec, current, old)
            index[1] = _nearest(self.rival, old)
        weight = np.ones((count, 1))
        reference = view.reference_price[:, self.n].astype(np.float64)
        shape = (self.levels.size, self.rival.size, self.nodes.size)
        if self.interpolated and self.spec.guardrails.allowed_prices(self.n) is None:
            index[2] = np.clip(np.searchsorted(self.nodes, reference, side="right") - 1, 0, self.nodes.size - 2)
            below = self.nodes[index[2]]
            above = self.nodes[index[2] + 1]
            share = np.clip((reference - below) / (above - below), 0, 1)
            first = np.ravel_multi_index(tuple(index), shape)
            return np.stack([first, first + 1], axis=1), np.stack([1 - share, share], axis=1)
        if self.interpolated:
            index[2] = _nearest(self.nodes, reference)
        return np.ravel_multi_index(tuple(index), shape)[:, None], weight


def _nearest(values: Array, seen: Array) -> Units:
    """The numbers of the nearest of these rising values."""
    return np.searchsorted((values[1:] + values[:-1]) / 2, seen)


def _reference_nodes(spec: MarketSpec, n: int, prices: Array, *, alone: bool) -> tuple[Array, Array]:
    """The reference prices that values are interpolated between, and the prices; fewer where they are not the state alone."""
    low = float(spec.guardrails.low[n])
    high = float(spec.guardrails.high[n])
    initial = float(spec.initial_reference[n])
    free = alone and np.isinf(spec.stock.initial_units[n])
    steps = spec.guardrails.allowed_prices(n)
    count = _NODES
    if free:
        count = _FREE_NODES if steps is None else _LADDER_NODES
    nodes = np.union1d(np.linspace(min(initial, low), max(initial, high), count), [initial, low, high])
    # Where losses weigh more than gains, it may be best to stay exactly at the reference price.
    return nodes, prices if steps is not None else nodes[(nodes >= low) & (nodes <= high)]


def _reachable(spec: MarketSpec, prices: Array) -> Array | None:
    """All prices that the competitor may ever charge, in ascending order; None where there are too many.

    They are its initial price, its answer to the shop's initial price, and its answers to each of these prices (P,)
    from each price that it may charge itself.
    """
    initial = initial_prices(spec)[:1]
    reached = np.union1d(initial, answer(spec, charged(spec.initial_price), initial))
    while reached.size * prices.size <= _MOST_PAIRS:
        answers = answer(spec, np.tile(prices, reached.size), np.repeat(reached, prices.size))
        wider = np.union1d(reached, answers)
        if wider.size == reached.size:
            return reached
        reached = wider
    return None


def _allowed(spec: MarketSpec, current: Array, wanted: Array) -> NDArray[np.bool_]:
    """Whether the price rules allow a price after a current one."""
    rows = [part.reshape(-1, 1).astype(np.float32) for part in (current, wanted)]
    nothing = np.zeros_like(rows[0])
    period = np.zeros(len(current), np.intp)
    view = MarketView(catalogue_of(spec), period, rows[0], rows[0], nothing, nothing, nothing)
    allowed = spec.guardrails.apply(Action(rows[1]), view).price[:, 0]
    # Rules move what they do not allow by a step at least.
    step = np.diff(np.unique(wanted)).min() if np.unique(wanted).size > 1 else np.inf
    return np.abs(allowed - wanted) < step / 2
