"""Answer a question in sentences whose figures come from the explanation, the price rules, the state and the log.

A customer may hear them: none says what the shop expects to take or to earn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...pricing.wording import money_words, rule_words, units_words
from ..decision import Decision
from ..explanation.sentences import price_reasons
from ..explanation.what_if import COVERED, NoResponseError, product_index, what_if
from ..market_state import MARKET, StateError
from ..predictor import ObservedMarkets, Predictor
from .intents import NONE, intent_of, words
from .slots import find_prices, find_products

LONGEST = 300
"""Characters of a question."""
RECENT = 50
"""Decisions of a market in the log that are looked at."""
_LISTED = 8
_NAMED = 5
History = Callable[[str], Sequence[Mapping[str, Any]]]
"""The log's last decisions for a market, the latest first, a row a product."""


@dataclass(frozen=True)
class Answer:
    """What may be said to a question.

    Attributes:
        question: The question.
        intent: What it asks for; `none` where that is not known.
        confidence: Probability of the intent.
        product: Name of the product; None where none is known.
        answered: Whether the sentences answer it; otherwise they say what is missing.
        sentences: The answer.
        figures: The figures in the sentences by name, in currency per unit, units, or shares.
        source: Where they come from.
    """

    question: str
    intent: str
    confidence: float
    product: str | None
    answered: bool
    sentences: list[str]
    figures: dict[str, float] = field(default_factory=dict)
    source: str = ""


class _Asked(NamedTuple):
    """A question about product `n`: who answers, the market, its decision, and the log's rows of the product."""

    predictor: Predictor
    seen: ObservedMarkets
    decision: Decision
    n: int
    prices: list[float]
    log: Sequence[Mapping[str, Any]] | None

    @property
    def name(self) -> str:
        return self.decision.answer.prices[self.n].product

    @property
    def state(self) -> Mapping[str, Any]:
        return next(item for item in self.decision.state["products"] if item["product"] == self.name)

    @property
    def recorded(self) -> Mapping[str, Any] | None:
        """What the log holds for this very period, which counts more than what would be answered now."""
        answer, rows = self.decision.answer, self.log or []
        # Without a calendar, only the latest is surely of this period, and not of an earlier season.
        rows = rows if answer.date else rows[:1]
        return next((row for row in rows if (row["period"], row["date"]) == (answer.period, answer.date)), None)

    def money(self, value: float) -> str:
        return money_words(value, self.predictor.bundle.manifest["scenario"]["currency"])


class _Said(NamedTuple):
    """Sentences, their figures and source; no source where they do not answer the question."""

    sentences: list[str]
    figures: dict[str, float]
    source: str


def answer_question(
    question: Any,
    predictor: Predictor,
    seen: ObservedMarkets,
    decision: Decision,
    history: History | None = None,
    product: str | None = None,
) -> Answer:
    """What a customer-service desk may say to a question about a price.

    Args:
        question: Text in English, German, French or Spanish.
        seen: The one market of the decision, as the predictor observed it.
        decision: The prices of the market's state.
        history: Reads the decision log; None without one.
        product: Its name, where the question need not name it.

    Raises:
        StateError: The question is no text of 1 to 300 characters, or the product is unknown.
    """
    if not isinstance(question, str) or not question.strip() or len(question) > LONGEST:
        got = f"{len(question)} characters" if isinstance(question, str) else "something else"
        raise StateError(f"question must be text of 1 to {LONGEST} characters; got {got}; shorten or fill it")
    products, bundle = predictor.bundle.catalogue.products, predictor.bundle
    found, asked = find_products(words(question), products)
    if product is not None or len(products) == 1:
        found = [product_index(bundle, products[0] if product is None else product)]
    intent, chance = intent_of(asked)
    named = products[found[0]] if len(found) == 1 else None
    if intent == NONE:
        said = _Said(["I cannot answer this question.", _can()], {}, "")
    elif named is None:
        said = _which([products[n] for n in found], len(products))
    else:
        rows = None if history is None else history(decision.state.get("market", MARKET))
        log = None if rows is None else [row for row in rows if row["product"] == named]
        said = _ANSWERS[intent][1](_Asked(predictor, seen, decision, found[0], find_prices(asked), log))
    return Answer(
        question, intent, round(chance, 3), named, bool(said.source), said.sentences, said.figures, said.source
    )


def _which(found: list[str], known: int) -> _Said:
    if not found:
        return _Said([f"Which product is meant? The question names none of the catalogue's {known}."], {}, "")
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return _Said([f"Which product is meant? It may be {', '.join(found[:_NAMED])}{more}."], {}, "")


def _why(a: _Asked) -> _Said:
    row, price = a.recorded, a.decision.answer.prices[a.n].price
    if row is None or row["price"] == price:
        policy = a.predictor.at_state(a.seen)
        reasons = price_reasons(a.predictor.bundle, policy, a.seen.view, a.decision, a.name)
        return _Said(reasons, {"price": price}, "explanation")
    steps = [f"The rule '{rule_words(step['rule'])}' changed it: {step['why']}." for step in row["trail"]]
    said = [
        f"The price of {a.name} in this period is {a.money(row['price'])}, as the decision log holds it "
        f"({row['arm']}, {row['policy']}).",
        *(steps or ["No price rule changed what was proposed."]),
    ]
    return _Said(said, {"price": row["price"]}, "decision log")


def _price(a: _Asked) -> _Said:
    row, answer = a.recorded, a.decision.answer
    price = answer.prices[a.n].price if row is None else row["price"]
    start = f" from {answer.date}" if answer.date else ""
    said = f"The price of {a.name} is {a.money(price)}{start}, before personal discounts."
    return _Said([said], {"price": price}, "policy" if row is None else "decision log")


def _stock(a: _Asked) -> _Said:
    units, coming = a.state["on_hand"], a.state.get("on_order", 0.0)
    if units is None:
        return _Said([f"No limit of the stock of {a.name} is known."], {}, "state")
    said = [f"{a.name} is sold out." if units == 0 else f"{_count(units)} units of {a.name} are in stock."]
    if coming:
        said.append(f"{_count(coming)} more are on order; when they arrive is not known here.")
    return _Said(said, {"on_hand": units, "on_order": coming}, "state")


def _lowest(a: _Asked) -> _Said:
    lowest = a.state.get("lowest_price_30_days")
    if lowest is None:
        return _Said(
            [f"The lowest price of {a.name} in the last 30 days is not known: the state does not say."], {}, ""
        )
    said = [f"The lowest list price of {a.name} in the last 30 days was {a.money(lowest)}."]
    if a.decision.answer.prices[a.n].prior_lowest_price is not None:
        said.append("The price is reduced: an announcement of the reduction must show it.")
    return _Said(said, {"lowest_price_30_days": lowest}, "state")


def _rules(a: _Asked) -> _Said:
    rules, n = a.predictor.bundle.guardrails, a.n
    low, high = (float(f"{bound[n]:.6g}") for bound in (rules.low, rules.high))
    said, figures = (
        [f"The price rules keep {a.name} from {a.money(low)} to {a.money(high)}."],
        {"low": low, "high": high},
    )
    if rules.frozen is not None and rules.frozen[n]:
        said.append("Its price is frozen: it does not change.")
    elif rules.max_change is not None:
        figures["max_change"] = change = float(np.broadcast_to(rules.max_change, rules.low.shape)[n])
        more = ", or as far as the planned prices do" if len(rules.planned_rows) else ""
        said.append(f"It changes by at most {change:.1%} from one period to the next{more}.")
    if rules.max_changes is not None and rules.change_window_periods is not None:
        figures |= {"max_changes": rules.max_changes, "change_window_periods": rules.change_window_periods}
        said.append(f"It changes at most {rules.max_changes} times in {rules.change_window_periods} periods.")
    if rules.direction != "any":
        said.append(f"It may only {'fall' if rules.direction == 'falling' else 'rise'}.")
    return _Said(said, figures, "price rules")


def _what_if(a: _Asked) -> _Said:
    if len(a.prices) != 1:
        return _Said([f"At which price? Name one price of {a.name}, such as 2.50."], {}, "")
    try:
        curve = what_if(a.predictor.bundle, a.seen.view, a.decision.answer, a.name, a.prices)
    except NoResponseError:
        return _Said(["This bundle carries no price response, so no sales can be predicted."], {}, "")
    point = curve.points[0]
    low, high = point.units.ci95
    said = [
        f"At {a.money(point.price)}, about {units_words(point.units.mean)} units of {a.name} are expected this period (95% "
        f"of such periods: {units_words(low)} to {units_words(high)}).",
        *([] if point.allowed_now else ["The price rules do not allow this price now."]),
        COVERED,
    ]
    figures = {"price": point.price, "units": point.units.mean, "low": low, "high": high}
    return _Said(said, figures, "what-if")


def _history(a: _Asked) -> _Said:
    if a.log is None:
        return _Said(["Past prices are not known here: there is no decision log."], {}, "")
    figures: dict[str, float] = {}
    for row in a.log:
        if len(figures) < _LISTED:
            figures.setdefault(row["date"] or f"period {row['period']}", row["price"])
    if not figures:
        return _Said([f"The decision log holds no price of {a.name} in this market."], {}, "")
    listed = "; ".join(f"{when}: {a.money(price)}" for when, price in figures.items())
    said = f"The last prices of {a.name} in the decision log, the latest first, by the start of their period: {listed}."
    return _Said([said], figures, "decision log")


def _offer(a: _Asked) -> _Said:
    row, rules = a.recorded, a.predictor.bundle.guardrails
    given = a.decision.answer.prices[a.n].discounts if row is None else row["discounts"]
    figures = {segment: share for segment, share in given.items() if share}
    said = ["Personal discounts are given by rule only; none can be promised beside them."]
    if figures:
        shares = ", ".join(f"{segment} {share:.1%}" for segment, share in figures.items())
        said.append(f"By customer segment, {a.name} has: {shares}; at most {rules.max_discount:.1%} is allowed.")
        figures["max_discount"] = rules.max_discount
    else:
        said.append(f"{a.name} has none in this period.")
    return _Said(said, figures, "policy" if row is None else "decision log")


_ANSWERS: dict[str, tuple[str, Callable[[_Asked], _Said]]] = {
    "why": ("why a price is what it is", _why),
    "price": ("what a product costs", _price),
    "stock": ("whether it is in stock", _stock),
    "lowest": ("its lowest price of the last 30 days", _lowest),
    "rules": ("which limits its price has", _rules),
    "what_if": ("what would sell at another price", _what_if),
    "history": ("its past prices", _history),
    "offer": ("which personal discounts there are", _offer),
}


def _can() -> str:
    return f"I can say {', '.join(what for what, _ in _ANSWERS.values())}."


def _count(units: float) -> str:
    return f"{units:,.10g}"
