"""A list by product: regular prices, what becomes of deals, and a decision for all weeks."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from repricer.serving.price_list.products import BY_WEEK, ListedProduct, ProductDecision, by_product
from repricer.serving.price_list.rows import ListError, PriceRow, sealed
from repricer.serving.price_list.summary import (
    ListSummary,
    ProductSummary,
    proposal_of,
    read_summary,
    summary_path,
    write_summary,
)

from .conftest import make_row

FIRST = dt.date(2018, 1, 1)


def week(t: int) -> dt.date:
    return FIRST + dt.timedelta(weeks=t)


def listed(current: list[float], new: list[float]) -> list[PriceRow]:
    return [
        make_row(week=week(t), current_price=one, new_price=other, change=other / one - 1)
        for t, (one, other) in enumerate(zip(current, new, strict=True))
    ]


def product(current: list[float], new: list[float], summary: ListSummary | None = None) -> ListedProduct:
    (found,) = by_product(listed(current, new), summary)
    return found


@pytest.mark.parametrize(
    ("current", "new", "deals"),
    [
        ([2, 1.5, 2, 2], [2.1, 1.5, 2.1, 2.1], ["", "kept", "", ""]),
        ([2, 1.5, 2, 2], [2.1, 1.6, 2.1, 2.1], ["", "kept", "", ""]),
        ([2, 1.5, 2, 2], [2.1, 2.1, 2.1, 2.1], ["", "dropped", "", ""]),
        ([2, 2, 2, 2], [2, 1.5, 2, 2], ["", "added", "", ""]),
        ([2, 1.5, 2, 2], [2, 2, 2, 1.5], ["", f"moved to {week(3)}", "", f"moved from {week(1)}"]),
        ([2, 1.5, 2, 2, 2], [2, 2, 2, 2, 1.5], ["", "dropped", "", "", "added"]),  # three weeks apart
        # A regular price that rises or falls in steps is no deal.
        ([2, 2, 2, 2, 2], [2, 2.1, 2.2, 2.2, 2.2], [""] * 5),
        ([2, 2, 2, 2, 2], [1.9, 1.8, 1.7, 1.7, 1.7], [""] * 5),
    ],
)
def test_what_becomes_of_deals(current: list[float], new: list[float], deals: list[str]) -> None:
    assert list(product(current, new).deals) == deals


def test_the_regular_price_is_the_usual_one_without_deals() -> None:
    found = product([2, 1.5, 1.5, 1.5, 2], [2.1, 1.5, 1.5, 1.5, 2.1])
    assert (found.regular_price, found.new_regular_price) == (2, 2.1)
    assert found.change == pytest.approx(0.05)


def test_the_plan_says_which_prices_are_deals() -> None:
    """A regular price that the shop itself raises in the middle is no deal before, and a product may be on deal throughout."""
    rows = listed([2, 2, 2.1, 2.1], [2, 2, 2.1, 2.1])
    assert by_product(rows)[0].deals == ("kept", "kept", "", "")

    def planned(regular: float, *deals: int) -> ListSummary:
        own = ProductSummary(
            zone="all stores", product_id="0001", regular_price=regular, planned_deals=tuple(map(week, deals))
        )
        return ListSummary(proposal=proposal_of(rows), currency="EUR", objective="profit", products=(own,))

    assert by_product(rows, planned(2.1))[0].deals == ("", "", "", "")
    always = by_product(rows, planned(2.5, 0, 1, 2, 3))[0]
    assert (always.regular_price, set(always.deals)) == (2.5, {"kept"})


def test_the_reason_is_that_of_most_changed_prices() -> None:
    rows = listed([2, 2, 2, 2], [2, 2.1, 2.1, 2.1])
    words = ["Stays.", "Raised 5%.", "Raised 5%.", "Raised more."]
    rows = [sealed(msgspec.structs.replace(row, reason=text)) for row, text in zip(rows, words, strict=True)]
    assert by_product(rows)[0].reason == "Raised 5%."


def test_a_decision_about_a_product_is_for_its_weeks_and_leaves_deals() -> None:
    found = product([2, 1.5, 2], [2.1, 1.5, 2.1])
    weeks = [week(0), week(1), week(2)]
    rows = found.decided(weeks, ProductDecision("overridden", 2.05, "Ann", "the rival"))
    assert [(row.status, row.price) for row in rows] == [("overridden", 2.05), ("approved", 1.5), ("overridden", 2.05)]
    (again,) = by_product(rows)
    assert again.decision == ProductDecision("overridden", 2.05, "Ann", "the rival")
    assert len(again.open_weeks) == 3
    mixed = by_product([*found.decided(weeks[:1], ProductDecision("approved")), *found.rows[1:]])[0]
    assert mixed.decision.status == BY_WEEK
    assert [row.week for row in mixed.open_weeks] == weeks[1:]
    with pytest.raises(ListError, match="must have weeks without a deal; got 'tea' in 'all stores'"):
        found.decided([week(1)], ProductDecision("overridden", 2.05, "Ann", "x"))


def test_a_summary_belongs_to_its_rows(tmp_path: Path) -> None:
    path, rows = tmp_path / "prices.csv", listed([2, 2], [2.1, 2.1])
    assert read_summary(path, rows) is None
    summary = ListSummary(proposal=proposal_of(rows), currency="EUR", objective="profit")
    write_summary(path, summary)
    decided = [msgspec.structs.replace(row, status="approved") for row in reversed(rows)]
    assert read_summary(path, decided) == summary
    with pytest.raises(ListError, match=r"must hold the summary of prices.csv; got that of other rows; write the list"):
        read_summary(path, rows[:1])
    summary_path(path).write_text("{}")
    with pytest.raises(
        ListError, match=r"prices.summary.json must hold the summary of prices.csv; got: Object missing"
    ):
        read_summary(path, rows)
    write_summary(path, None)
    assert not summary_path(path).exists()
