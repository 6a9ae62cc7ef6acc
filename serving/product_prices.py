"""The answers for the products of a market, each with the changes that the price rules made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# What is ordered beside a price: from the supplier, and from the one that delivers sooner.
ORDERS = ("order_units", "express_units")


@dataclass
class Change:
    """The change that one price rule made, or the mark of a price outside what the shop mostly
    charged.

    Attributes:
        before: The price, or the discounts by segment, before the rule.
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
        express_units: Units to order from the supplier that delivers sooner; None likewise.
        trail: The changes that the price rules made, the strongest first. Marks that change nothing end it: `gave_way`, for
            a rule that gave way to stronger ones, and `outside_charged`, for a price outside what the shop charged.
        prior_lowest_price: Lowest list price of the 30 days before a reduction, which an announced reduction must
            show; None where none may be announced or the state does not give it.
        reduction: The reduction that may be announced, a fraction of that price; None likewise.
        notices: What must stand beside the price by the law, by jurisdiction; empty where the price is not personal.
    """

    product: str
    proposed: float | None
    price: float
    discounts: dict[str, float]
    promotion: bool | None
    order_units: float | None
    express_units: float | None
    trail: list[Change]
    prior_lowest_price: float | None = None
    reduction: float | None = None
    notices: dict[str, str] = field(default_factory=dict)


def rules_in(prices: Sequence[ProductPrice]) -> list[str]:
    """The rules that changed the answers of a market, once for every change."""
    # A mark changes nothing.
    return [step.rule for price in prices for step in price.trail if step.before != step.after]
