"""`repricer experiment`: price experiments, by store and week only."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from ..atomic import without_nan, write_whole
from ._options import FILE, OUT, Number, figures_table, json_option, output, say_aside, seed_option, tables_options
from ._tables import read_frame

if TYPE_CHECKING:
    from ..planning.experiments.experiment import Experiment

_DESIGNS = ("stores", "switchback", "both")
_SHOWN = 12


@click.group("experiment")
def command() -> None:
    """Vary regular prices by store and week, one price per product, store and day, to learn what they do."""


@command.command()
@click.argument("market", type=FILE)
@click.option("--dataset", type=FILE, help="Folder of the imported tables.  [default: the folder tables beside MARKET]")
@click.option("--out", type=OUT, required=True, help="New folder of the experiment.")
@click.option("--weeks", type=click.IntRange(min=1), default=4, show_default=True, help="Weeks of the experiment.")
@click.option("--design", type=click.Choice(_DESIGNS), help="How arms are drawn.  [default: what is worth most]")
@click.option("--block-weeks", type=click.IntRange(min=1), help="Weeks of a block, in which a store keeps its arm.")
@click.option("--washout-days", type=click.IntRange(min=0), help="Days after a change of arm that are not read.")
@click.option(
    "--risk",
    type=Number(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Largest money at risk, as a share of what the planned prices earn in these weeks.",
)
@click.option(
    "--max-change",
    type=Number(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="Largest change of a price, as a share of it.",
)
@click.option("--earlier", type=FILE, multiple=True, help="Folder of an earlier experiment; repeatable.")
@click.option("--name", default="", help="Name of the experiment.  [default: that of the market, with the first day]")
@click.option("--log", help="Decision log that records the plan's hash: SQLite file or postgresql:// URL.")
@click.option("--by", default="", help="Who plans it, for the log.")
@tables_options
@seed_option
@json_option
def plan(
    market: Path,
    dataset: Path | None,
    out: Path,
    max_change: float,
    earlier: tuple[Path, ...],
    log: str | None,
    by: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plan which regular prices of MARKET to vary, where and when, to learn the most for the least.

    Writes plan.json with all facts and the analysis, which is fixed by a hash, calendar.csv with the price of every store,
    week and product, and plan.svg. Products, changes and design are chosen by the value of what they teach for the prices of
    26 weeks, less what they cost, within the money at risk.
    """
    from ..data import load_tables
    from ..planning.experiments.experiment import load_experiment
    from ..planning.experiments.picture import plan_plot
    from ..planning.experiments.plan import CHANGES, plan_experiment
    from ..planning.market_folder import fit_report
    from ..planning.progress import show_step
    from ..scenarios import load_scenario

    if (log is None) != (not by):
        raise ValueError(
            f"--log needs --by, and --by a --log; got {'no --by' if log else 'no --log'}; give both or none"
        )
    if out.exists():
        raise ValueError(f"--out must be a new folder; got {out}, which is there: a plan does not change; name another")
    dataset = market.parent / "tables" if dataset is None else dataset
    if not dataset.is_dir():
        raise ValueError(f"--dataset must be a folder of `repricer data import`; got {dataset}, which is none; give it")
    changes = [change for change in CHANGES if abs(change) <= max_change] or [-max_change, max_change]
    zone = fit_report(market).get("refit", {}).get("zone") if (market / "fit.json").is_file() else None
    show_step("sales")
    spec, tables = load_scenario(market), load_tables(dataset)
    show_step("plan")
    options |= {"earlier": [load_experiment(folder) for folder in earlier], "changes": changes}
    found = plan_experiment(spec, tables, stores=zone and zone["stores"][zone["name"]], **options)
    picture = plan_plot(found).svg
    if log is not None:
        _record(found, log, by)
    found.save(out, {"plan.svg": picture})
    for line in found.plan.warnings:
        say_aside(f"warning: {line}")
    _show(found, out, as_json)


def _record(found: Experiment, log: str, by: str) -> None:
    from ..serving import DecisionLog
    from ..serving.decision_log.approvals import ExperimentPlan

    with closing(DecisionLog(log)) as decisions:
        decisions.record_experiment(ExperimentPlan(found.plan.name, str(found.plan.first_day), found.plan.digest, by))


def _show(found: Experiment, out: Path, as_json: bool) -> None:
    from msgspec import to_builtins

    plan = found.plan
    worth, money = plan.worth, plan.currency
    table = figures_table(["group", "category"], ["products", "change"], title=escape(plan.name))
    for group in plan.groups[:_SHOWN]:
        table.add_row(escape(group.name), escape(group.category), str(len(group.products)), f"{group.change:+.1%}")
    if more := plan.groups[_SHOWN:]:
        table.add_row(f"and {len(more)} more", "", "", "")
    cost = worth["cost"]
    powers = [reading.power for reading in plan.readings if reading.measure == "arm"]
    seen = sorted((power.planning, power.optimistic) for power in powers)[len(powers) // 2] if powers else None
    lines = [
        f"Where: {len(plan.stores)} store{'s' * (len(plan.stores) != 1)}, design {plan.design}, arms drawn by store"
        f"{'' if plan.design == 'stores' else f' and block of {plan.block_weeks} week' + 's' * (plan.block_weeks != 1)}.",
        f"When: {plan.first_day}, {plan.weeks} week{'s' * (plan.weeks != 1)}; the first {plan.washout_days} days after a change are not read.",
        f"What it may cost: {'a loss' if cost > 0 else 'a gain'} of {abs(cost):,.2f} {money} is expected; money at risk "
        f"{worth['money_at_risk']:,.2f}, of at most {plan.loss_limit:,.2f}.",
        f"What it is worth: {worth['information']:,.2f} {money} more {worth['objective']} in the {worth['use_weeks']} weeks "
        f"after it; knowing all would be worth {worth['perfect_information']:,.2f}.",
        f"What it can see: a change of a group's units of {seen[0]:.0%} in 80 of 100 cases (optimistic: {seen[1]:.0%})."
        if seen
        else f"What it can see: an elasticity of {plan.readings[0].power.planning:.2f} in 80 of 100 cases.",
        f"When it stops: {plan.stopping}",
        f"{len(plan.left_out)} products are left out; plan.json has the reasons." if plan.left_out else None,
        f"{len(found.calendar):,} prices in {out / 'calendar.csv'}; the plan's hash is {plan.digest}",
    ]
    output(as_json, to_builtins(plan) | {"folder": str(out), "sha256": plan.digest}, table, *lines)


@command.command()
@click.argument("folder", type=FILE)
@click.option("--dataset", type=FILE, required=True, help="Folder of the imported tables, with the sales since.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day to read.  [default: the last of the sales]")
@click.option("--regions", type=FILE, help="Table store, region, .csv, .xlsx or .parquet: stores that share customers.")
@click.option("--segments", is_flag=True, help="Also by segment of customers, as they were before.")
@click.option("--other", type=FILE, multiple=True, help="Folder of an experiment at the same time; repeatable.")
@click.option("--plot", type=OUT, help="Picture of the effect over the days to write, .svg.")
@tables_options
@json_option
def read(
    folder: Path,
    dataset: Path,
    until: datetime | None,
    regions: Path | None,
    segments: bool,
    other: tuple[Path, ...],
    plot: Path | None,
    as_json: bool,
) -> None:
    """Read the experiment in FOLDER so far: its effects, what was lost of it, and what speaks against them.

    The intervals hold on all days together, so that an experiment may be read daily and stopped because of what it says. A
    store that charged other prices than the calendar's is left out and named, and so are the weeks after the prices were
    given up. `repricer fit --experiment FOLDER` takes what it says into the market.
    """
    from ..data import load_tables
    from ..planning.experiments.experiment import load_experiment
    from ..planning.experiments.picture import reading_plot
    from ..planning.experiments.reading import customer_segments, read_experiment

    if plot is not None and plot.suffix != ".svg":
        raise ValueError(f"--plot must end in .svg; got {plot}; name it so")
    experiment, tables, near = load_experiment(folder), load_tables(dataset), None
    if regions is not None:
        table = read_frame("--regions", regions)
        if not {"store", "region"} <= {*table}:
            raise ValueError(
                f"{regions.name}, row 1: must have the columns store and region; got {', '.join(map(str, table))}"
            )
        if (twice := table["store"].astype(str)).duplicated().any():
            raise ValueError(
                f"{regions.name} must name a store once; got {twice[twice.duplicated()].iloc[0]} again; fix it"
            )
        near = dict(zip(table["store"].astype(str), table["region"].astype(str), strict=True))
    found = read_experiment(
        experiment,
        tables,
        until=None if until is None else until.date(),
        regions=near,
        segments=customer_segments(tables, experiment.plan.first_day) if segments else None,
        others=[load_experiment(one) for one in other],
    )
    if plot is not None:
        write_whole(plot, reading_plot(experiment, found).svg)
    table = figures_table(["effect", "on"], ["so far", "95% on all days", "away from 0 since"])
    for one in found.effects:
        what = f"{one.outcome}, elasticity" if one.measure == "elasticity" else one.outcome
        figures = [f"{n:+.2f}" if one.measure == "elasticity" else f"{n:+.1%}" for n in (one.effect, one.low, one.high)]
        known = (figures[0], f"{figures[1]} to {figures[2]}") if one.effect == one.effect else ("-", "-")
        table.add_row(escape(one.name), what, *known, one.since or "not yet")
    lines = [f"{experiment.plan.name}: read up to {found.last}, {found.days} of {found.planned} days"]
    if date.fromisoformat(found.last) < experiment.plan.first_look:
        lines.append(f"no effect is shown before the first look on {experiment.plan.first_look}")
    lines += [f"lost: {line}" for line in found.lost]
    checks = [f"{'ok' if check.ok else 'look at'}: {check.name}: {check.text}" for check in found.checks]
    facts = found.to_dict() | {"name": experiment.plan.name, "sha256": experiment.plan.digest}
    output(as_json, without_nan(facts), *lines, table, *checks, f"picture: {plot}" if plot else None)
