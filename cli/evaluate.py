"""`repricer evaluate`: compare policies on the same customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._options import emit, episodes_option, json_option, say, seed_option, show
from ._policies import policy_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation import Comparison, Estimate


@click.command(name="evaluate")
@click.argument("scenario")
@click.option("--policy", "policies", multiple=True, required=True, metavar="P", help="Run folder, bundle or rule.")
@episodes_option
@seed_option
@json_option
def command(scenario: str, policies: tuple[str, ...], episodes: int, seed: int, as_json: bool) -> None:
    """Compare policies in SCENARIO on customers that none of them was tuned or trained on.

    A policy P is a run folder, a bundle, or a rule: fixed:PRICE, regular, historical, best-fixed, cost-plus:RATE,
    myopic, optimum, random. The best fixed price is always in the table.
    """
    from ..evaluation import evaluate
    from ..scenarios import load_scenario

    spec = load_scenario(scenario)
    comparison = evaluate(spec, [policy_of(p, spec, seed=seed) for p in policies], episodes=episodes, seed=seed)
    if as_json:
        emit(comparison.to_dict())
        return
    show(comparison_table(comparison))
    if comparison.optimum:
        say(f"Optimum {comparison.optimum['value']:.6g} by {comparison.optimum['method']}.")


def comparison_table(comparison: Comparison) -> Table:
    """The comparison as a table for a terminal."""
    from rich.table import Table

    spec = comparison.spec
    table = Table(
        title=f"{spec.name}: {comparison.count:,} judging markets, {spec.market.currency} an episode",
        caption=f"Objective: {spec.market.objective}. Brackets: 95% intervals, differences paired by customer.",
    )
    table.add_column("policy")
    for heading in ("objective", "share of optimum", "against best fixed", "revenue", "average price", "price changes"):
        table.add_column(heading, justify="right")
    for row in comparison.rows:
        share = "" if row.share_of_optimum is None else f"{row.share_of_optimum:.2%}"
        table.add_row(
            row.policy + (" (constant)" if row.constant else ""),
            interval(row.objective),
            share + (" exact" if share and row.method.startswith("exact") else ""),
            interval(row.vs_best_fixed, signed=True),
            f"{row.revenue.mean:,.2f}",
            f"{row.average_transaction_price:.3f}",
            f"{row.price_changes:.1f}",
        )
    return table


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """`12.3 [11.9, 12.7]`."""
    sign = "+" if signed else ""
    return f"{estimate.mean:{sign},.2f} [{estimate.low:{sign},.2f}, {estimate.high:{sign},.2f}]"
