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
_NODES, _FREE_NODES, _LADDER_NODES = 101, 801, 4001
# Money of a price that the rules do not allow; finite, as it is multiplied by probabilities of zero.
_NEVER = -1e200


@dataclass(frozen=True)
class Links:
    """Y states that prices leave behind, of one kind.

    Attributes:
        spec: The market.
        n: The product.
        kind: What they are: "price", the current one; "rival", the competitor's; "reference"; or "" for a single state.
        values: (Y,) rising, currency per unit; a single NaN where nothing is left behind.
        prices: (P,) the product's prices; those between the bounds among the reference prices, where prices are continuous.
        start: The first state.
        following: (Y, P) the state after each price; where reference prices are interpolated, that below.
        share: (Y, P) weight of the state above.
        allowed: (Y, P) whether the price rules allow a price.
    """

    spec: MarketSpec
    n: int
    kind: str
    values: Array
    prices: Array
    start: int
    following: Units
    share: Array
    allowed: NDArray[np.bool_]

    @classmethod
    def cover(cls, spec: MarketSpec) -> bool:
        """Whether these are all links between the periods of a market, beside stock and regimes."""
        # Rules beyond bounds may look at competitors.
        rules, alone = spec.guardrails, len(spec.products.names) == 1 and spec.competitors is None
        steps = alone and rules.allowed_prices() is not None and spec.prices.max_changes is None
        answers = spec.competitors is None or all_stay(spec) or one_answers(spec)
        known = rules.bounds_only or (steps and rules.frozen is None and not len(rules.planned_rows))
        return answers and known and len(_kinds(spec)) <= 1

    @classmethod
    def of(cls, spec: MarketSpec, n: int, prices: Array) -> Links | None:
        """The links of a product's prices (P,); None where there are too many."""
        (kind,) = _kinds(spec) or ("",)
        values: Array | None = np.full(1, np.nan)
        first: Any = np.nan
        if kind == "price":
            first = float(spec.initial_price[n])
            near = np.isclose(prices, first, rtol=1e-6)
            values = prices if near.any() else np.union1d(prices, first)
        elif kind == "rival":
            prices, begin = charged(prices), initial_prices(spec)[:1]
            values, within = _reachable(spec, prices), spec.competitors and spec.competitors.answers_within_period
            first = begin[0] if within else answer(spec, charged(spec.initial_price), begin)[0]
        elif kind == "reference":
            values, prices = _reference_nodes(spec, n, prices)
            first = spec.initial_reference[n]
        if values is None or values.size * prices.size > _MOST_PAIRS:
            return None
        old, new = np.repeat(values, prices.size), np.tile(prices, values.size)
        following, share, allowed = np.zeros(old.size, np.intp), np.zeros(old.size), np.ones(old.size, bool)
        if kind == "price":
            following, allowed = np.searchsorted(values, new), _allowed(spec, old, new)
        elif kind == "rival":
            following = np.searchsorted(values, answer(spec, new, old))
        elif spec.reference_price is not None:
            after = spec.reference_price.memory * old + (1 - spec.reference_price.memory) * new
            following, share = _between(values, after)
        start = int(np.nanargmin(np.abs(values - first))) if kind else 0
        table = values.size, prices.size
        shaped = following.reshape(table), share.reshape(table), allowed.reshape(table)
        return cls(spec, n, kind, values, prices, start, *shaped)

    @property
    def size(self) -> int:
        """Y."""
        return self.values.size

    @property
    def interpolated(self) -> bool:
        """Whether values between reference prices are interpolated."""
        return self.kind == "reference"

    @property
    def smooth(self) -> bool:
        """Whether reference prices are the state, any price may be charged, and gains weigh as much as losses."""
        effect, n = self.spec.reference_price, self.n
        if effect is None or self.spec.guardrails.allowed_prices(n) is not None:
            return False
        even = effect.gain[n] == effect.loss[n] and effect.units_gain[n] == effect.units_loss[n]
        return bool(even) and self.prices.size > 2

    def parts(self) -> tuple[Array, list[dict[str, Any]]]:
        """(Y * P,) prices, and what else `expected_units` is given for them in each part of a period."""
        own, old = np.tile(self.prices, self.size), np.repeat(self.values, self.prices.size)
        if self.interpolated:
            reference = np.tile(self.spec.products.regular_price, (own.size, 1))
            reference[:, self.n] = old
            return own, [{"reference": reference}]
        if self.kind != "rival":
            return own, [{}]
        within = self.spec.competitors and self.spec.competitors.answers_within_period
        halves = [old, answer(self.spec, own, old)] if within else [old]
        return own, [{"rival_price": half[:, None]} for half in halves]

    def ahead(self, later: Array) -> Array:
        """(Y, P) values of the next states (Y,) after each price, by cubic polynomials where they are smooth."""
        found = self._mixed(later, slice(None))
        if not self.smooth:
            return found
        slope, rise, width = PchipInterpolator(self.values, later)(self.values, 1), np.diff(later), np.diff(self.values)
        below, above = ((side * width - rise)[self.following] for side in (slope[:-1], slope[1:]))
        return found + self.share * (1 - self.share) * (below - self.share * (below + above))

    def ahead_of(self, y: int, later: Array) -> Array:
        """As `ahead` for one state, (P, …); (…) where all prices lead to the same one."""
        return later[0] if self.size == 1 else self._mixed(later, y)

    def _mixed(self, later: Array, y: Any) -> Array:
        grown = (..., *[None] * (later.ndim - 1))
        following, share = self.following[y], self.share[y][grown]
        found = later[following]
        if self.interpolated:
            found = found + share * (later[following + 1] - found)
        return np.where(self.allowed[y][grown], found, _NEVER)

    def seen(self, view: MarketView) -> tuple[Units, Array]:
        """(E, W) states near to what a policy sees, and their weights: two where continuous prices are interpolated."""
        if not self.kind:
            return np.zeros((view.num_markets, 1), np.intp), np.ones((view.num_markets, 1))
        value = (view.reference_price if self.interpolated else view.list_price)[:, self.n].astype(np.float64)
        if self.kind == "rival":
            assert view.competitor_price is not None, "the market has a competitor"
            assert self.spec.competitors is not None, "the market has a competitor"
            old = view.competitor_price[:, 0].astype(np.float64)
            value = old if self.spec.competitors.answers_within_period else answer(self.spec, value, old)
        if self.interpolated and self.spec.guardrails.allowed_prices(self.n) is None:
            below, share = _between(self.values, value)
            share = np.clip(share, 0, 1)
            return np.stack([below, below + 1], axis=1), np.stack([1 - share, share], axis=1)
        nearest = np.searchsorted((self.values[1:] + self.values[:-1]) / 2, value)
        return nearest[:, None], np.ones((view.num_markets, 1))


def _kinds(spec: MarketSpec) -> list[str]:
    """What the prices of one period leave to the next."""
    moves = spec.competitors is not None and not all_stay(spec)
    kinds = {"price": not spec.guardrails.bounds_only, "rival": moves, "reference": spec.reference_price is not None}
    return [kind for kind, on in kinds.items() if on]


def _between(nodes: Array, value: Array) -> tuple[Units, Array]:
    """The numbers of the nodes below these values, and the weights of those above."""
    below = np.clip(np.searchsorted(nodes, value, side="right") - 1, 0, nodes.size - 2)
    return below, (value - nodes[below]) / (nodes[below + 1] - nodes[below])


def _reference_nodes(spec: MarketSpec, n: int, prices: Array) -> tuple[Array, Array]:
    """The reference prices that values are interpolated between, and the prices; fewer where stock is a part of the state."""
    low, high = float(spec.guardrails.low[n]), float(spec.guardrails.high[n])
    initial, free = float(spec.initial_reference[n]), np.isinf(spec.stock.initial_units[n])
    steps = spec.guardrails.allowed_prices(n)
    count = (_FREE_NODES if steps is None else _LADDER_NODES) if free else _NODES
    nodes = np.union1d(np.linspace(min(initial, low), max(initial, high), count), [initial, low, high])
    # Where losses weigh more than gains, it may be best to stay exactly at the reference price.
    return nodes, prices if steps is not None else nodes[(nodes >= low) & (nodes <= high)]


def _reachable(spec: MarketSpec, prices: Array) -> Array | None:
    """Prices that the competitor can reach, rising, or None where there are too many."""
    rival = initial_prices(spec)[:1]
    rival = np.union1d(rival, answer(spec, charged(spec.initial_price), rival))
    while rival.size * prices.size <= _MOST_PAIRS:
        more = np.union1d(rival, answer(spec, np.tile(prices, rival.size), np.repeat(rival, prices.size)))
        if more.size == rival.size:
            return rival
        rival = more
    return None


def _allowed(spec: MarketSpec, current: Array, wanted: Array) -> NDArray[np.bool_]:
    """Whether the price rules allow a price after a current one."""
    rows = [part.reshape(-1, 1).astype(np.float32) for part in (current, wanted)]
    nothing, period = np.zeros_like(rows[0]), np.zeros(len(current), np.intp)
    view = MarketView(catalogue_of(spec), period, rows[0], rows[0], nothing, nothing, nothing)
    allowed = spec.guardrails.apply(Action(rows[1]), view).price[:, 0]
    # Rules move what they do not allow by a step at least.
    step = np.diff(np.unique(wanted)).min() if np.unique(wanted).size > 1 else np.inf
    return np.abs(allowed - wanted) < step / 2
