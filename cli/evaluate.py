"""`repricer evaluate`: compare policies on the same customers."""

from __future__ import annotations

import click

from ._options import comparison_table, emit, episodes_option, json_option, say, seed_option, show
from ._policies import policy_of


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
    document = comparison.to_dict()
    if as_json:
        emit(document)
        return
    show(comparison_table(document, spec.market.currency))
    if comparison.optimum:
        say(f"Optimum {comparison.optimum['value']:.6g} by {comparison.optimum['method']}.")
