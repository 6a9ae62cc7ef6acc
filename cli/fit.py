"""`repricer fit`: fit every model and write the resulting market."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.markup import escape
from rich.table import Table

from ..atomic import write_json
from ..planning.compile_ahead import CompileAhead
from ..planning.fit_lines import bias_lines, cost_lines, fit_lines, not_priced_lines
from ..planning.market_folder import FORECASTERS, ZONES, chosen_parts, fit_parts, privacy_of, tables_of
from ..planning.progress import show_line
from ._options import (
    FILE,
    OUT,
    Number,
    emit,
    figures_table,
    json_option,
    place_option,
    say,
    seed_option,
    show,
    tables_options,
)

if TYPE_CHECKING:
    from ..data import Tables
    from ..fitting import ShopRules, Zone


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "number,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        """The numbers."""
        try:
            return [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"must be numbers separated by commas; got {value!r}; write 0.49,0.99", param, ctx)


_OPTIONS = (
    click.option(
        "--rules",
        "rules_file",
        type=FILE,
        default=None,
        help="TOML file of the shop's own rules, by product, category or for all; see docs/rules.md. "
        "The options below win over it.",
    ),
    click.option("--category", multiple=True, help="A category to price; repeat for several.  [default: best sellers]"),
    click.option("--exclude", multiple=True, help="Id or name of a product to leave out; repeat for several."),
    click.option("--freeze", multiple=True, help="Id or name of a product that keeps its price; repeat for several."),
    click.option(
        "--unit-cost-share",
        type=Numbers(),
        default=None,
        help="Unit cost over the regular price where the tables give none: one share, or lowest,highest.",
    ),
    click.option("--max-change", type=float, default=None, help="Largest relative price change per period."),
    click.option("--endings", type=Numbers(), default=None, help="What prices may end in, for example 0.49,0.99."),
    click.option("--tick", type=float, default=None, help="Prices are multiples of it.  [default: 0.01]"),
)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the shop's rules; the command gets them as one argument, `rules`."""

    @functools.wraps(command)
    def wrapped(
        *,
        rules_file: Path | None,
        category: tuple[str, ...],
        exclude: tuple[str, ...],
        freeze: tuple[str, ...],
        unit_cost_share: list[float] | None,
        max_change: float | None,
        endings: list[float] | None,
        tick: float | None,
        **rest: Any,
    ) -> Any:
        from ..fitting import ShopRules

        share = unit_cost_share[0] if unit_cost_share and len(unit_cost_share) == 1 else unit_cost_share
        shop = {"unit_cost_share": share, "max_change": max_change, "price_endings": endings, "tick": tick}
        shop["categories"] = list(category) or None
        products: dict[str, dict[str, bool]] = {name: {"frozen": True} for name in freeze}
        for name in exclude:
            products.setdefault(name, {})["excluded"] = True
        given = {key: content for key, content in shop.items() if content is not None}
        rules = ShopRules.load(rules_file, {"shop": given, "product": products})
        _said_once(rules.shop)
        return command(rules=rules, **rest)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _said_once(shop: Any) -> None:
    """Options that are older than the rules may not contradict them."""
    context = click.get_current_context()
    for option, key in (("widen", "widening"), ("objective", "objective")):
        given = context.get_parameter_source(option) == ParameterSource.COMMANDLINE
        if given and getattr(shop, key) is not None:
            raise ValueError(f"--{option} must be given once; got it beside shop.{key} of the rules; remove one")


class Widening(click.ParamType):
    """A fraction from 0 on, or `free` (None)."""

    name = "fraction|free"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The fraction, or None for `free`."""
        if value is None or value == "free":
            return None
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number < math.inf:
            self.fail(f"must be a number from 0 on, or free; got {value!r}; write 0.2 for 20%", param, ctx)
        return number


@click.command(name="fit")
@click.argument("dataset", type=FILE)
@click.option("--out", type=OUT, required=True, help="Folder for the scenario and its report.")
@click.option(
    "--period",
    type=click.Choice(["week", "day"]),
    default="week",
    show_default=True,
    help="How long a price stays; day needs sales of each day, and knows the weekdays.",
)
@click.option(
    "--weeks", type=click.IntRange(min=1), help="Weeks of the market, after the data.  [default: 12; by day 4]"
)
@click.option(
    "--holdout",
    "holdout_weeks",
    type=click.IntRange(min=1),
    help="Last weeks of the data, held out as a proof.  [default: 12; by day 4]",
)
@click.option(
    "--plan",
    type=FILE,
    default=None,
    help="CSV or Parquet file of what the shop plans for these weeks: date, product and, of price, regular_price, "
    "promotion and delivery (units), what is known.  [default: the table plan of DATASET, else the usual pattern]",
)
@click.option("--categories", type=click.IntRange(min=1), default=5, show_default=True, help="Categories to price.")
@click.option("--per-category", type=click.IntRange(min=2), default=6, show_default=True, help="Products in each.")
@click.option(
    "--at-once",
    type=click.IntRange(min=2),
    help="Products of one market; of more, whole categories become parts, OUT/part-1, OUT/part-2 and so on, of which the "
    "same command fits those that are missing.  [default: 1000; by day 140]",
)
@click.option(
    "--forecaster",
    type=click.Choice(FORECASTERS),
    default=FORECASTERS[0],
    show_default=True,
    help="One model for all products; selected: the best for each, by backtest.",
)
@click.option(
    "--promotions",
    is_flag=True,
    help="Make displays and mailers a decision of the policy; the tables must record them.",
)
@click.option(
    "--objective",
    type=click.Choice(["revenue", "profit"]),
    default=None,
    help="What prices are to maximise.  [default: profit where the tables give every unit cost, else revenue]",
)
@click.option(
    "--widen",
    type=Widening(),
    default="0.2",
    show_default=True,
    help="How far prices may leave the range that was mostly charged, as a fraction; free: as far as half and 1.3 times the "
    "regular price.",
)
@click.option(
    "--priors",
    type=FILE,
    default=None,
    help="TOML file of what is believed about demand before the sales are seen; see docs/can_i_believe_it.md.",
)
@click.option(
    "--draws", type=click.IntRange(min=2, max=10_000), default=200, show_default=True, help="Posterior draws."
)
@click.option(
    "--by",
    type=click.Choice(["chain", "zone", "store"]),
    default="chain",
    show_default=True,
    help="Stores of one market: all; those whose regular prices agree, in OUT/zone-1, OUT/zone-2 and so on; or each by "
    "itself. Zones share their response to prices. The same command fits those that are missing.",
)
@click.option("--verbose", is_flag=True, help="Show the whole report of each price zone, not a row of a table.")
@click.option(
    "--epsilon",
    type=Number(min=0, min_open=True),
    default=None,
    help="Make all that is published of segments, and a network's weights, differentially private at this cost in all, "
    "paid from the budget of DATASET (see repricer data budget).  [default: exact]",
)
@click.option(
    "--epsilon-share",
    "shares",
    type=(click.Choice(["counts", "figures", "units", "network"]), Number(min=0)),
    multiple=True,
    callback=lambda _context, _option, given: dict(given),
    help="What a release has of epsilon, in proportion; repeatable.  [default: counts 0.2, figures 0.27, units 0.18, "
    "network 0.35]",
)
@click.option(
    "--shared",
    type=FILE,
    default=None,
    help="File of `repricer federate join`: what the products of many shops have in common, for --forecaster "
    "pooled-regression.",
)
@click.option("--currency", default="currency", show_default=True, help="Unit of the money, for display.")
@place_option
@rules_options
@tables_options
@seed_option
@json_option
def command(
    dataset: Path,
    out: Path,
    plan: Path | None,
    categories: int,
    per_category: int,
    at_once: int | None,
    widen: float | None,
    priors: Path | None,
    by: str,
    rules: ShopRules,
    on: str,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit every model on DATASET, a folder made by `repricer data import`.

    The models are demand, price response, trend, segments and recommender. They are proved on the
    last weeks of the data: OUT/proof is the market of those weeks, whose sales are compared with what
    was really sold. Fitted on all weeks, they make the market of the weeks to come, in OUT.
    """
    with CompileAhead() as compiler:
        from ..fitting import Assumptions, Priors
        from ..fitting.split import check_period
        from ..jobs import Place
        from ..scenarios import scenario_name

        check_period(options["period"], zones=by != "chain")
        tables = tables_of(dataset, plan)
        zones = _zones(tables, by)
        first = next(iter(zones.values()))
        size = {"categories": categories, "per_category": per_category, "at_once": at_once}
        parts = chosen_parts(tables, rules, first, **size, period=options["period"])
        options |= {
            "assumptions": Assumptions.under(rules, price_widening=widen),
            "priors": None if priors is None else Priors.load(priors),
            "privacy": privacy_of(
                dataset, options.pop("epsilon"), options.pop("shares"), zones=len(zones) * len(parts)
            ),
        }
        options |= {"compiler": compiler, "place": Place(on), "source": {"dataset": dataset, "plan": plan}}
        reports = {}
        for number, (zone_name, zone) in enumerate(zones.items(), start=1):
            if zone is not None:
                count = len(zone.stores[zone_name])
                show_line(f"{zone_name}: {number} of {len(zones)} zones, {count} store{'s' * (count != 1)}")
            own_name = scenario_name(" ".join(filter(None, [out.resolve().name, zone_name])))
            reports[zone_name] = fit_parts(tables, parts, out / zone_name, name=own_name, zone=zone, **options)
    _tell(reports, out, first, verbose=verbose, as_json=as_json)


def _tell(reports: dict[str, dict[str, Any]], out: Path, first: Zone | None, *, verbose: bool, as_json: bool) -> None:
    """Note the stores of each zone, and show the reports."""
    if first is not None:
        write_json(out / ZONES, {name: list(stores) for name, stores in first.stores.items()})
    if as_json:
        emit({"scenario": str(out), **(reports[""] if first is None else {"zones": reports})})
        return
    if first is not None and not verbose:
        show_zones(reports, first.stores, out)
        return
    for zone_name, report in reports.items():
        if first is not None:
            say(f"{zone_name}: {len(first.stores[zone_name])} stores")
        if "parts" in report:
            show_parts(report["parts"], out / zone_name)
        else:
            show_report(report, out / zone_name)


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


def show_zones(reports: dict[str, dict[str, Any]], stores: Mapping[str, Sequence[str]], folder: Path) -> None:
    """One table of all zones, what holds in every one of them, and what to do next."""
    figures = ("stores", "products", "WAPE", "bias", "moving average", "log-log regression", "elasticity")
    figures += ("market's bias", "in 80%")
    table = figures_table(["zone"], figures, title="price zones: forecasts and markets of the held-out weeks")
    lines: dict[str, list[str]] = {}
    for zone, whole in reports.items():
        for part, report in whole.get("parts", {"": whole}).items():
            s = report["scores"]
            bias = next(row["bias"] for row in report["proof"]["backtest"] if row["forecaster"] == s["forecaster"])
            cells = [str(len(stores[zone])), f"{len(report['price_response']):,}", f"{s['forecast_wape']:.1%}"]
            cells += [f"{bias:+.1%}", f"{s['moving_average_wape']:.1%}", f"{s['log_log_wape']:.1%}"]
            cells += [f"{s['median_elasticity']:.2f}", f"{s['simulated_bias']:+.1%}", f"{s['simulated_cover80']:.0%}"]
            name = " ".join(filter(None, (zone, part)))
            table.add_row(name, *cells)
            for line in (
                *report["plan"],
                *not_priced_lines(report),
                *cost_lines(report),
                *bias_lines(s["simulated_bias"]),
            ):
                lines.setdefault(line, []).append(name)
    show(table)
    for line, names in lines.items():
        say(line if len(names) == table.row_count else f"{line} [{', '.join(names)}]")
    say(f"Scenarios: {folder}/ZONE, each with its fit.json; all lines with --verbose. Next: repricer train {folder}")


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
        sold, simulated = row["actual_units"], row["simulated_units"]
        change = f"{simulated / sold - 1:+.0%}" if sold else ""
        table.add_row(escape(row["name"]), f"{sold:,.0f}", f"{simulated:,.0f}", change)
    return table


def show_parts(reports: dict[str, dict[str, Any]], folder: Path) -> None:
    """A line for each part, and what to do next; the report of a part is in its folder."""
    for part, report in reports.items():
        s = report["scores"]
        say(
            f"{part}: {len(report['price_response']):,} products; WAPE on the held-out weeks {s['forecast_wape']:.1%} (moving "
            f"average {s['moving_average_wape']:.1%}, pooled log-log regression {s['log_log_wape']:.1%}); median elasticity {s['median_elasticity']:.2f}; market of the held-out "
            f"weeks: bias {s['simulated_bias']:+.1%}, {s['simulated_cover80']:.0%} of sales inside the 80% intervals"
        )
        for line in cost_lines(report):
            say(f"  {line}")
    say(f"Scenarios: {folder / next(iter(reports))} and so on, each with its fit.json. Next: repricer train {folder}")
