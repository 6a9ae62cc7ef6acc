"""What a report is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...agents import Run
from ..compare.comparison import Comparison, Row

if TYPE_CHECKING:
    from ..compare.stress import StressTable

HISTORICAL = "historical"


@dataclass(frozen=True)
class ReportData:
    """What a report is made of.

    learned: the learned policy's row in the comparison, or None. run: the run that it comes from; without it there is no
    learning curve and no map of its prices. fit: the fit report (fit.json), whose parts are all optional. timings: {"stage",
    "seconds"} each. stress: what is left of the policies in stressed markets. tree: rules that imitate the learned prices, as
    text; tree_fidelity: their R².
    """

    comparison: Comparison
    run: Run | None = None
    learned: str | None = None
    fit: dict[str, Any] | None = None
    timings: list[dict[str, Any]] | None = None
    stress: StressTable | None = None
    tree: str | None = None
    tree_fidelity: float | None = None


def row_of(comparison: Comparison, policy: str) -> Row:
    """The learned policy's row. Raises ValueError where the comparison has none of this name."""
    if policy not in comparison.episodes:
        known = ", ".join(comparison.episodes)
        raise ValueError(f"learned must be a policy of the comparison ({known}); got '{policy}'; evaluate it first")
    return comparison.row(policy)


def currency_of(comparison: Comparison) -> str:
    """The currency after a space, or nothing where the scenario does not name it."""
    name = comparison.spec.market.currency
    return "" if name == "currency" else f" {name}"


def has_discounts(comparison: Comparison) -> bool:
    """Whether segments may get personal discounts."""
    return comparison.spec.prices.max_discount > 0


def labeller(data: ReportData) -> Callable[[str], str]:
    """How tables call a policy: the learned one is marked."""
    return lambda policy: f"learned ({policy})" if policy == data.learned else policy
