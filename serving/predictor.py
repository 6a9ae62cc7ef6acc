"""One market state in, allowed prices out, with what the price rules changed and why."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from ..pricing import Action, MarketView, RememberingPolicy
from .bundle import Bundle
from .choosing import ordered, promoted, shown
from .memory import MEMORY
from .state import State, market_view


@dataclass(frozen=True)
class Change:
    """What one price rule changed: its name, the value before and after (price, or discounts by segment), the rule."""

    rule: str
    before: Any
    after: Any
    why: str


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class PriceAnswer:
    """The answer for one market state.

    policy: name of the policy. bundle: SHA-256 of the manifest. scenario: name and version. prices: one a product, in
    the catalogue's order. recommendations: the product for each segment's slot or None, empty where there are no slots.
    memory: what a policy that looks back must be sent again, as it is, with the next period's state; else None.
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


class Predictor:
    """Answers from a bundle; one may be used by several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def price(self, state: State) -> PriceAnswer:
        """Prices for one market state, as `market_view` describes it. Raises StateError (a ValueError)."""
        started = time.perf_counter()
        view = market_view(self.bundle.catalogue, state)
        action, memory = self._act(view, state)
        return PriceAnswer(
            policy=self.bundle.policy.name,
            bundle=self.bundle.digest,
            scenario=self.bundle.scenario,
            period=int(view.period[0]),
            prices=self._prices(action, view),
            recommendations=self._recommendations(action, view),
            memory=memory,
            milliseconds=round((time.perf_counter() - started) * 1e3, 4),
        )

    def _act(self, view: MarketView, state: State) -> tuple[Action, str | None]:
        """The policy's action, and the text of the notes that it leaves."""
        policy, memory, period = self.bundle.policy, self.bundle.memory, int(view.period[0])
        notes = memory.read(state.get(MEMORY), period)
        if not isinstance(policy, RememberingPolicy):
            return policy.act(view), None
        action, notes = policy.answer(view, notes)
        return action, memory.write(notes, period)

    def _prices(self, action: Action, view: MarketView) -> list[ProductPrice]:
        catalogue, rules = self.bundle.catalogue, self.bundle.guardrails
        allowed, traces = rules.apply(action, view), rules.traces(action, view)
        most, largest = self.bundle.most_promoted, catalogue.max_order_units
        promotion = None if action.promotion is None or most is None else promoted(action.promotion[0], most)
        order = None if action.order is None or largest is None else ordered(action.order[0], largest)
        prior = allowed.prior_price
        answers = []
        for n, product in enumerate(catalogue.products):
            discounts = [] if allowed.discount is None else _plain(allowed.discount[0, n].tolist())
            steps = [step for step in traces[n] if step.moved]
            answers.append(
                ProductPrice(
                    product=product,
                    proposed=_plain(float(action.price[0, n])),
                    price=_plain(float(allowed.price[0, n])),
                    discounts=dict(zip(catalogue.segments, discounts, strict=False)),
                    promotion=None if promotion is None else bool(promotion[n]),
                    order_units=None if order is None else float(order[n]),
                    trail=[Change(step.rule, _plain(step.before), _plain(step.after), step.why) for step in steps],
                    prior_lowest_price=None if prior is None else _plain(float(prior[0, n])),
                )
            )
        return answers

    def _recommendations(self, action: Action, view: MarketView) -> dict[str, str | None]:
        catalogue, candidates = self.bundle.catalogue, self.bundle.candidates
        if candidates is None or action.recommendation is None:
            return {}
        numbers = shown(action.recommendation[0], candidates, view.on_hand[0])
        names = [None if n is None else catalogue.products[n] for n in numbers]
        return dict(zip(catalogue.segments, names, strict=True))


def _plain(value: Any) -> Any:
    """A float32 to the seven digits that it has (1.55, not 1.5500000715255737); None for what is no number."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(f"{value:.7g}") if math.isfinite(value) else None
