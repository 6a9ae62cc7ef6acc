"""`repricer prices`: the recommended prices as a price list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import emit, json_option, progress_console, say, seed_option
from ._policies import policy_of

if TYPE_CHECKING:
    from ..serving.price_list.rows import PriceRow


@click.command("prices")
@click.argument("scenario", metavar="MARKET|RUN")
@click.option("--policy", "policies", multiple=True, metavar="P", help="Run folder or bundle that may be recommended.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Price list to write, .csv or .xlsx.")
@click.option("--zone", help="Name of the stores that the market stands for.  [default: all stores]")
@click.option(
    "--draws", type=click.IntRange(min=1), help="Posterior draws to compare over.  [default: 200, or all of fewer]"
)
@click.option(
    "--risk",
    default="mean",
    show_default=True,
    metavar="mean|cvar:SHARE",
    help="What recommended prices are chosen by: the mean gain over the draws, or its mean in the worst share of them.",
)
@seed_option
@json_option
def command(
    scenario: str,
    policies: tuple[str, ...],
    out: Path,
    zone: str | None,
    draws: int | None,
    risk: str,
    seed: int,
    as_json: bool,
) -> None:
    """Write the price list of the recommended prices: one row per product and week of the market.

    Considered are the prices of RUN and of every --policy, the best fixed prices, blends of them with the current
    prices, and the current prices themselves. Each row has the current and the new price, why, what is expected at it
    with a 90% interval, and columns for the decision. Edit these, then `repricer approve` makes
    the list live.
    """
    from ..evaluation.uncertainty import assess
    from ..scenarios import load_scenario
    from ..serving.price_list.files import check_list_path, write_list
    from ..serving.price_list.proposal import ALL_STORES, proposed_rows

    check_list_path("--out", out)
    spec = load_scenario(scenario)
    if (Path(scenario) / "run.json").is_file():
        policies = (scenario, *policies)
    if not spec.num_draws:
        raise ValueError(f"a price list needs a market fitted on data; got {spec.name}; `repricer fit` makes one")
    chosen = [policy_of(p, spec, seed=seed) for p in dict.fromkeys(policies)]
    learned = [policy for policy in chosen if Path(policy.name).is_dir()]
    with progress_console.status("comparing prices"):
        found = assess(spec, chosen, learned=learned, draws=draws, seed=seed, risk=risk)
        rows = proposed_rows(found, zone=zone or ALL_STORES, seed=seed)
    write_list(out, rows, currency=spec.market.currency)
    facts: dict[str, Any] = {"out": str(out), "recommended": found.recommendation.words} | summary(rows)
    if as_json:
        emit(facts)
        return
    say(str(found))
    say(list_line(facts, out))
    say(f"decide in the columns from status on, then: repricer approve {out} --bundle BUNDLE --by NAME --log LOG")


def list_line(facts: dict[str, Any], out: Path) -> str:
    """What a price list holds, in one line.

    Args:
        facts: As `summary` gives them.
        out: The file.
    """
    return (
        f"{facts['rows']:,} rows in {out}: {facts['products']:,} products, {facts['weeks']} weeks from {facts['first']} "
        f"to {facts['last']}; {facts['raised']:,} raised, {facts['lowered']:,} lowered, {facts['outside_charged']:,} "
        "outside what was charged"
    )


def summary(rows: list[PriceRow]) -> dict[str, Any]:
    """How many rows, products and weeks a price list has, and which way its prices go."""
    weeks = sorted({row.week for row in rows})
    moves = Counter((row.new_price > row.current_price) - (row.new_price < row.current_price) for row in rows)
    return {
        "rows": len(rows),
        "products": len({row.product for row in rows}),
        "weeks": len(weeks),
        "first": str(weeks[0]),
        "last": str(weeks[-1]),
        "raised": moves[1],
        "lowered": moves[-1],
        "outside_charged": sum(bool(row.outside_charged) for row in rows),
    }
