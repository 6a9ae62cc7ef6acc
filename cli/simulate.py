"""`repricer simulate`: run a policy and write the sales it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ._options import emit, json_option, say, seed_option
from ._policies import policy_of


@click.command(name="simulate")
@click.argument("scenario")
@click.option("--policy", required=True, metavar="P", help="Run folder, bundle or rule.")
@click.option("--episodes", type=click.IntRange(min=1), default=1, show_default=True, help="Markets; each is a store.")
@click.option("--out", "path", type=click.Path(path_type=Path), required=True, help="Sales table, .csv or .parquet.")
@seed_option
@json_option
def command(scenario: str, policy: str, episodes: int, path: Path, seed: int, as_json: bool) -> None:
    """Run a policy in SCENARIO and write the sales it makes as a canonical sales table."""
    from ..envs import rollout, seed_for
    from ..evaluation import SalesRecorder
    from ..scenarios import load_scenario

    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"--out must end in .csv or .parquet; got '{path}'; rename it")
    spec = load_scenario(scenario)
    recorder = SalesRecorder(spec)
    run = rollout(
        spec,
        policy_of(policy, spec, seed=seed),
        episodes=episodes,
        seed=seed_for("judging", seed),
        watch=recorder,
    )
    sales = recorder.sales()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    if path.suffix == ".csv":
        sales.to_csv(temporary, index=False)
    else:
        sales.to_parquet(temporary, index=False)
    temporary.replace(path)
    figures: dict[str, Any] = {
        "scenario": spec.name,
        "policy": policy,
        "episodes": episodes,
        "rows": len(sales),
        "units": float(run.units.mean()),
        "revenue": float(run.revenue.mean()),
        "average_transaction_price": run.average_transaction_price,
        "sales": str(path),
    }
    if as_json:
        emit(figures)
        return
    say(
        f"{policy} in {spec.name}: {figures['units']:,.1f} units and {figures['revenue']:,.2f} {spec.market.currency} "
        f"an episode; {len(sales):,} sale rows in {path}."
    )
