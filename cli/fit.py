"""`repricer fit`: fit every model and write the resulting market."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.markup import escape
from rich.table import Table

from ..atomic import write_json
from ..planning.cycle.config import FitSection, Release
from ..planning.fit_lines import bias_lines, cost_lines, fit_lines, modelled_lines, not_priced_lines
from ..planning.market_folder import ZONES, fit_parts, privacy_of, tables_of
from ..planning.progress import show_line
from ._options import (
    FILE,
    OUT,
    Number,
    declared_options,
    emit,
    figures_table,
    gone_option,
    json_option,
    say,
    seed_option,
    setting,
    show,
    tables_options,
)

if TYPE_CHECKING:
    from ..data import Tables
    from ..fitting import ShopRules, Zone


_GONE = {
    "--category": "--rule 'categories=[\"NAME\"]'",
    "--exclude": "--rule product.ID.excluded=true",
    "--freeze": "--rule product.ID.frozen=true",
    "--unit-cost-share": "--rule unit_cost_share=0.7",
    "--max-change": "--rule max_change=0.1",
    "--endings": "--rule 'price_endings=[0.49, 0.99]'",
    "--tick": "--rule tick=0.05",
}


def _gone_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option, rule in _GONE.items():
        command = gone_option(option, f"give {rule}, or the file of --rules", refused=True)(command)
    return gone_option("--on", "parts are fitted here, one after the other; leave it out", refused=True)(command)


@click.command(name="fit")
@click.argument("dataset", type=FILE)
@click.option("--out", type=OUT, required=True, help="Folder for the scenario and its report.")
@click.option(
    "--plan",
    type=FILE,
    default=None,
    help="CSV, XLSX or Parquet file of what the shop plans for these weeks: date, product and, of price, regular_price, "
    "promotion and delivery (units), what is known.  [default: the table plan of DATASET, else the usual pattern]",
)
@click.option(
    "--rule",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A rule, which wins over those of --rules: of the shop (max_change=0.1), of a product or category "
    "(product.ID.frozen=true); repeatable.",
)
@declared_options(
    FitSection,
    "asked",
    experiments=click.option(
        "--experiment",
        "experiments",
        type=click.Path(file_okay=False),
        multiple=True,
        help="Folder of a price experiment, whose weeks are among the sales; repeatable.",
    ),
    epsilon_shares=click.option(
        "--epsilon-share",
        "epsilon_shares",
        type=(click.Choice(get_args(Release)), Number(min=0)),
        multiple=True,
        callback=lambda _context, _option, given: dict(given),
        help="What a release has of epsilon, in proportion; repeatable.  [default: counts 0.2, figures 0.27, units 0.18, "
        "network 0.35]",
    ),
)
@click.option(
    "--shared",
    type=FILE,
    default=None,
    help="File of `repricer federate join`: what the products of many shops have in common, for --forecaster "
    "pooled-regression.",
)
@click.option("--verbose", is_flag=True, help="Show the whole report of each zone and part, not a row of a table.")
@_gone_options
@tables_options
@seed_option
@json_option
def command(
    dataset: Path,
    out: Path,
    plan: Path | None,
    changes: tuple[str, ...],
    asked: FitSection,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit every model on DATASET, a folder made by `repricer data import`.

    The models are demand, price response, trend, segments and recommender. They are proved on the
    last weeks of the data: OUT/proof is the market of those weeks, whose sales are compared with what
    was really sold. Fitted on all weeks, they make the market of the weeks to come, in OUT. Markets of several
    price zones, or of parts of a catalogue, are in folders of OUT; the same command fits those that are missing.
    """
    from ..envs.compile_ahead import compile_ahead
    from ..fitting.split import check_period
    from ..scenarios import scenario_name

    check_period(asked.period, zones=asked.by != "chain")
    rules = _rules(asked.rules, changes)
    options |= asked.arguments(rules, None if asked.priors is None else Path(asked.priors))
    tables = tables_of(dataset, plan, asked.experiments)
    compile_ahead()
    zones = _zones(tables, asked.by)
    first = next(iter(zones.values()))
    parts = asked.parts(tables, rules, first)
    count = len(zones) * len(parts)
    options["privacy"] = privacy_of(dataset, asked.epsilon, asked.epsilon_shares, zones=count)
    reports = {}
    for number, (zone_name, zone) in enumerate(zones.items(), start=1):
        if zone is not None:
            count = len(zone.stores[zone_name])
            show_line(f"{zone_name}: {number} of {len(zones)} zones, {count} store{'s' * (count != 1)}")
        own_name = scenario_name(" ".join(filter(None, [out.resolve().name, zone_name])))
        reports[zone_name] = fit_parts(tables, parts, out / zone_name, name=own_name, zone=zone, **options)
    _tell(reports, out, first, verbose=verbose, as_json=as_json)


def _rules(file: str | None, changes: Iterable[str]) -> ShopRules:
    """The rules of a file with some changed."""
    from ..fitting import ShopRules

    tables: dict[str, Any] = {}
    for text in changes:
        path, value = setting(text, "--rule", "max_change=0.1")
        section, _, rest = path.rpartition(".")
        kind, _, name = (section or "shop").partition(".")
        table = tables.setdefault(kind, {})
        (table.setdefault(name, {}) if name else table)[rest] = value
    return ShopRules.load(None if file is None else Path(file), tables)


def _tell(reports: dict[str, dict[str, Any]], out: Path, first: Zone | None, *, verbose: bool, as_json: bool) -> None:
    """Note the stores of each zone, and show the reports."""
    if first is not None:
        write_json(out / ZONES, {name: list(stores) for name, stores in first.stores.items()})
    if as_json:
        emit({"scenario": str(out), **(reports[""] if first is None else {"zones": reports})})
        return
    markets = {
        "/".join(filter(None, (zone, part))): report
        for zone, whole in reports.items()
        for part, report in whole.get("parts", {"": whole}).items()
    }
    if not verbose and len(markets) > 1:
        show_markets(markets, out)
        return
    for name, report in markets.items():
        if name:
            say(name)
        show_report(report, out / name)


def _zones(tables: Tables, by: str) -> dict[str, Zone | None]:
    """The price zones by name; one without a name, None, where all stores are one market."""
    from ..fitting import Zone, price_zones

    if by == "chain":
        return {"": None}
    stores = price_zones(tables.sales, by)
    return {name: Zone(name, stores) for name in stores}


def show_report(report: dict[str, Any], folder: Path) -> None:
    """Show the fit report of a market, and what to do next."""
    for line in fit_lines(report):
        say(line)
    show(_backtest_table(report))
    show(_fidelity_table(report))
    say(f"Scenario: {folder}. Next: repricer train {folder}")


def show_markets(reports: dict[str, dict[str, Any]], folder: Path) -> None:
    """One table of all price zones and parts, what holds in every one of them, and what to do next."""
    figures = ("products", "WAPE", "bias", "moving average", "log-log regression", "elasticity")
    figures += ("market's bias", "in 80%")
    table = figures_table(["market"], figures, title="forecasts and markets of the held-out weeks")
    lines: dict[str, list[str]] = {}
    for name, report in reports.items():
        s = report["scores"]
        bias = next(row["bias"] for row in report["proof"]["backtest"] if row["forecaster"] == s["forecaster"])
        cells = [f"{len(report['price_response']):,}", f"{s['forecast_wape']:.1%}", f"{bias:+.1%}"]
        cells += [f"{s['moving_average_wape']:.1%}", f"{s['log_log_wape']:.1%}", f"{s['median_elasticity']:.2f}"]
        table.add_row(name, *cells, f"{s['simulated_bias']:+.1%}", f"{s['simulated_cover80']:.0%}")
        for line in (
            *report["plan"],
            *modelled_lines(report),
            *not_priced_lines(report),
            *cost_lines(report),
            *bias_lines(s["simulated_bias"]),
        ):
            lines.setdefault(line, []).append(name)
    show(table)
    for line, names in lines.items():
        say(line if len(names) == table.row_count else f"{line} [{', '.join(names)}]")
    say(
        f"Scenarios in folders of {folder}, each with its fit.json; all lines with --verbose. Next: repricer train {folder}"
    )


def _backtest_table(report: dict[str, Any]) -> Table:
    figures = ("WAPE", "bias", "MASE", "in 80%", "in 95%", "failed fits", "weight")
    table = figures_table(["forecaster"], figures, title="forecasts of the held-out weeks, all steps ahead")
    used = {row["forecaster"]: row["chosen"] for row in report.get("selection", [])}
    for row in report["proof"]["backtest"]:
        name = row["forecaster"]
        cells = [f"{row['wape']:.1%}", f"{row['bias']:+.1%}", f"{row['mase']:.2f}"]
        cells += [f"{row['cover80']:.0%}", f"{row['cover95']:.0%}", str(row["failures"])]
        table.add_row(name, *cells, f"{used[name]:.0%}" if name in used else "")
    return table


def _fidelity_table(report: dict[str, Any]) -> Table:
    title = "units sold in the held-out weeks, and by their market at the prices actually charged"
    table = figures_table(["product"], ["sold", "simulated", "difference"], title=title)
    for row in report["proof"]["fidelity"]["products"]:
        sold = row["actual_units"]
        simulated = row["simulated_units"]
        change = f"{simulated / sold - 1:+.0%}" if sold else ""
        table.add_row(escape(row["name"]), f"{sold:,.0f}", f"{simulated:,.0f}", change)
    return table
