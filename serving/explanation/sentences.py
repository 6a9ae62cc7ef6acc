"""Why this price: sentences for customer service, and the figures behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...pricing import INPUT_GROUPS, OUTSIDE_CHARGED, MarketView, Policy, price_contributions
from ...pricing.wording import money_words, policy_words, rule_words, units_words
from ..bundle.reading import Bundle
from ..decision import Decision
from ..predictor import PriceAnswer
from ..product_prices import Change, ProductPrice
from .what_if import Point, WhatIf, product_index, what_if


@dataclass(frozen=True)
class Effect:
    """The contribution of one group of inputs, or of one price rule.

    Attributes:
        cause: Name of the group (`pricing.INPUT_GROUPS`) or of the rule.
        effect: What it adds to the price, currency per unit.
    """

    cause: str
    effect: float


@dataclass(frozen=True)
class Attribution:
    """A price as a sum of contributions, currency per unit.

    Attributes:
        ordinary: The price that the policy proposes in an ordinary market.
        inputs: What each group of inputs adds.
        proposed: The price that the policy proposes: `ordinary` plus the inputs.
        rules: What each price rule adds.
        price: The price given: `proposed` plus the rules.
    """

    ordinary: float
    inputs: list[Effect]
    proposed: float
    rules: list[Effect]
    price: float


@dataclass(frozen=True)
class Explanation:
    """Why a product has its price.

    Attributes:
        product: Name of the product.
        price: The price given, currency per unit.
        policy: Name of the policy.
        sentences: The explanation in words.
        attribution: The price as a sum of contributions; None where the policy gave no number.
        curve: Results at other prices, None without a price response.
        best_alternative: The other allowed price that earns most of the policy's objective
            in this period.
    """

    product: str
    price: float
    policy: str
    sentences: list[str]
    attribution: Attribution | None
    curve: WhatIf | None
    best_alternative: Point | None


def explain_decision(bundle: Bundle, policy: Policy, view: MarketView, decision: Decision, product: Any) -> Explanation:
    """Explain one product's price in a decision.

    Args:
        policy: What gave the answer, with its recurrent state held fixed.
        decision: The answer, with its arm and warnings.

    Raises:
        StateError: For a product that the catalogue does not have.
    """
    n = product_index(bundle, product)
    item, money = decision.answer.prices[n], bundle.manifest["scenario"]["currency"]
    parts = _parts(policy, view, item, n)
    curve = None if bundle.response is None else what_if(bundle, view, decision.answer, product)
    best = None if curve is None else _alternative(curve, bundle.manifest["objective"])
    sentences = [
        *_reasons(bundle, view, decision, n, parts),
        *_demand(bundle, view, decision, item, best, money),
        *(f"Caution: {line}." for line in decision.warnings),
    ]
    return Explanation(item.product, item.price, decision.answer.policy, sentences, parts, curve, best)


def price_reasons(bundle: Bundle, policy: Policy, view: MarketView, decision: Decision, product: Any) -> list[str]:
    """The sentences of `explain_decision` that a customer may hear: why the price is what it is, without what the shop
    expects to sell and earn.

    Args:
        policy: What gave the answer, with its recurrent state held fixed.
        decision: The answer, with its arm and warnings.

    Raises:
        StateError: For a product that the catalogue does not have.
    """
    n = product_index(bundle, product)
    return _reasons(bundle, view, decision, n, _parts(policy, view, decision.answer.prices[n], n))


def _reasons(bundle: Bundle, view: MarketView, decision: Decision, n: int, parts: Attribution | None) -> list[str]:
    item, money = decision.answer.prices[n], bundle.manifest["scenario"]["currency"]
    return [
        _headline(bundle, view, decision.answer, n, money),
        _source(bundle, decision),
        *_inputs(parts, money),
        *(_rule(change, money) for change in item.trail),
        *_discounts(item),
    ]


def _parts(policy: Policy, view: MarketView, item: ProductPrice, n: int) -> Attribution | None:
    if item.proposed is None:
        return None
    found = price_contributions(policy, view, n)
    rules = [
        Effect(c.rule, round(c.after - c.before, 6))
        for c in item.trail
        if isinstance(c.before, float) and c.before != c.after
    ]
    inputs = [Effect(name, round(effect, 6)) for name, effect in found.inputs.items()]
    return Attribution(round(found.baseline, 6), inputs, item.proposed, rules, item.price)


def _headline(bundle: Bundle, view: MarketView, answer: PriceAnswer, n: int, money: str) -> str:
    item, start = answer.prices[n], f" from {answer.date}" if answer.date else ""
    before, regular = float(view.list_price[0, n]), float(bundle.catalogue.regular_price[n])
    move = "unchanged from" if _same(item.price, before) else "up from" if item.price > before else "down from"
    return (
        f"The price of {item.product} is {money_words(item.price, money)}{start}, {move} {money_words(before, money)}; "
        f"the regular price is {money_words(regular, money)}."
    )


def _source(bundle: Bundle, decision: Decision) -> str:
    if decision.arm == "fallback":
        return f"It comes from the fallback rule '{decision.answer.policy}', not from the learned policy."
    holds = bundle.manifest.get("holds", {"prices": "learned", "toward_current": 0})
    if holds["prices"] == "learned" and not holds["toward_current"]:
        return f"It comes from the learned policy ({policy_words(decision.answer.policy)})."
    return f"It comes from {holds['words']} ({policy_words(decision.answer.policy)})."


def _inputs(parts: Attribution | None, money: str) -> list[str]:
    """The largest effects first; effects below a thousandth of the price are left out."""
    if parts is None:
        return ["The policy gave no number, so the price rules kept the current price."]
    said = []
    for part in sorted(parts.inputs, key=lambda one: -abs(one.effect)):
        if abs(part.effect) > 1e-3 * parts.ordinary:
            verb = "raised" if part.effect > 0 else "lowered"
            cause = INPUT_GROUPS[part.cause].description
            said.append(f"{cause[0].upper()}{cause[1:]} {verb} it by {money_words(abs(part.effect), money)}.")
    if not said:
        return [f"The policy proposes {money_words(parts.proposed, money)}, as in an ordinary market."]
    ordinary = f"In an ordinary market it would have proposed {money_words(parts.ordinary, money)}."
    return [ordinary, *said, f"So it proposed {money_words(parts.proposed, money)}."]


def _rule(change: Change, money: str) -> str:
    if change.rule == OUTSIDE_CHARGED:
        return f"It is {change.why}; hardly any data say how customers respond to it."
    name = rule_words(change.rule)
    if isinstance(change.before, list):
        return f"The rule '{name}' cut the personal discounts: {change.why}."
    if change.before is None:
        return f"The rule '{name}' set the price to {money_words(change.after, money)}: {change.why}."
    if money_words(change.before, money) == money_words(change.after, money):
        return f"The rule '{name}' moved it by less than is shown, to {money_words(change.after, money)}: {change.why}."
    verb = "raised" if change.after > change.before else "lowered"
    return f"The rule '{name}' {verb} it from {money_words(change.before, money)} to {money_words(change.after, money)}: {change.why}."


def _discounts(item: ProductPrice) -> list[str]:
    given = [f"{segment} {share:.1%}" for segment, share in item.discounts.items() if share]
    return [f"Personal discounts: {', '.join(given)}."] if given else []


def _demand(
    bundle: Bundle, view: MarketView, decision: Decision, item: ProductPrice, best: Point | None, money: str
) -> list[str]:
    if bundle.response is None:
        return ["This bundle carries no price response, so no sales can be predicted."]
    here = what_if(bundle, view, decision.answer, item.product, [item.price]).points[0]
    said = [
        f"At this price about {units_words(here.units.mean)} units are expected this period (95% of such periods: "
        f"{units_words(here.units.ci95[0])} to {units_words(here.units.ci95[1])}), for {money_words(here.revenue.mean, money)} of revenue and "
        f"{money_words(here.profit.mean, money)} of profit."
    ]
    if best is not None:
        goal = bundle.manifest["objective"]
        there, now = (getattr(point, goal).mean for point in (best, here))
        compare = "more" if there > now else "less"
        said.append(
            f"The best other allowed price for this period alone is {money_words(best.price, money)}, with "
            f"{money_words(abs(there - now), money)} {compare} {goal}; the policy also takes later periods into account."
        )
    return said


def _alternative(curve: WhatIf, objective: str) -> Point | None:
    others = [point for point in curve.points if point.allowed_now and not _same(point.price, curve.price)]
    return max(others, key=lambda point: getattr(point, objective).mean) if others else None


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * max(one, other)
