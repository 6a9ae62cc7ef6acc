"""From market states to allowed prices, with the changes that the price rules made; fallback policies price under the same
rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import to_builtins
from msgspec.json import encode
from numpy.typing import NDArray

from ..pricing import (
    GAVE_WAY,
    OUTSIDE_CHARGED,
    RULES,
    Action,
    FixedPrice,
    GuardedAction,
    MarketView,
    NetworkPolicy,
    Policy,
    PolicyAtState,
    RecurrentPolicy,
    RecurrentState,
    as_rows,
    product_features,
)
from ..pricing.law import reduction
from ..pricing.price_rules.grids import seven_digits
from ..pricing.price_rules.overrides import gave_way_by_product
from .actions import on_sale, ordered, promoted, shown_products
from .bundle.reading import Bundle
from .market_state import CheckedState, State, StateError, read_state, view_of
from .product_prices import Change, ProductPrice
from .recurrent_state import MEMORY, split, stacked

_DAY = timedelta(days=1)
Fallback = Literal["in-force", "regular", "base"]


@dataclass
class PriceAnswer:
    """The answer for one market state.

    Attributes:
        policy: Name of the policy.
        bundle: SHA-256 of the bundle's manifest.
        scenario: Name and version of the scenario.
        period: Number of the period.
        date: Its first day, YYYY-MM-DD; None where the market has no calendar.
        last_day: Its last day, likewise.
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
    last_day: str | None
    prices: Sequence[ProductPrice]
    recommendations: dict[str, str | None]
    memory: str | None
    milliseconds: float

    @property
    def when(self) -> str:
        """The period in words: its first day, or its number."""
        return self.date or f"period {self.period}"

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON."""
        return to_builtins(self)

    def to_json(self) -> bytes:
        """The answer as JSON text."""
        return encode(self)


class PriceRequest(NamedTuple):
    """One checked market state, and the recurrent state of the period before (None without one)."""

    reading: CheckedState
    recurrent: RecurrentState | None


class ObservedMarkets(NamedTuple):
    """Several markets as a bundle's policy observes them; all that a request computes shares these
    features.

    Attributes:
        view: The view of the markets.
        features: (E, N, F) of `product_features`, with the fixed columns where a row of the network
            is a product.
        recurrent: The recurrent state of each market, None where an episode starts.
        jurisdictions: The jurisdiction that each state names, None for all of the bundle.
    """

    view: MarketView
    features: NDArray[np.float32]
    recurrent: Sequence[RecurrentState | None]
    jurisdictions: Sequence[str | None]


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
        named = reading.document.jurisdiction
        made_for = self.bundle.jurisdictions
        if named is not None and named not in made_for:
            must = f"jurisdiction must be one that the bundle was made for, {', '.join(made_for) or 'none'}"
            raise StateError(f"state: {must}; got {named!r}; leave it out, or load a bundle that was made for it")
        return PriceRequest(reading, self.bundle.memory.read(state.get(MEMORY), reading.period))

    def observe(self, asked: Sequence[PriceRequest]) -> ObservedMarkets:
        """The view and the features of several markets whose states were read."""
        view = view_of(self.bundle.catalogue, [one.reading for one in asked])
        features = product_features(view, fixed=getattr(self.bundle.policy, "product_wise", False))
        named = [one.reading.document.jurisdiction for one in asked]
        return ObservedMarkets(view, features, [one.recurrent for one in asked], named)

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
        return self.price_observed(self.observe(asked))

    def price_observed(self, seen: ObservedMarkets) -> list[PriceAnswer]:
        """Prices for each of several observed markets."""
        started = time.perf_counter()
        view = seen.view
        action, memory = self._act(seen)
        prices = self._prices(action, view, seen.jurisdictions)
        recommendations = self._recommendations(action, view)
        milliseconds = round((time.perf_counter() - started) * 1e3, 4)
        calendar = self.bundle.catalogue.calendar
        answers = list[PriceAnswer]()
        for period, price, shown, text in zip(view.period.tolist(), prices, recommendations, memory, strict=True):
            first = None if calendar is None else calendar.label(period)
            last = None if calendar is None else (calendar.day(period + 1) - _DAY).isoformat()
            names = self.policy.name, self.bundle.digest, self.bundle.scenario
            answers.append(PriceAnswer(*names, period, first, last, price, shown, text, milliseconds))
        return answers

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
        own = self.bundle.policy
        view = seen.view
        if not isinstance(own, RecurrentPolicy):
            network = self.policy is own and isinstance(own, NetworkPolicy)
            action = own.propose(view, self._rows(seen)) if network else self.policy.act(view)
            return action, [None] * view.num_markets
        rows = self._rows(seen)
        action, recurrent = own.answer(view, stacked(own, rows, seen.recurrent), rows)
        periods = view.period.tolist()
        texts = [self.bundle.memory.write(*one) for one in zip(split(recurrent, len(periods)), periods, strict=True)]
        return (action if self.policy is own else self.policy.act(view)), texts

    def _prices(
        self, action: Action, view: MarketView, jurisdictions: Sequence[str | None]
    ) -> list[list[ProductPrice]]:
        catalogue = self.bundle.catalogue
        most = self.bundle.most_promoted
        allowed = self.bundle.guardrails.apply(action, view)
        promotion = None if action.promotion is None or most is None else promoted(action.promotion, most)
        count = allowed.price.size
        size = catalogue.num_products

        def column(part: NDArray[Any] | None, plain: Callable[[NDArray[Any]], Any] = np.ndarray.tolist) -> list[Any]:
            return [None] * count if part is None else plain(part.ravel())

        parts = action.price, allowed.price, allowed.prior_price
        proposed, price, prior = (column(part, _plain) for part in parts)
        shares: list[dict[str, float]] = [{} for _ in range(count)]
        if allowed.discount is not None:
            rows = _plain(allowed.discount.reshape(count, -1))
            shares = [dict(zip(catalogue.segments, row, strict=True)) for row in rows]
        decided = map(column, (promotion, *ordered(action, catalogue)))
        names = catalogue.products * view.num_markets
        off = None if allowed.prior_price is None else reduction(allowed.price, allowed.prior_price)
        law = (column(off, _plain), self._notices(allowed, jurisdictions))
        columns = (names, proposed, price, shares, *decided, self._trails(allowed, price), prior, *law)
        answers = [ProductPrice(*row) for row in zip(*columns, strict=True)]
        return [answers[start : start + size] for start in range(0, count, size)]

    def _notices(self, allowed: GuardedAction, jurisdictions: Sequence[str | None]) -> list[dict[str, str]]:
        """What must stand beside every price of every market, by the jurisdiction that its state names."""
        law = self.bundle.guardrails.law
        size = self.bundle.catalogue.num_products
        personal = allowed.personal.ravel().tolist()
        if law is None or not any(personal):
            return [{} for _ in personal]
        own = [law.notices(asked) for asked in jurisdictions]
        return [own[k // size] if is_so else {} for k, is_so in enumerate(personal)]

    def _trails(self, allowed: GuardedAction, price: list[float]) -> list[list[Change]]:
        """The changes and the mark of every product of every market.

        Args:
            allowed: What the price rules made.
            price: The allowed prices.
        """
        trails: list[list[Change]] = [[] for _ in price]
        for step in allowed.steps:
            sides = _plain(step.before), _plain(step.after)
            for k, before, after in zip(np.flatnonzero(step.moved).tolist(), *sides, strict=True):
                trails[k].append(Change(step.rule, before, after, RULES[step.rule]))
        count = self.bundle.catalogue.num_products
        for market, n, rule, words in gave_way_by_product(self.bundle.guardrails, allowed.gave_way):
            k = market * count + n
            trails[k].append(Change(GAVE_WAY, price[k], price[k], f"{words}: {RULES[rule]}"))
        charged = self.bundle.charged
        if charged is not None:
            for k in np.flatnonzero(charged.outside(allowed.price)).tolist():
                words = charged.words(k % self.bundle.catalogue.num_products)
                trails[k].append(Change(OUTSIDE_CHARGED, price[k], price[k], words))
        return trails

    def _recommendations(self, action: Action, view: MarketView) -> list[dict[str, str | None]]:
        catalogue = self.bundle.catalogue
        candidates = self.bundle.candidates
        if candidates is None or action.recommendation is None:
            return [{} for _ in range(view.num_markets)]
        # Slot -1 shows no product.
        names = (*catalogue.products, None)
        stock = on_sale(view, ordered(action, catalogue))
        shown = shown_products(action.recommendation, candidates, stock).tolist()
        return [dict(zip(catalogue.segments, [names[n] for n in slots], strict=True)) for slots in shown]


def _plain(numbers: NDArray[np.floating]) -> list[Any]:
    """Numbers of single precision in lists, with their seven digits (1.55, not 1.5500000715255737); None for NaN and
    infinity.
    """
    digits = seven_digits(numbers)
    known = np.isfinite(digits)
    if known.all():
        return digits.tolist()
    plain = digits.astype(object)
    plain[~known] = None
    return plain.tolist()


# Fallback policies, which price in place of the learned policy under the same price rules.


@dataclass(frozen=True)
class CurrentPrices:
    """Keeps the current prices.

    The name is 'in-force' on the command line and in the decision log.
    """

    name: str = "in-force"

    def act(self, view: MarketView) -> Action:
        """Propose the current prices."""
        return Action(view.list_price)


def fallback_policy(name: str, bundle: Bundle) -> Policy:
    """A fallback policy: the current prices, the regular prices, or the base prices that the
    policy multiplies.

    Args:
        name: 'in-force', 'regular' or 'base'.
        bundle: The bundle of the learned policy.
    """
    if name == "in-force":
        return CurrentPrices()
    if name == "regular":
        return FixedPrice(bundle.catalogue.regular_price, name=name)
    return bundle.policy.base or FixedPrice(bundle.policy.base_price, name=name)
