"""The answers for the products of a market: objects for a program, structs for JSON, kept by column for speed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from msgspec import Struct, defstruct, to_builtins


class Step(Struct, gc=False):
    """A `Change` that is quickly made and written."""

    rule: str
    before: Any
    after: Any
    why: str


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
    express_units: float | None
    trail: list[Change]
    prior_lowest_price: float | None = None


class PriceColumns(NamedTuple):
    """The fields of `ProductPrice` apart from its name, with a value per product; None for a field
    that no product has. Of discounts, a list by segment.
    """

    proposed: list[float | None]
    price: list[float]
    discounts: list[list[float]] | None
    promotion: Sequence[bool | None] | None
    order_units: Sequence[float | None] | None
    express_units: Sequence[float | None] | None
    trail: list[Sequence[Step]]
    prior_lowest_price: list[float | None] | None


_Row = defstruct("_Row", ["product", *PriceColumns._fields], gc=False)
"""A `ProductPrice` that is quickly made and written."""


class ProductPrices(Sequence[ProductPrice]):
    """The answers for all products of a market; an object is made when it is looked at.

    Args:
        products: N names.
        segments: K names.
    """

    def __init__(self, products: tuple[str, ...], segments: tuple[str, ...], columns: PriceColumns) -> None:
        self.products, self.segments, self.columns = products, segments, columns
        self._made: list[ProductPrice] | None = None

    @classmethod
    def of(cls, prices: Sequence[ProductPrice]) -> ProductPrices:
        """Answers by column; all with discounts for the same segments."""
        if isinstance(prices, cls):
            return prices
        segments = tuple(prices[0].discounts)
        columns = PriceColumns._make([getattr(price, name) for price in prices] for name in PriceColumns._fields)
        columns = columns._replace(
            discounts=[[price.discounts[name] for name in segments] for price in prices] if segments else None,
            trail=[[Step(c.rule, c.before, c.after, c.why) for c in price.trail] for price in prices],
        )
        return cls(tuple(price.product for price in prices), segments, columns)

    def rows(self) -> list[dict[str, Any]]:
        """The answers as plain JSON."""
        rows: list[dict[str, Any]] = to_builtins(self.structs())
        for row in rows:
            row["trail"] = list(row["trail"])
        return rows

    def structs(self) -> list[Struct]:
        """The answers as structs that are written as plain JSON, in a third of the time."""
        proposed, price, discounts, promotion, order, express, trail, prior = self.columns
        none, shares = [None] * len(price), [{}] * len(price)
        if discounts is not None:
            kind = _discounts(self.segments)
            shares = [kind(*row) for row in discounts]
        decided = (part or none for part in (promotion, order, express))
        return list(map(_Row, self.products, proposed, price, shares, *decided, trail, prior or none))

    def _all(self) -> list[ProductPrice]:
        if self._made is None:
            rows = self.rows()
            for row in rows:
                row["trail"] = [Change(**change) for change in row["trail"]]
            self._made = [ProductPrice(**row) for row in rows]
        return self._made

    def __len__(self) -> int:
        return len(self.products)

    @overload
    def __getitem__(self, index: int) -> ProductPrice: ...
    @overload
    def __getitem__(self, index: slice) -> list[ProductPrice]: ...
    def __getitem__(self, index: int | slice) -> ProductPrice | list[ProductPrice]:
        return self._all()[index]

    def __iter__(self) -> Iterator[ProductPrice]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == list(other)


def rules_in(prices: Sequence[ProductPrice]) -> list[str]:
    """The rules that changed the answers of a market, once for every change."""
    steps = (step for steps in ProductPrices.of(prices).columns.trail for step in steps)
    return [step.rule for step in steps if step.before != step.after]  # a mark changes nothing


@functools.lru_cache(maxsize=8)
def _discounts(segments: tuple[str, ...]) -> type[Struct]:
    """A struct with the discount of each segment, which takes a fifth of the time of a dictionary."""
    names = [f"segment_{k}" for k in range(len(segments))]
    return defstruct(
        "Discounts", [(name, float) for name in names], rename=dict(zip(names, segments, strict=True)), gc=False
    )
