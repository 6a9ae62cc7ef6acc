"""A price list read by product: its regular price, old and new, what becomes of its deals, and a decision for its weeks."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from ...pricing.planned_deals import DEAL
from ...pricing.price_rules.grids import SAME
from .rows import ListError, PriceRow, Status
from .summary import ListSummary, ProductSummary

BY_WEEK = "by week"
"""The status of a product whose weeks are not decided alike."""
MOST_MOVED = 2
"""A deal that is dropped in a week and added within so many periods of it has moved."""


class ProductDecision(NamedTuple):
    """What is decided about a product.

    Attributes:
        status: What is decided, or `BY_WEEK`.
        decided_price: For overridden: the price in the weeks without a deal, currency per unit.
        decided_by: Who decided.
        decision_reason: Why.
    """

    status: Status | Literal["by week"]
    decided_price: float | None = None
    decided_by: str = ""
    decision_reason: str = ""


class ListedProduct(Struct, frozen=True):
    """A product of a zone, over all its weeks.

    Attributes:
        rows: Its rows, by week.
        regular_price: The regular price now, currency per unit.
        new_regular_price: The regular price that is proposed.
        deals: By week, what becomes of a deal: kept, dropped, added, moved to WEEK, moved from WEEK; empty without one.
        reason: Why its prices change, or stay, once for all weeks: the reason of most of its changed prices.
        summary: What the list changes for it; None in a list without a summary.
    """

    rows: tuple[PriceRow, ...]
    regular_price: float
    new_regular_price: float
    deals: tuple[str, ...]
    reason: str
    summary: ProductSummary | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Zone and product."""
        return self.rows[0].zone, self.rows[0].product

    @property
    def change(self) -> float:
        """New regular price over the regular price, less one."""
        return self.new_regular_price / self.regular_price - 1

    def expected(self, name: str) -> float | None:
        """What is expected of units, revenue or profit in all its weeks; None where a week does not say."""
        values = [getattr(row, f"expected_{name}") for row in self.rows]
        return None if None in values else sum(values)

    @property
    def quiet(self) -> list[PriceRow]:
        """The rows of its weeks without a deal, as proposed."""
        return [row for row, deal in zip(self.rows, self.deals, strict=True) if not stands(deal)]

    @property
    def open_weeks(self) -> list[PriceRow]:
        """The rows that a decision about the product is about: those that are not decided yet, and where all are, all."""
        return [row for row in self.rows if row.status == "proposed"] or list(self.rows)

    @property
    def decision(self) -> ProductDecision:
        """What is decided about all its weeks together."""
        made = {_decision(row) for row in self.rows}
        regular = {_decision(row) for row in self.quiet}
        with_deal = {row.status for row, deal in zip(self.rows, self.deals, strict=True) if stands(deal)}
        if with_deal == {"approved"} and {one.status for one in regular} == {"overridden"}:
            made = regular
        if len(made) > 1:
            return ProductDecision(BY_WEEK)
        by = {row.decided_by for row in self.rows}
        return made.pop()._replace(decided_by=by.pop() if len(by) == 1 else "")

    def decided(self, weeks: Collection[dt.date], made: ProductDecision) -> list[PriceRow]:
        """The rows of some weeks with a decision about the product. An overridden price is the regular price: weeks with a
        deal are then approved.

        Args:
            weeks: First days of the weeks that the decision is about.
            made: The decision.

        Raises:
            ListError: A price is to hold in weeks that all have a deal.

        Example:
            >>> from repricer.serving.price_list.rows import sealed
            >>> row = PriceRow(
            ...     zone="all stores", product_id="1", product="tea", category="drinks", week=dt.date(2018, 1, 1),
            ...     current_price=2.0, new_price=2.2, change=0.1, reason="Raised.", check="",
            ... )
            >>> (tea,) = by_product([sealed(row)])
            >>> [row.status for row in tea.decided([dt.date(2018, 1, 1)], ProductDecision("approved"))]
            ['approved']
        """
        rows = [row for row in self.rows if row.week in weeks]
        quiet = {row.week for row in self.quiet}
        if made.status == "overridden" and not any(row.week in quiet for row in rows):
            must = "an overridden price of a product must have weeks without a deal"
            got = f"{self.key[1]!r} in {self.key[0]!r}, whose weeks all have one"
            raise ListError([f"{must}; got {got}; override single weeks"])
        found = []
        for row in rows:
            own = made
            if made.status == "overridden" and row.week not in quiet:
                own = made._replace(status="approved", decided_price=None)
            found.append(msgspec.structs.replace(row, **own._asdict(), decided_at=""))
        return found


def _decision(row: PriceRow) -> ProductDecision:
    return ProductDecision(row.status, row.decided_price, "", row.decision_reason)


def stands(deal: str) -> bool:
    """Whether a week has a deal in the list as proposed.

    Example:
        >>> [stands(deal) for deal in ("", "kept", "dropped", "moved to 2018-01-08", "moved from 2018-01-01")]
        [False, True, False, False, True]
    """
    return deal in ("kept", "added") or deal.startswith("moved from")


def by_product(rows: Sequence[PriceRow], summary: ListSummary | None = None) -> list[ListedProduct]:
    """The products of a list, in the order of their first rows.

    Args:
        rows: The rows.
        summary: The summary of the list, which knows the plan's deals. Without it, a deal is a price more than 2% below the
            product's highest in these weeks.

    Example:
        >>> by_product([])
        []
    """
    known = {} if summary is None else {(one.zone, one.product_id): one for one in summary.products}
    groups = defaultdict[tuple[str, str], list[PriceRow]](list)
    for row in rows:
        groups[row.zone, row.product].append(row)
    return [_listed(own, known.get((own[0].zone, own[0].product_id))) for own in groups.values()]


def _listed(rows: list[PriceRow], summary: ProductSummary | None) -> ListedProduct:
    rows = sorted(rows, key=lambda row: row.week)
    current = [row.current_price for row in rows]
    if summary is None:
        regular = usual_price(current)
        planned = [price < DEAL * regular for price in current]
    else:
        planned = [row.week in summary.planned_deals for row in rows]
        quiet = [price for price, deal in zip(current, planned, strict=True) if not deal]
        regular = _most_charged(quiet) if quiet else summary.regular_price
    proposed = [row.new_price for row, deal in zip(rows, planned, strict=True) if not deal]
    new_regular = _most_charged(proposed) if proposed else regular
    deals = _deals(rows, planned, min(regular, new_regular))
    moved = [row.reason for row in rows if abs(row.new_price / row.current_price - 1) > SAME]
    (reason, _), *_ = Counter(moved or [row.reason for row in rows]).most_common()
    return ListedProduct(tuple(rows), regular, new_regular, tuple(deals), reason, summary)


def usual_price(prices: Sequence[float]) -> float:
    """The price that is charged most often among those that are no deals, which lie within 2% of the highest; of several,
    the highest.

    Example:
        >>> usual_price([2.0, 2.0, 1.5, 2.02])
        2.0
    """
    highest = max(prices)
    return _most_charged([price for price in prices if price >= DEAL * highest])


def _most_charged(prices: Sequence[float]) -> float:
    counts = Counter(prices)
    return max(counts, key=lambda price: (counts[price], price))


def _deals(rows: Sequence[PriceRow], planned: Sequence[bool], regular: float) -> list[str]:
    """What becomes of the deals, by week; a price that stays as planned is what it was."""
    found = [""] * len(rows)
    for t, row in enumerate(rows):
        lower = row.new_price < DEAL * regular
        if planned[t]:
            found[t] = "kept" if lower or row.new_price <= row.current_price * (1 + SAME) else "dropped"
        elif lower and row.new_price < row.current_price * (1 - SAME):
            found[t] = "added"
    gone = [t for t, deal in enumerate(found) if deal == "dropped"]
    come = [t for t, deal in enumerate(found) if deal == "added"]
    pairs = sorted((abs(a - b), a, b) for a in gone for b in come if abs(a - b) <= MOST_MOVED)
    for _, a, b in pairs:
        if found[a] == "dropped" and found[b] == "added":
            found[a] = f"moved to {rows[b].week}"
            found[b] = f"moved from {rows[a].week}"
    return found
