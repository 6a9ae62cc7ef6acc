"""`repricer evaluate`: compare policies on the same customers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import comparison_table, emit, episodes_option, interval, json_option, say, seed_option, show
from ._policies import policy_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..scenarios import MarketSpec


@click.command(name="evaluate")
@click.argument("scenario")
@click.option("--policy", "policies", multiple=True, required=True, metavar="P", help="Run folder, bundle or rule.")
@click.option("--from-log", "log", type=click.Path(path_type=Path), help="Judge from a log that simulate --log wrote.")
@episodes_option
@seed_option
@json_option
def command(
    scenario: str, policies: tuple[str, ...], log: Path | None, episodes: int, seed: int, as_json: bool
) -> None:
    """Compare policies in SCENARIO on customers that none of them was tuned or trained on.

    A policy P is a run folder, a bundle, or a rule: fixed:PRICE, regular, historical, best-fixed, cost-plus:RATE,
    undercut:STEP, myopic, time-only, certainty-equivalent, thompson, optimum, random and others. The best fixed price is
    always in the table.

    With --from-log nothing is simulated: a log of decisions with propensities is weighed instead, by inverse propensity
    scoring (IPS), the same self-normalised (SNIPS), doubly robust, and by fitted Q evaluation.
    """
    from ..evaluation import evaluate
    from ..scenarios import load_scenario

    spec = load_scenario(scenario)
    if log is not None:
        _from_log(spec, log, policies, seed, as_json)
        return
    comparison = evaluate(spec, [policy_of(p, spec, seed=seed) for p in policies], episodes=episodes, seed=seed)
    document = comparison.to_dict()
    if as_json:
        emit(document)
        return
    show(comparison_table(document, spec.market.currency))
    for row in comparison.rows:
        for flag in row.flags:
            say(f"{row.policy}: {flag}.")
    for name, limit in (("Optimum", comparison.optimum), ("No policy earns more than", comparison.bound)):
        if limit:
            say(f"{name} {limit['value']:.6g} by {limit['method']}.")


def _from_log(spec: MarketSpec, path: Path, policies: tuple[str, ...], seed: int, as_json: bool) -> None:
    from ..evaluation import estimate_from_log, read_log

    log = read_log(spec, path)
    rows = [estimate_from_log(log, policy_of(p, spec, seed=seed)).to_dict() for p in policies]
    if as_json:
        emit({"scenario": spec.name, "objective": spec.market.objective, "log": str(path), "policies": rows})
        return
    show(_log_table(spec, rows))
    if ignored := rows[0]["ignored"]:
        say(f"Fitted Q alone follows what prices do to the periods after ({', '.join(ignored)}).")


def _log_table(spec: MarketSpec, rows: list[dict[str, Any]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    first = rows[0]
    table = Table(
        title=f"{spec.name}: {first['decisions']:,} logged decisions in {first['markets']:,} markets, {spec.market.currency} an episode",
        caption=f"Objective: {spec.market.objective}. Brackets: 95% intervals for luck in the log.",
    )
    names = {"ips": "IPS", "snips": "SNIPS", "doubly_robust": "doubly robust", "fitted_q": "fitted Q"}
    table.add_column("policy")
    for heading in (*names.values(), "effective sample"):
        table.add_column(heading, justify="right")
    for row in rows:
        estimates = (interval(row["estimates"][name]) if row["estimates"][name] else "–" for name in names)
        table.add_row(escape(row["policy"]), *estimates, f"{row['effective_sample_size']:,.0f}")
    table.add_row("(the log itself)", interval(first["logged"]), "", "", "", f"{first['decisions']:,}")
    return table
