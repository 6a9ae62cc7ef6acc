"""`repricer simulate`: run a policy and write its sales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_table
from ._options import OUT, check_table_path, count_option, json_option, output, seed_option
from ._policies import policy_of

if TYPE_CHECKING:
    from ..envs import Outcome
    from ..pricing import MarketView


@click.command(name="simulate")
@click.argument("scenario")
@click.option("--policy", required=True, metavar="P", help="Run folder, bundle or rule.")
@count_option("--episodes", 1, "Episodes; each is a store.")
@click.option("--out", "path", type=OUT, required=True, help="Sales table, .csv or .parquet.")
@click.option("--log", type=OUT, help="Every decision, .csv or .parquet, for evaluate --from-log.")
@seed_option
@json_option
def command(scenario: str, policy: str, episodes: int, path: Path, log: Path | None, seed: int, as_json: bool) -> None:
    """Run a policy in SCENARIO and write its sales as a sales table.

    Where the policy draws its prices and states their probabilities (epsilon-greedy:EPSILON), the
    table has those too.
    """
    from ..envs import rollout, seed_for
    from ..evaluation import LogRecorder, SalesRecorder
    from ..scenarios import load_scenario

    for option, file in (("--out", path), ("--log", log)):
        if file is not None:
            check_table_path(option, file)
    spec = load_scenario(scenario)
    recorder = SalesRecorder(spec)
    decisions = LogRecorder(spec)
    recorders = [recorder] if log is None else [recorder, decisions]

    def watch(view: MarketView, outcome: Outcome) -> None:
        for record in recorders:
            record(view, outcome)

    chosen = policy_of(policy, spec, seed=seed)
    run = rollout(spec, chosen, episodes=episodes, seed=seed_for("test", seed), watch=watch)
    sales = recorder.sales()
    write_table(sales, path)
    if log is not None:
        write_table(decisions.log().to_table(), log)
    figures: dict[str, Any] = {"scenario": spec.name, "policy": policy, "episodes": episodes, "rows": len(sales)}
    figures |= {"units": float(run.units.mean()), "revenue": float(run.revenue.mean())}
    figures |= {"average_transaction_price": run.average_transaction_price, "sales": str(path), "log": log and str(log)}
    money = f"{figures['revenue']:,.2f} {spec.market.currency} per episode"
    line = f"{policy} in {spec.name}: {figures['units']:,.1f} units and {money}; {len(sales):,} sale rows in {path}."
    output(as_json, figures, line)
