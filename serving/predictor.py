"""From market states to allowed prices, with the changes that the price rules made."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..pricing import (
    OUTSIDE_CHARGED,
    Action,
    MarketView,
    NetworkPolicy,
    Policy,
    PolicyAtState,
    RecurrentPolicy,
    RecurrentState,
    as_rows,
    product_features,
)
from .actions import ordered, promoted, shown_products
from .bundle.reading import Bundle
from .market_state import Reading, State, read_state, view_of
from .recurrent_state import MEMORY, split, stacked


@dataclass
class Change:
    """The change that one price rule made, or the mark of a price outside what the shop charged.

    Attributes:
        rule: Name of the rule.
        before: The price, or the discounts by segment, before the rule.
        after: The same after it.
        why: The rule in words.
    """

    rule: str
    before: Any
    after: Any
    why: str


@dataclass
class ProductPrice:
    """The answer for one product.

    Attributes:
        product: Its name.
        proposed: The price that the policy proposed, currency per unit; None if it was not a
            number.
        price: The allowed list price, currency per unit.
        discounts: Allowed discount of each segment as a fraction of the list price; empty without
            personal discounts.
        promotion: Whether to promote the product; None where the policy does not decide it.
        order_units: Units to order; None where the policy does not decide it.
        trail: The changes that the price rules made, in order. A price outside what the shop
            charged ends it with the mark `outside_charged`, which changes nothing.
        prior_lowest_price: Lowest list price of the previous 30 days, which an announced reduction
            must show; None where the price is not reduced or the state does not give it.
    """

    product: str
    proposed: float | None
    price: float
    discounts: dict[str, float]
    promotion: bool | None
    order_units: float | None
    trail: list[Change]
    prior_lowest_price: float | None = None


@dataclass
class PriceAnswer:
    """The answer for one market state.

    Attributes:
        policy: Name of the policy.
        bundle: SHA-256 of the bundle's manifest.
        scenario: Name and version of the scenario.
        period: Number of the period.
        date: Its first day, YYYY-MM-DD; None where the market has no calendar.
        prices: One per product, in the catalogue's order.
        recommendations: The product for each segment's slot, or None; empty without slots.
        memory: Recurrent state as text, to be sent unchanged with the next period's state; None
            without one.
        milliseconds: Computing time, together with the states that were priced at the same time.

    Example:
        >>> from repricer.serving import example_state, load_bundle
        >>> bundle = load_bundle("bundle")
        >>> answer = Predictor(bundle).price(example_state(bundle.catalogue))
        >>> answer.period, answer.bundle == bundle.digest
        (0, True)
    """

    policy: str
    bundle: str
    scenario: str
    period: int
    date: str | None
    prices: list[ProductPrice]
    recommendations: dict[str, str | None]
    memory: str | None
    milliseconds: float

    @property
    def when(self) -> str:
        """The period in words: its first day, or its number."""
        return self.date or f"period {self.period}"

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        prices = [vars(price) | {"trail": [vars(change) for change in price.trail]} for price in self.prices]
        return vars(self) | {"prices": prices}


class PriceRequest(NamedTuple):
    """One checked market state, and the recurrent state of the period before (None without one)."""

    reading: Reading
    recurrent: RecurrentState | None


class ObservedMarkets(NamedTuple):
    """Several markets as a bundle's policy observes them; all that a request computes shares these
    features.

    Attributes:
        view: The view of the markets.
        features: (E, N, F) of `product_features`, with the fixed columns where a row of the network
            is a product.
        recurrent: The recurrent state of each market, None where an episode starts.
    """

    view: MarketView
    features: NDArray[np.float32]
    recurrent: Sequence[RecurrentState | None]


class Predictor:
    """Prices market states by a bundle; several threads may share one.

    Args:
        bundle: A loaded bundle.
        policy: Prices in place of the bundle's policy, under the same price rules. The recurrent
            state of the bundle's policy, where it has one, is carried on all the same.

    Example:
        >>> from repricer.serving import example_state, load_bundle
        >>> bundle = load_bundle("bundle")
        >>> answer = Predictor(bundle).price(example_state(bundle.catalogue))
        >>> [item.product for item in answer.prices] == list(bundle.catalogue.products)
        True
    """

    def __init__(self, bundle: Bundle, policy: Policy | None = None) -> None:
        self.bundle = bundle
        self.policy: Policy = bundle.policy if policy is None else policy

    def read(self, state: State) -> PriceRequest:
        """Check a market state. Raises StateError (a ValueError)."""
        reading = read_state(self.bundle.catalogue, state)
        return PriceRequest(reading, self.bundle.memory.read(state.get(MEMORY), reading.period))

    def observe(self, asked: Sequence[PriceRequest]) -> ObservedMarkets:
        """The view and the features of several markets whose states were read."""
        view = view_of(self.bundle.catalogue, [one.reading for one in asked])
        features = product_features(view, fixed=getattr(self.bundle.policy, "product_wise", False))
        return ObservedMarkets(view, features, [one.recurrent for one in asked])

    def price(self, state: State) -> PriceAnswer:
        """Prices for one market state.

        Args:
            state: Plain data, as `example_state` shows.

        Raises:
            StateError: The state cannot be read; a ValueError with one line.
        """
        return self.price_all([self.read(state)])[0]

    def price_all(self, asked: Sequence[PriceRequest]) -> list[PriceAnswer]:
        """Prices for each of several market states, computed together."""
        started = time.perf_counter()
        return self.price_observed(self.observe(asked), started)

    def price_observed(self, seen: ObservedMarkets, started: float | None = None) -> list[PriceAnswer]:
        """Prices for each of several observed markets.

        Args:
            seen: The markets.
            started: Start of the computing time, in the seconds of `time.perf_counter`; now by
                default.
        """
        started = time.perf_counter() if started is None else started
        view = seen.view
        action, memory = self._act(seen)
        prices, recommendations = self._prices(action, view), self._recommendations(action, view)
        milliseconds = round((time.perf_counter() - started) * 1e3, 4)
        calendar = self.bundle.catalogue.calendar
        return [
            PriceAnswer(
                policy=self.policy.name,
                bundle=self.bundle.digest,
                scenario=self.bundle.scenario,
                period=period,
                date=None if calendar is None else calendar.label(period),
                prices=prices[e],
                recommendations=recommendations[e],
                memory=memory[e],
                milliseconds=milliseconds,
            )
            for e, period in enumerate(view.period.tolist())
        ]

    def at_state(self, seen: ObservedMarkets) -> Policy:
        """The policy for other views of this one market, with its recurrent state held as it is."""
        policy = self.policy
        if not isinstance(policy, RecurrentPolicy):
            return policy
        return PolicyAtState(policy, stacked(policy, self._rows(seen), seen.recurrent))

    def _rows(self, seen: ObservedMarkets) -> NDArray[np.float32]:
        return as_rows(seen.features, product_wise=self.bundle.policy.product_wise)

    def _act(self, seen: ObservedMarkets) -> tuple[Action, Sequence[str | None]]:
        """The action for every market, and the text of each new recurrent state."""
        own, view = self.bundle.policy, seen.view
        if not isinstance(own, RecurrentPolicy):
            network = self.policy is own and isinstance(own, NetworkPolicy)
            action = own.propose(view, self._rows(seen)) if network else self.policy.act(view)
            return action, [None] * view.num_markets
        rows = self._rows(seen)
        action, recurrent = own.answer(view, stacked(own, rows, seen.recurrent), rows)
        periods = view.period.tolist()
        texts = [self.bundle.memory.write(*one) for one in zip(split(recurrent, len(periods)), periods, strict=True)]
        return (action if self.policy is own else self.policy.act(view)), texts

    def _prices(self, action: Action, view: MarketView) -> list[list[ProductPrice]]:
        catalogue, rules = self.bundle.catalogue, self.bundle.guardrails
        allowed, traces = rules.apply_traced(action, view)
        most, largest = self.bundle.most_promoted, catalogue.max_order_units
        promotion = None if action.promotion is None or most is None else promoted(action.promotion, most)
        order = None if action.order is None or largest is None else ordered(action.order, largest)
        columns = (action.price, allowed.price, allowed.discount, promotion, order, allowed.prior_price)
        proposed, price, discount, promotion, order, prior = (None if c is None else c.tolist() for c in columns)
        assert proposed is not None
        assert price is not None
        segments, marks = catalogue.segments, self._marks(allowed.price)
        return [
            [
                ProductPrice(
                    product=product,
                    proposed=_plain(proposed[e][n]),
                    price=_plain(price[e][n]),
                    discounts={} if discount is None else dict(zip(segments, _plain(discount[e][n]), strict=True)),
                    promotion=None if promotion is None else promotion[e][n],
                    order_units=None if order is None else order[e][n],
                    trail=[
                        Change(step.rule, _plain(step.before), _plain(step.after), step.why)
                        for step in traces[e][n]
                        if step.moved
                    ]
                    + marks.get((e, n), []),
                    prior_lowest_price=None if prior is None else _plain(prior[e][n]),
                )
                for n, product in enumerate(catalogue.products)
            ]
            for e in range(view.num_markets)
        ]

    def _marks(self, price: NDArray[np.float32]) -> dict[tuple[int, int], list[Change]]:
        """By market and product, the mark of a price (E, N) outside what the shop charged."""
        charged = self.bundle.charged
        if charged is None:
            return {}
        return {
            (e, n): [Change(OUTSIDE_CHARGED, _plain(float(price[e, n])), _plain(float(price[e, n])), charged.words(n))]
            for e, n in np.argwhere(charged.outside(price)).tolist()
        }

    def _recommendations(self, action: Action, view: MarketView) -> list[dict[str, str | None]]:
        catalogue, candidates = self.bundle.catalogue, self.bundle.candidates
        if candidates is None or action.recommendation is None:
            return [{} for _ in range(view.num_markets)]
        names = (*catalogue.products, None)  # -1 is none
        return [
            dict(zip(catalogue.segments, [names[n] for n in slots], strict=True))
            for slots in shown_products(action.recommendation, candidates, view.on_hand).tolist()
        ]


def _plain(value: Any) -> Any:
    """A float32 with its seven digits (1.55, not 1.5500000715255737); None for NaN and infinity."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(f"{value:.7g}") if math.isfinite(value) else None
