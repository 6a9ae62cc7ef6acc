"""`repricer experiment`: price experiments, by store and week only."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from ..atomic import without_nan, write_whole
from ._options import FILE, OUT, Number, figures_table, json_option, output, say_aside, seed_option, tables_options
from ._tables import read_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from ..data import Tables
    from ..planning.experiments.experiment import Experiment, PlannedExperiment

_DESIGNS = ("stores", "switchback", "both")
_TESTS_SHOWN = 12
_SHARE: dict[str, Any] = {"type": Number(0, 1, min_open=True), "show_default": True}


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
    "--risk", default=0.01, help="Largest money at risk, as a share of what planned prices earn then.", **_SHARE
)
@click.option("--max-change", default=0.2, help="Largest change of a price, as a share of it.", **_SHARE)
@click.option("--earlier", type=FILE, multiple=True, help="Folder of an earlier experiment; repeatable.")
@click.option("--name", default="", help="Name of the experiment.  [default: that of the market, with the first day]")
@click.option("--log", help="Decision log that records the plan's hash: SQLite file or postgresql:// URL.")
@click.option("--by", default="", help="Who plans it, for the log.")
@tables_options
@seed_option
@json_option
def plan(
    market: Path, dataset: Path | None, out: Path, log: str | None, by: str, as_json: bool, **options: Any
) -> None:
    """Plan which regular prices of MARKET to vary, where and when, to learn the most for the least.

    Writes plan.json with all facts and the analysis, which is fixed by a hash, calendar.csv with the price of every store,
    week and product, and plan.svg; of a market with price zones, in a folder for each zone. Products, changes and design are chosen by the value of what they teach for the prices of
    26 weeks, less what they cost, within the money at risk.
    """
    from ..data import load_tables
    from ..planning.experiments.experiment import load_experiment
    from ..planning.experiments.picture import plan_plot
    from ..planning.experiments.plan import CHANGES
    from ..planning.progress import show_step
    from ..serving import DecisionLog
    from ..serving.decision_log.approvals import ExperimentPlan

    if (log is None) != (not by):
        must = "--log needs --by, and --by a --log"
        got = "no --by" if log else "no --log"
        raise ValueError(f"{must}; got {got}; give both or none")
    if out.exists():
        raise ValueError(f"--out must be a new folder; got {out}, which is there: a plan does not change; name another")
    dataset = market.parent / "tables" if dataset is None else dataset
    if not dataset.is_dir():
        raise ValueError(f"--dataset must be a folder of `repricer data import`; got {dataset}, which is none; give it")
    most = options.pop("max_change")
    options["changes"] = [change for change in CHANGES if abs(change) <= most] or [-most, most]
    options["earlier"] = [load_experiment(folder) for folder in options["earlier"]]
    show_step("sales")
    tables = load_tables(dataset)
    show_step("plan")
    found = _of_zones(market, tables, options)
    pictures = {zone: plan_plot(one).svg for zone, one in found.items()}
    if log is not None:
        with closing(DecisionLog(log)) as decisions:
            for fixed in (one.plan for one in found.values()):
                decisions.record_experiment(ExperimentPlan(fixed.name, str(fixed.first_day), fixed.digest, by))
    for zone, one in found.items():
        one.save(out / zone, {"plan.svg": pictures[zone]})
    documents = {zone: one.to_dict() | {"folder": str(out / zone)} for zone, one in found.items()}
    document = documents.get("", {"zones": documents})
    output(as_json, document, *(part for zone, one in found.items() for part in _shown(one, out / zone)))


def _of_zones(market: Path, tables: Tables, options: dict[str, Any]) -> dict[str, Experiment]:
    """The experiment of a market, without a name, or of each of its price zones in which a test is worth it."""
    from ..planning.experiments.plan import plan_experiment
    from ..planning.market_folder import fit_report, zone_folders
    from ..scenarios import load_scenario

    zones = zone_folders(market)
    found = dict[str, Any]()
    refused = ValueError()
    for name, folder in (zones or {"": market}).items():
        own = dict(options)
        if zones and own["name"]:
            own["name"] = f"{own['name']}-{name}"
        zone = fit_report(folder).get("refit", {}).get("zone") if (folder / "fit.json").is_file() else None
        try:
            found[name] = plan_experiment(
                load_scenario(folder), tables, stores=zone and zone["stores"][zone["name"]], **own
            )
        except ValueError as error:
            refused = error
            if zones:
                say_aside(f"{name}: no test, as {error}")
    if not found:
        raise refused
    return found


def _shown(experiment: Experiment, folder: Path) -> Iterator[Table | str]:
    """A plan for people: its groups, and what a manager asks."""
    fixed = experiment.plan
    for line in fixed.warnings:
        say_aside(f"warning: {line}")
    table = figures_table(["group", "category"], ["products", "change"], title=escape(fixed.name))
    for group in fixed.groups[:_TESTS_SHOWN]:
        table.add_row(escape(group.name), escape(group.category), str(len(group.products)), f"{group.change:+.1%}")
    if more := fixed.groups[_TESTS_SHOWN:]:
        table.add_row(f"and {len(more)} more", "", "", "")
    yield table
    yield from _summary(fixed)
    yield f"{len(experiment.calendar):,} prices in {folder / 'calendar.csv'}; the plan's hash is {fixed.digest}"


def _summary(plan: PlannedExperiment) -> Iterator[str]:
    """What a manager asks of a plan, a line each."""
    worth = plan.worth
    cost = plan.worth["cost"]
    drawn = "store"
    if plan.design != "stores":
        drawn += f" and block of {_weeks(plan.block_weeks)}"
    stores = f"{len(plan.stores)} store{'s' * (len(plan.stores) != 1)}"
    risk = f"{worth['money_at_risk']:,.2f}, of at most {plan.loss_limit:,.2f}"
    expected = f"a {'loss' if cost > 0 else 'gain'} of {abs(cost):,.2f} {plan.currency}"
    information = f"{worth['information']:,.2f} {plan.currency} more {worth['objective']}"
    seen = f"an elasticity of {plan.readings[0].power.planning:.2f} in 80 of 100 cases"
    if powers := sorted((one.power.planning, one.power.optimistic) for one in plan.readings if one.measure == "arm"):
        planning, optimistic = powers[len(powers) // 2]
        seen = f"a change of a group's units of {planning:.0%} in 80 of 100 cases (optimistic: {optimistic:.0%})"
    after = f"in the {worth['use_weeks']} weeks after it"
    most = f"{worth['perfect_information']:,.2f}"
    yield f"Where: {stores}, design {plan.design}, arms drawn by {drawn}."
    yield f"When: {plan.first_day}, {_weeks(plan.weeks)}; the first {plan.washout_days} days after a change are not read."
    yield f"What it may cost: {expected} is expected; money at risk {risk}."
    yield f"What it is worth: {information} {after}; knowing all would be worth {most}."
    yield f"What it can see: {seen}."
    yield f"When it stops: {plan.stopping}"
    if plan.left_out:
        yield f"{len(plan.left_out)} products are left out; plan.json has the reasons."


def _weeks(count: int) -> str:
    return f"{count} week{'s' * (count != 1)}"


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
def read(folder: Path, dataset: Path, until: datetime | None, plot: Path | None, as_json: bool, **more: Any) -> None:
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
    experiment = load_experiment(folder)
    tables = load_tables(dataset)
    plan = experiment.plan
    regions = None
    segments = None
    if more["regions"] is not None:
        table = read_frame("--regions", more["regions"])
        if not {"store", "region"} <= {*table}:
            got = ", ".join(map(str, table))
            raise ValueError(f"{more['regions'].name}, row 1: must have the columns store and region; got {got}")
        if (twice := table["store"][table["store"].duplicated()]).size:
            raise ValueError(f"{more['regions'].name} must name a store once; got {twice.iloc[0]} again; fix it")
        regions = dict(zip(table["store"].astype(str), table["region"].astype(str), strict=True))
    if more["segments"]:
        segments = customer_segments(tables, plan.first_day)
    others = [load_experiment(one) for one in more["other"]]
    last = None if until is None else until.date()
    found = read_experiment(experiment, tables, until=last, regions=regions, segments=segments, others=others)
    if plot is not None:
        write_whole(plot, reading_plot(experiment, found).svg)
    table = figures_table(["effect", "on"], ["so far", "95% on all days", "away from 0 since"])
    for one in found.effects:
        elastic = one.measure == "elasticity"
        so_far, low, high = (f"{n:+.2f}" if elastic else f"{n:+.1%}" for n in (one.effect, one.low, one.high))
        what = f"{one.outcome}, elasticity" if elastic else one.outcome
        known = (so_far, f"{low} to {high}") if isfinite(one.effect) else ("-", "-")
        table.add_row(escape(one.name), what, *known, one.since or "not yet")
    lines = [f"{plan.name}: read up to {found.last}, {found.days} of {found.planned} days"]
    if date.fromisoformat(found.last) < plan.first_look:
        lines.append(f"no effect is shown before the first look on {plan.first_look}")
    if found.loss is not None:
        so_far, low, high = found.loss
        lines.append(
            f"test prices have lost {so_far:,.2f} {plan.currency} so far ({low:,.2f} to {high:,.2f}), of at most "
            f"{found.limit:,.2f}{': stop the experiment' * found.stop}"
        )
    lines += [f"lost: {line}" for line in found.lost]
    checks = [f"{'ok' if check.ok else 'look at'}: {check.name}: {check.text}" for check in found.checks]
    facts = found.to_dict() | {"name": plan.name, "sha256": plan.digest}
    output(as_json, without_nan(facts), *lines, table, *checks, plot and f"picture: {plot}")
