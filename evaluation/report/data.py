"""The contents of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...agents import Run
from ...pricing.wording import policy_words
from ..compare.comparison import Comparison, Row

if TYPE_CHECKING:
    from ..compare.stress import StressTable
    from ..uncertainty.by_product import ProductFigures

HISTORICAL = "historical"


@dataclass(frozen=True)
class ReportData:
    """The contents of a report.

    Attributes:
        comparison: What `evaluate` found.
        run: The run of the learned policy; without it there is no learning curve and no price map.
        learned: Name of the learned policy in the comparison, or None.
        fit: The fit report (fit.json), whose parts are all optional.
        timings: One `{"stage", "seconds"}` per stage.
        stress: How the policies do under stress.
        tree: Rules that imitate the learned prices, as text.
        tree_fidelity: R² of these rules.
        price_list: The rows of the price list of the recommended prices, by column.
        current: What the products are expected to sell and earn at the current prices; with a price list.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> from repricer.evaluation.report import ReportData
        >>> ReportData(evaluate("stationary-logit", ["fixed:9"], episodes=5), learned="fixed:9").learned
        'fixed:9'
    """

    comparison: Comparison
    run: Run | None = None
    learned: str | None = None
    fit: dict[str, Any] | None = None
    timings: list[dict[str, Any]] | None = None
    stress: StressTable | None = None
    tree: str | None = None
    tree_fidelity: float | None = None
    price_list: Sequence[Mapping[str, Any]] = ()
    current: ProductFigures | None = None


def row_of(comparison: Comparison, policy: str) -> Row:
    """The row of a policy. Raises ValueError where the comparison has none of this name."""
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
    """How tables name a policy: the learned one is marked."""
    return lambda policy: f"learned ({policy_words(policy)})" if policy == data.learned else policy
