"""Prices of several products tried together, for the form on the manager's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...pricing.price_rules.overrides import alike, allowed_gains, breach_line, breaches
from ..decision import Decision
from ..explanation import expected, product_index, response_of, sales_range, stock_on_sale
from ..market_state import StateError
from ..predictor import ObservedMarkets, Predictor

_NOTE = "This period at the mean of the fitted market, against the new prices. Profit is before stock costs. "
_NOTE += "`repricer what-if` has 90% intervals, and all weeks."


def tried_prices(predictor: Predictor, seen: ObservedMarkets, decision: Decision, prices: Any) -> dict[str, Any]:
    """What all products would sell and earn in the period of a state, with some at other prices than the policy gives.

    Args:
        predictor: Who answers the state.
        seen: The market as it observes it.
        decision: Its answer.
        prices: Price by product, currency per unit.

    Returns:
        Plain data for JSON: `rows` by product and their `total`, each with units, revenue and profit at the prices to try and
        their changes against the policy's, `warnings` and a `note`.

    Raises:
        StateError: A product is wrong, a price, or a price that leaves a firm rule.
        NoResponseError: The bundle has no price response.
    """
    bundle, view, answer = predictor.bundle, seen.view, decision.answer
    response, rules, catalogue = response_of(bundle), bundle.guardrails, bundle.catalogue
    given = np.array([item.price for item in answer.prices])
    tried = given.copy()
    for product, price in _checked(prices).items():
        tried[product_index(bundle, product)] = price
    mean, paid = expected(response, view, answer, np.stack([given, tried]), rules.paid_low)
    units = mean.sum(axis=1)
    sold = sales_range(units, response.overdispersion, stock_on_sale(view, answer), single=response.single).mean
    average = np.divide((mean * paid).sum(axis=1), units, out=paid.mean(axis=1), where=units > 0)
    figures = {"units": sold, "revenue": sold * average, "profit": sold * (average - rules.unit_cost)}
    old, new = given.tolist(), tried.tolist()
    rows = [{"product": name, "price": old[n], "tried": new[n]} for n, name in enumerate(catalogue.products)]
    total: dict[str, Any] = {}
    for name, (before, after) in figures.items():
        for n, row in enumerate(rows):
            row |= {name: float(after[n]), f"{name}_change": float(after[n] - before[n])}
        total |= {name: float(after.sum()), f"{name}_change": float((after - before).sum())}
    terms = {"money": bundle.manifest["objective"], "currency": bundle.manifest["scenario"]["currency"]}
    cost = rules.unit_cost * (terms["money"] == "profit")
    found = breaches(rules, catalogue, tried[None], given[None], view.list_price[:1].astype(np.float64))

    def sold_at(_: Any, price: Any, __: Any) -> Any:
        return expected(response, view, answer, price, rules.paid_low)[0].sum(axis=1)

    gains = allowed_gains(found, tried[None], view.reference_price[:1], sold_at, catalogue, cost)
    warnings = []
    for same, gain in alike(found, gains):
        week = [answer.date or f"period {answer.period}"]
        line = breach_line(same, gain, product=catalogue.products[same[0].product], weeks=week, **terms)
        if same[0].firm:
            raise StateError(f"prices must keep the rules that no person may leave; got {line}; try another price")
        warnings.append(line)
    return {"rows": rows, "total": total, "currency": terms["currency"], "warnings": warnings, "note": _NOTE}


def _checked(prices: Any) -> Mapping[str, float]:
    proper = isinstance(prices, dict) and prices
    for price in prices.values() if proper else [None]:
        if not isinstance(price, int | float) or isinstance(price, bool) or not 1e-6 <= price <= 1e9:
            raise StateError("prices must be numbers above zero by product; got something else; fix them")
    return prices
