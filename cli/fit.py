"""`repricer fit`: fit every model and write the resulting market."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_json
from ._compile_ahead import CompileAhead
from ._fit_lines import show_report, show_zones
from ._fit_market import FORECASTERS, tables_of
from ._fit_parts import ZONES, chosen_parts, fit_parts, show_parts
from ._options import FILE, OUT, Number, emit, json_option, place_option, say, seed_option, show_line, tables_options
from ._shop_rules import rules_options

if TYPE_CHECKING:
    from ..data import Tables
    from ..fitting import Privacy, ShopRules, Zone


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


def privacy_of(dataset: Path, epsilon: float | None, shares: Mapping[Any, float], *, zones: int = 1) -> Privacy | None:
    """What each zone may tell of a customer, who may buy in all of them; None without an epsilon."""
    from ..fitting import Privacy
    from ..privacy.ledger import PrivacyLedger

    if epsilon is None:
        if shares:
            raise ValueError(f"shares of epsilon need an epsilon; got {', '.join(shares)} alone; give epsilon too")
        return None
    return Privacy(epsilon / zones, PrivacyLedger(dataset), shares)


def _zones(tables: Tables, by: str) -> dict[str, Zone | None]:
    """The price zones by name; one without a name, None, where all stores are one market."""
    from ..fitting import Zone, price_zones

    if by == "chain":
        return {"": None}
    stores = price_zones(tables.sales, by)
    return {name: Zone(name, stores) for name in stores}
