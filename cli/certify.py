"""`repricer certify`: with what confidence a policy's prices lose at most a share of the current money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..planning.experiments.certificate import BANDWIDTH, ELASTICITY, UNITS
from ._options import FILE, Number, figures_table, json_option, output, seed_option
from ._policies import policy_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..planning.experiments.certificate import Certificate


@click.command(name="certify")
@click.argument("market", metavar="MARKET")
@click.option("--from-log", "log", type=FILE, required=True, help="Log, written by simulate --log or log export.")
@click.option("--policy", required=True, metavar="P", help="Run folder, bundle or rule, as evaluate takes them.")
@click.option("--loss", type=Number(0, 99), default=2.0, show_default=True, help="Loss that is allowed, in percent.")
@click.option(
    "--confidence", type=Number(50, 99.99, min_open=True), default=95.0, show_default=True, help="In percent."
)
@click.option("--unit", type=click.Choice(UNITS), default="market", show_default=True, help="What a score is of.")
@click.option("--daily", is_flag=True, help="Read the log at every look, and certify the average so far.")
@click.option(
    "--bandwidth",
    type=Number(0, 50, min_open=True),
    help=f"For a log of continuous prices: half-width of the kernel, in percent of the price, such as {100 * BANDWIDTH:g}.",
)
@click.option(
    "--elasticity", type=Number(1), default=ELASTICITY, show_default=True, help="Largest that demand may have."
)
@seed_option
@json_option
def command(
    market: str,
    log: Path,
    policy: str,
    loss: float,
    confidence: float,
    unit: str,
    daily: bool,
    bandwidth: float | None,
    elasticity: float,
    seed: int,
    as_json: bool,
) -> None:
    """Certify that the prices of policy P lose at most 2% against those of a log of MARKET, with 95% confidence.

    The log must hold propensities, and prices that were drawn: each decision tells what P's prices would have earned
    where they happened to be charged. Markets must be independent of each other; with --unit decision, for logs of few
    markets over many periods, the draws of each decision must be. With --daily the log may be read after each unit, and
    prices and demand may drift. Exits 0, whether certified or not.
    """
    from ..evaluation import read_log
    from ..planning.experiments.certificate import certify
    from ..scenarios import load_scenario

    spec = load_scenario(market)
    width = None if bandwidth is None else bandwidth / 100
    shares = {"loss": loss / 100, "confidence": confidence / 100, "bandwidth": width}
    chosen = policy_of(policy, spec, seed=seed)
    found = certify(read_log(spec, log), chosen, unit=unit, daily=daily, elasticity=elasticity, **shares)
    document = {"scenario": spec.name, "objective": spec.market.objective, "log": str(log), **found.to_dict()}
    output(as_json, document, found.verdict(), _table(found), *_notes(found))


def _table(found: Certificate) -> Table:
    """The bounds beside each other."""
    from rich.markup import escape

    title = f"Gain of {escape(found.policy)} over the logged prices"
    table = figures_table([f"{found.confidence:.0%} lower bound", "holds"], ["gain"], title=title)
    table.add_row("estimate", "", f"{found.estimate:+.2%}")
    table.add_row("betting", "for the whole log", f"{found.betting:+.2%}")
    table.add_row("empirical Bernstein", "for the whole log", f"{found.empirical_bernstein:+.2%}")
    table.add_row("running average", "at every look", f"{found.running[-1]:+.2%}")
    return table


def _notes(found: Certificate) -> list[str]:
    """What the bounds rest on."""
    notes = [
        f"Effective sample {found.effective_sample_size:,.0f} decisions; {found.clipped_share:.1%} of the scores were cut, of "
        f"losses beyond {found.cap:.2g} times the mean money of a {found.unit}, or gains as rare; {found.clipped_gain:.2%} "
        "taken off the bounds for it."
    ]
    if found.bias:
        notes.append(f"{found.bias:.2%} taken off for the kernel's bias.")
    if found.ignored:
        notes.append(f"Effects on later periods ({', '.join(found.ignored)}) are those of the logged states.")
    return notes
