"""The comparison as a table: one declaration of its columns, for plain text and for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        heading: What stands above it.
        cell: The text of a row, given the row's entry in `policies` of `Comparison.to_dict`.
    """

    heading: str
    cell: Callable[[Document], str]


def columns(document: Document) -> list[Column]:
    """The columns for a comparison, as `Comparison.to_dict` gives it; the first names the policy."""
    # There is no share of an optimum that is not above 0.
    limit = next((name for name in ("optimum", "bound") if (document[name] or {"value": 0})["value"] > 0), None)
    shares = [] if limit is None else [Column(f"share of {limit}", lambda row: _share(row, limit))]
    return [
        Column("policy", lambda row: row["policy"] + (" (constant)" if row["constant"] else "")),
        Column("objective", lambda row: interval(row["objective"])),
        *shares,
        Column("against best fixed", lambda row: interval(row["vs_best_fixed"], sign="+")),
        Column("revenue", lambda row: f"{row['revenue']['mean']:,.2f}"),
        Column("average price", lambda row: f"{row['average_transaction_price']:.3f}"),
        Column("price changes", lambda row: f"{row['price_changes']:.1f}"),
    ]


def title(document: Document, currency: str) -> str:
    """What stands above the table."""
    return f"{document['scenario']}: {document['episodes']:,} test episodes, {currency} per episode"


def caption(document: Document) -> str:
    """What stands below the table."""
    return f"Objective: {document['objective']}. Brackets: 95% intervals; differences are paired by episode."


def as_text(document: Document, currency: str) -> str:
    """The whole table as plain text, the first column aligned left and the others right."""
    head, *others = columns(document)
    rows = [[column.heading for column in (head, *others)]]
    rows += [[column.cell(row) for column in (head, *others)] for row in document["policies"]]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([title(document, currency), "", lines[0], rule, *lines[1:], "", caption(document)])


def interval(estimate: Document, sign: str = "") -> str:
    """A mean with its interval, `12.30 [11.90, 12.70]`; a single episode has no interval.

    Args:
        estimate: As `Estimate.to_dict` gives it.
        sign: "+" to show the sign of positive numbers.
    """
    low, high = estimate["ci95"]
    bounds = "" if low is None else f" [{low:{sign},.2f}, {high:{sign},.2f}]"
    return f"{estimate['mean']:{sign},.2f}{bounds}"


def _share(row: Document, limit: str) -> str:
    exact = " exact" if row["method"].startswith("exact") else ""
    return f"{row[f'share_of_{limit}']:.2%}{exact}"
