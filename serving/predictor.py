"""Market states in, allowed prices out, with what the price rules changed and why."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..pricing import (
    Action,
    MarketView,
    Policy,
    PolicyAtState,
    RecurrentPolicy,
    RecurrentState,
    as_rows,
    product_features,
)
from .actions import ordered, promoted, shown
from .bundle.reading import Bundle
from .market_state import Reading, State, read_state, view_of
from .recurrent_state import MEMORY, apart, together


@dataclass
class Change:
    """What one price rule changed: its name, the value before and after (price, or discounts by segment), the rule."""

    rule: str
    before: Any
    after: Any
    why: str


@dataclass
class ProductPrice:
    """The answer for one product.

    proposed: what the policy wanted, None where that was no number. price: the allowed list price. Both currency per
    unit. discounts: allowed fraction of the list price by segment, empty where the scenario has none. promotion: whether
    to promote it, order_units: how many to order; None where the policy does not decide that. trail: what the price
    rules changed, in order. prior_lowest_price: where the price is reduced and the state says it, the lowest list price
    of the 30 days before, which an announcement of the reduction must show; else None.
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

    policy: name of the policy. bundle: SHA-256 of the manifest. scenario: name and version. prices: one a product, in
    the catalogue's order. recommendations: the product for each segment's slot or None, empty where there are no slots.
    memory: what a policy that looks back must be sent again, as it is, with the next period's state; else None.
    milliseconds: what working it out took, together with the states asked at the same time.
    """

    policy: str
    bundle: str
    scenario: str
    period: int
    prices: list[ProductPrice]
    recommendations: dict[str, str | None]
    memory: str | None
    milliseconds: float

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        prices = [vars(price) | {"trail": [vars(change) for change in price.trail]} for price in self.prices]
        return vars(self) | {"prices": prices}


class PriceRequest(NamedTuple):
    """One market state, read, and the notes of the period before (None where there are none)."""

    reading: Reading
    notes: RecurrentState | None


class ObservedMarkets(NamedTuple):
    """Several markets as a bundle's policy sees them; every reader of a request shares these features.

    Attributes:
        view: The markets' view.
        features: (E, N, F) of `product_features`, with the fixed columns where a row of the network is a product.
        notes: The notes of each market, None where an episode starts.
    """

    view: MarketView
    features: NDArray[np.float32]
    notes: Sequence[RecurrentState | None]


class Predictor:
    """Answers from a bundle; one may be used by several threads.

    policy: answers in place of the bundle's own, under the same price rules. Where the bundle's own looks back, its notes go
    on all the same, so that it can take over again.
    """

    def __init__(self, bundle: Bundle, policy: Policy | None = None) -> None:
        self.bundle = bundle
        self.policy: Policy = bundle.policy if policy is None else policy

    def read(self, state: State) -> PriceRequest:
        """A market state, as `market_view` describes it. Raises StateError (a ValueError)."""
        reading = read_state(self.bundle.catalogue, state)
        return PriceRequest(reading, self.bundle.memory.read(state.get(MEMORY), reading.period))

    def observe(self, asked: Sequence[PriceRequest]) -> ObservedMarkets:
        """Several markets whose states were read, with their features."""
        view = view_of(self.bundle.catalogue, [one.reading for one in asked])
        features = product_features(view, fixed=self.bundle.policy.product_wise)
        return ObservedMarkets(view, features, [one.notes for one in asked])

    def price(self, state: State) -> PriceAnswer:
        """Prices for one market state. Raises StateError (a ValueError)."""
        return self.price_all([self.read(state)])[0]

    def price_all(self, asked: Sequence[PriceRequest]) -> list[PriceAnswer]:
        """Prices for each of several market states, computed together."""
        started = time.perf_counter()
        return self.price_observed(self.observe(asked), started)

    def price_observed(self, seen: ObservedMarkets, started: float | None = None) -> list[PriceAnswer]:
        """Prices for each of several markets that `see` has seen.

        Args:
            seen: The markets.
            started: Time of `time.perf_counter` from which the answer's milliseconds count; now by default.
        """
        started = time.perf_counter() if started is None else started
        view = seen.view
        action, memory = self._act(seen)
        prices, recommendations = self._prices(action, view), self._recommendations(action, view)
        milliseconds = round((time.perf_counter() - started) * 1e3, 4)
        return [
            PriceAnswer(
                policy=self.policy.name,
                bundle=self.bundle.digest,
                scenario=self.bundle.scenario,
                period=period,
                prices=prices[e],
                recommendations=recommendations[e],
                memory=memory[e],
                milliseconds=milliseconds,
            )
            for e, period in enumerate(view.period.tolist())
        ]

    def recalling(self, seen: ObservedMarkets) -> Policy:
        """The policy as it answers other views of this one market, with its notes as they are."""
        policy = self.policy
        if not isinstance(policy, RecurrentPolicy):
            return policy
        return PolicyAtState(policy, together(policy, self._rows(seen), seen.notes))

    def _rows(self, seen: ObservedMarkets) -> NDArray[np.float32]:
        return as_rows(seen.features, product_wise=self.bundle.policy.product_wise)

    def _act(self, seen: ObservedMarkets) -> tuple[Action, Sequence[str | None]]:
        """The action for every market, and the texts of the notes that they leave."""
        own, view = self.bundle.policy, seen.view
        if not isinstance(own, RecurrentPolicy):
            action = own.propose(view, self._rows(seen)) if self.policy is own else self.policy.act(view)
            return action, [None] * view.num_markets
        rows = self._rows(seen)
        action, notes = own.answer(view, together(own, rows, seen.notes), rows)
        periods = view.period.tolist()
        texts = [self.bundle.memory.write(*one) for one in zip(apart(notes, len(periods)), periods, strict=True)]
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
        segments = catalogue.segments
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
                    ],
                    prior_lowest_price=None if prior is None else _plain(prior[e][n]),
                )
                for n, product in enumerate(catalogue.products)
            ]
            for e in range(view.num_markets)
        ]

    def _recommendations(self, action: Action, view: MarketView) -> list[dict[str, str | None]]:
        catalogue, candidates = self.bundle.catalogue, self.bundle.candidates
        if candidates is None or action.recommendation is None:
            return [{} for _ in range(view.num_markets)]
        names = (*catalogue.products, None)  # -1 is none
        return [
            dict(zip(catalogue.segments, [names[n] for n in slots], strict=True))
            for slots in shown(action.recommendation, candidates, view.on_hand).tolist()
        ]


def _plain(value: Any) -> Any:
    """A float32 to the seven digits that it has (1.55, not 1.5500000715255737); None for what is no number."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(f"{value:.7g}") if math.isfinite(value) else None
