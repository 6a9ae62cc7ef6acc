"""`repricer league`: let all sellers learn against one another, and audit their final prices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from ..atomic import write_json
from ..planning.progress import progress_bar
from ._options import (
    OUT,
    count_option,
    figures_table,
    gone_option,
    json_option,
    output,
    seed_option,
    set_option,
    setting,
)

if TYPE_CHECKING:
    from ..agents.leagues import LeagueProgress
    from ..evaluation import LeagueVerdict

RESULT_FILE = "league.json"


@click.command(name="league")
@click.argument("scenario")
@click.option("--algo", default="ppo", show_default=True, help="Learning algorithm.")
@count_option("--rounds", 8, "Rounds of the league.")
@count_option("--steps", 40_000, "Steps per seller and round.")
@gone_option("--shared", "each seller has a network of its own; leave it out", refused=True, is_flag=True)
@count_option("--episodes", 100, "Test episodes.")
@click.option("--out", "folder", type=OUT, help="Folder, which must be new.")
@set_option
@seed_option
@json_option
def command(
    scenario: str,
    algo: str,
    episodes: int,
    folder: Path | None,
    values: tuple[str, ...],
    seed: int,
    as_json: bool,
    **how: Any,
) -> None:
    """Let every seller of SCENARIO learn its prices against the others, and audit the final prices.

    The folder is also the run folder of the shop's own policy; evaluate and export accept it.
    """
    from ..agents import league
    from ..evaluation import judge_league
    from ..scenarios import load_scenario

    spec = load_scenario(scenario)
    folder = folder or Path("runs") / f"{spec.name}-league-{algo}-{seed}"
    with _bar(f"league on {spec.name}") as progress:
        settings = dict(setting(value) for value in values)
        result = league(spec, algo=algo, seed=seed, out=folder, settings=settings, progress=progress, **how)
    verdict = judge_league(result, episodes=episodes, seed=seed)
    document = {"league": str(folder), "scenario": spec.name, "facts": result.run.facts, **verdict.to_dict()}
    write_json(folder / RESULT_FILE, document)
    audit = f"No audit: {verdict.no_audit}" if verdict.audit is None else str(verdict.audit).partition("\n")[0]
    line = f"League folder: {folder}. Next: repricer evaluate {scenario} --policy {folder}"
    output(as_json, document, _table(verdict, spec.market.currency), audit, line)


@contextmanager
def _bar(label: str) -> Iterator[LeagueProgress]:
    """A progress bar on stderr, if that is a terminal, with each seller's last profit."""
    with progress_bar(label, "{task.percentage:>3.0f}% {task.fields[profit]}") as bar:
        task = bar.add_task(label, total=None, profit="")

        def update(done: int, total: int, figures: dict[str, float]) -> None:
            profit = ", ".join(f"{seller} {money:.4g}" for seller, money in list(figures.items())[:4])
            bar.update(task, completed=done, total=total, profit=profit)

        yield update


def _table(verdict: LeagueVerdict, currency: str) -> Table:
    """One row per seller."""
    found = verdict.audit
    sellers = verdict.league.sellers
    when = "mean over periods" if verdict.period is None else f"period {verdict.period}"
    table = figures_table(
        ["seller"],
        ["mean price", "Nash", "monopoly", "profit", "Nash", "monopoly", "profit gain", "best response"],
        title=f"{verdict.league.run.spec.name}: final policies among themselves, {currency} a period, {when}",
        caption="Best response: gain of the best deviation found, as a share of the seller's Nash profit.",
    )
    for s, seller in enumerate(sellers):
        mine = verdict.offers_of[seller]
        cells = [f"{verdict.price[mine].mean():.4g}", "-", "-", f"{verdict.profit[s]:.4g}", "-", "-", "-"]
        if found is not None:
            marks = found.yardstick
            gain = found.seller_gain[s]
            prices = [f"{price[mine].mean():.4g}" for price in (marks.nash_price, marks.monopoly_price)]
            profits = [f"{profit[s]:.4g}" for profit in (marks.nash_profit, marks.monopoly_profit)]
            cells = [cells[0], *prices, cells[3], *profits, "-" if np.isnan(gain) else f"{gain:.3f}"]
        table.add_row(escape(seller), *cells, f"{verdict.exploitability[s]:+.2%}")
    return table
