"""The stages of a cycle, each with the lines that it prints; the demo runs the same ones."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...atomic import write_json, write_new, write_table
from ...privacy.encryption import secret
from ..market_folder import fit_report, spread
from ..progress import Facts, beside_plan, show_step, training_bar
from .config import Cycle, CycleError
from .register import MARKET, CyclePlace

if TYPE_CHECKING:
    import pandas as pd

    from ...agents import Run
    from ...data import Tables
    from ...evaluation.uncertainty import Assessment
    from ...fitting import Zone
    from ...scenarios import MarketSpec
    from ...serving.price_list.rows import PriceRow

TABLES = "tables"
PRODUCTS = "products.csv"
COMPARISON = "comparison.json"
REPORT = "report.html"
BUNDLE = "bundle"
ACCOUNT = "account.json"
_SAME_PRICE = 0.01
_TRIED = 3
LISTS = ("prices.csv", "prices.xlsx")


def import_stage(cycle: Cycle, folder: Path, key_file: Path) -> Facts:
    """Import the shop's files, or read what is imported already.

    Args:
        folder: Where the tables go.
        key_file: Secret of the pseudonyms, made if missing.
    """
    from ...data import load_complete_journey, load_tables, sales_totals, save_tables
    from ...fitting import Zone, price_zones
    from ..shop_files import FileLayout, import_files

    if cycle.config.tables.dataset is not None:
        tables = tables_of(cycle, folder)
        lines = []
    else:
        key_file.parent.mkdir(parents=True, exist_ok=True)
        if not key_file.is_file():
            write_new(key_file, secrets.token_bytes(32))
        key = key_file.read_bytes()
        hidden = secret() if cycle.config.tables.encrypt else None
        if cycle.config.tables.example:
            tables, report = load_complete_journey(key=key)
            save_tables(tables, report, folder / TABLES, key=hidden)
        else:
            layout = FileLayout(cycle.file(cycle.config.tables.mapping))
            report = import_files(cycle.files, layout, key, folder / TABLES, hidden=hidden)
            tables = load_tables(folder / TABLES)
        lines = list(report.lines())
    totals = sales_totals(tables)
    # Without regular prices in the sales, this is no time to guess them.
    discounts = f", discounts {totals.discount_share:.1%} of the regular value" if totals.discount_share else ""
    sold = f"revenue {totals.revenue:,.0f} {cycle.config.fit.currency}, {totals.units:,.0f} units"
    lines.append(f"{totals.weeks} weeks, {sold}{discounts}")
    by = cycle.config.fit.by
    zones = {} if by == "chain" else price_zones(tables.sales, by)
    cycle.parts = None  # of other tables
    parts = [part for part in _parts(cycle, tables, Zone(next(iter(zones)), zones) if zones else None) if part]
    risk = cycle.config.train.risk
    if parts and risk != "mean":
        must = f"[train] risk must be mean for a catalogue in {len(parts)} parts, in which one policy learns"
        raise CycleError(f"{must}; got {risk}; leave it out, price fewer products, or raise at_once")
    return {"lines": lines, "first_day": first_day(tables, cycle.config.fit.period), "zones": zones, "parts": parts}


def _parts(cycle: Cycle, tables: Tables, zone: Zone | None) -> dict[str, pd.DataFrame]:
    """The products of each part's market; one without a name is the whole catalogue. All zones have the same: they are chosen
    once.
    """
    from ...fitting import ShopRules

    if cycle.parts is None:
        cycle.parts = cycle.config.fit.parts(tables, ShopRules.load(cycle.file(cycle.config.fit.rules)), zone)
    return cycle.parts


def first_day(tables: Tables, period: str = "week") -> str:
    """The day after the last whole week, or day, of the sales, on which those to come begin."""
    from ...data.panel.aggregation import whole_weeks
    from ...data.weeks import PERIODS

    weeks = whole_weeks(tables.sale_lines(["date"]), PERIODS[period].days)
    return f"{weeks.first_day(weeks.count):%Y-%m-%d}"


def tables_of(cycle: Cycle, home: Path) -> Tables:
    """The imported tables of a cycle."""
    from ...data import load_experiments, load_tables

    dataset = cycle.file(cycle.config.tables.dataset)
    tables = load_tables(home / TABLES if dataset is None else dataset)
    folders = [folder for name in cycle.config.fit.experiments if (folder := cycle.file(name))]
    return replace(tables, experiments=load_experiments(folders)) if folders else tables


def fit_stage(cycle: Cycle, place: CyclePlace) -> Facts:
    """Choose the products and fit the market of the weeks to come."""
    import pandas as pd

    from ...fitting import ShopRules, not_priced
    from ...scenarios import load_scenario, save_scenario, scenario_name
    from ..fit_lines import fit_lines, quiet
    from ..market_folder import fit_to_folder, privacy_of

    asked = cycle.config.fit
    tables = tables_of(cycle, place.home)
    zone = place.zone
    rules = ShopRules.load(cycle.file(asked.rules))
    products = (parts := _parts(cycle, tables, zone))[place.part]
    write_table(pd.concat(parts.values()), place.home / PRODUCTS)
    name = scenario_name(f"{cycle.config.name} {place.name}".rstrip())
    market = place.folder / MARKET
    zones = len(parts) * (1 if zone is None else len(zone.stores))
    how = asked.arguments(rules, cycle.file(asked.priors)) | {"name": name, "seed": cycle.config.seed, "zone": zone}
    how["privacy"] = privacy_of(cycle.budget, asked.epsilon, asked.epsilon_shares, zones=zones)
    report = fit_to_folder(tables, products, market, **how)
    save_scenario(_accounted(load_scenario(market), place.folder), market)
    if place.part:  # beside which the other parts are priced
        first = place.part == next(iter(parts))
        report |= not_priced(tables, pd.concat(parts.values()), rules) if first else {"not_priced": {}}
    counts = products["category"].value_counts()
    held = int(products["held"].notna().sum())
    beside = f", with {held} more at their planned prices" if held else ""
    chosen = [f"{len(products) - held} products to price, in {len(counts)} categories of substitutes{beside}"]
    chosen += [f"  {quiet(str(category))}: {count} products" for category, count in counts.items()]
    lines = [*chosen, *fit_lines(report)]
    return {"lines": lines, "scores": report["scores"], "try": what_to_try(report["price_response"])}


def train_stage(cycle: Cycle, place: CyclePlace) -> Facts:
    """Learn prices in the market, or one policy for all parts of a catalogue."""
    from ...agents import train

    market, *others = [each.folder / MARKET for each in spread(place.markets)]
    asked = msgspec.structs.asdict(cycle.config.train) | {"seed": cycle.config.seed, "out": place.run_folder}
    with training_bar("learning", "objective") as progress:
        run = train(market, assortments=others, progress=progress, **asked)
    # With its market, whose best fixed prices the search of `compare_stage` then finds already done.
    vars(place)["run"] = run
    priced = f"the products of all {len(place.parts)} parts" if others else f"all {len(run.base_price)} products"
    facts = run.facts
    network = f"one network with {facts['weights']:,} weights prices {priced} ({facts['device']})"
    trained = f"{facts['steps']:,} steps in {facts['settings']['num_envs']} markets"
    earned = beside_plan(facts) if facts.get("beside_plan") else _beside_fixed(run)
    return {"lines": [f"PPO, product-wise: {network}", f"{trained}; {earned}"]}


def _beside_fixed(run: Run) -> str:
    """What the kept policy earns beside the best fixed prices, in a clause."""
    from ...scenarios import floor_market

    best = run.facts["best"]
    gain = best["gain"] / best["best_fixed"]
    floor = " at no less profit" * (floor_market(run.spec) is not None)
    than = f"{'below' if gain < 0 else 'above'} that of the best fixed prices{floor}, on validation customers"
    return f"kept the policy of step {best['steps']:,}: {run.spec.market.objective} {abs(gain):.2%} {than}"


def compare_stage(cycle: Cycle, place: CyclePlace, timings: list[dict[str, Any]], tried: list[str]) -> Facts:
    """Compare on test customers, write report and price list, and say the verdict."""
    from ...evaluation import Without, evaluate
    from ...evaluation.report import ReportData, verdict, write_report
    from ...serving.price_list.files import RULES_BESIDE
    from ..price_list import beyond_the_comparison

    folder = place.folder
    run = place.run
    asked = cycle.config.evaluate
    seed = cycle.config.seed
    learned = replace(run.policy, name=run.facts["algo"])
    policies: list[Any] = [learned]
    policies += [Without(learned, "discount")] * (run.spec.prices.max_discount > 0)
    policies += [Without(learned, "recommendation")] * (run.spec.recommendation is not None)
    draws = min(asked.draws, run.spec.num_draws) or None
    policies += ["historical", "plan", "regular", "myopic"]
    how = {"episodes": asked.episodes, "seed": seed, "draws": draws, "risk": cycle.config.train.risk}
    comparison = evaluate(run.spec, policies, **how)
    document = comparison.to_dict()
    found = given(comparison.uncertainty)
    write_json(folder / COMPARISON, document)
    rows, listed = write_lists(cycle, place, found)
    shown = beyond_the_comparison(learned, comparison, seed, rows, folder / MARKET, costs=asked.rule_costs)
    beside = (folder / LISTS[0]).with_suffix(RULES_BESIDE)
    if shown["rule_costs"] is not None:
        write_json(beside, shown["rule_costs"].to_dict())
    shown["fit"] = fit_report(folder / MARKET)
    write_report(folder / REPORT, ReportData(comparison, run=run, learned=learned.name, timings=timings, **shown))
    lines = [f"report: {folder / REPORT}", listed, *to_vary(found, tried)]
    if shown["rule_costs"] is None:
        lines.append(f"what each price rule costs: repricer rules cost {folder / MARKET} --out {beside}")
    gained = {"verdict": verdict(comparison, learned.name), "gain": found.relative_gain, "zone_gain": found.zone_gain}
    return {"comparison": document, **gained, "lines": lines}


def signing_key(home: Path) -> Path:
    """The key that signs the bundles of all cycles, made on first use: bundle.key.pem in `home`."""
    from ...serving.bundle.files import own_key, own_key_paths

    own_key(home / BUNDLE)
    return own_key_paths(home / BUNDLE)[0]


def export_stage(cycle: Cycle, place: CyclePlace, key: Path) -> Facts:
    """Export the recommended prices as a signed bundle."""
    from ...serving import export, load_bundle
    from ...serving.exporter.holding import holds_line

    out = place.folder / BUNDLE
    encrypt = cycle.config.tables.encrypt
    run = replace(place.run, evaluation=json.loads((place.folder / COMPARISON).read_text(encoding="utf-8")))
    bundle = load_bundle(export(run, out, key=key, seed=cycle.config.seed, encrypt=encrypt))
    line = f"{out}: {bundle.digest[:12]}, ONNX, signed with Ed25519 and verified"
    return {"lines": [line, holds_line(bundle.manifest)]}


def account_stage(cycle: Cycle, home: Path, before: CyclePlace, since: str) -> Facts:
    """What the cycle before predicted, against the sales that came and those of a holdout arm.

    Args:
        home: The folder of this cycle.
        before: The market of the cycle before.
        since: First day of the first cycle.
    """
    import pandas as pd

    from ...fitting import forecasts_since, zone_tables
    from ...forecasting.metrics import wape
    from ...scenarios import load_scenario
    from ..account import account, account_lines, against_holdout, holdout_line, holdout_stores, sales_since

    spec = load_scenario(before.folder / MARKET)
    tables = tables_of(cycle, home)
    own = tables if before.zone is None else zone_tables(tables, before.zone)
    price, units, promotion = sales_since(spec, own)
    if not (units >= 0).any():
        return {"lines": ["nothing of the cycle before lies in the tables yet"], "account": None}
    record = fit_report(before.folder / MARKET)["refit"]
    calendar = given(spec.calendar)
    ahead = forecasts_since(tables, record, calendar.first_day, calendar.last_day)
    days = (pd.Timestamp(calendar.day(t)) for t in (0, len(price)))
    arms = holdout_arms(cycle, tables.sales, *days)
    held, others = (None, set()) if arms is None else ({*own.sales["store"]} & part for part in holdout_stores(arms))
    listed = replace(own, sales=own.sales[own.sales["store"].isin(others)]) if others else own
    error = wape(ahead["units"], ahead["mean"])
    followed = _followed(before.folder, spec, sales_since(spec, listed)[0])
    found = account(spec, price, units, promotion, seed=cycle.config.seed)
    found |= {"wape_one_week_ahead": error, "followed": followed}
    lines = account_lines(found, spec.market.currency)
    lines.append(f"forecasts one {calendar.unit[:-1]} ahead, which know prices and displays: {error:.1%} off")
    which = "the prices outside the holdout arm" if others else "these prices"
    lines.append(f"{followed:.0%} of {which} are those of the price list")
    if held is not None:
        begun = pd.Timestamp(since)
        found["holdout"] = against_holdout(spec, own.sales, held, others, weeks=len(price), since=begun)
        lines.append(holdout_line(found["holdout"]))
    (home / before.name).mkdir(parents=True, exist_ok=True)
    write_json(home / before.name / ACCOUNT, found)
    return {"lines": lines, "account": found}


def _followed(before: Path, spec: MarketSpec, price: Any) -> float:
    """Share of product-weeks that were charged as the price list has them, within 1%."""
    from ...serving.price_list.files import read_list, read_live

    at = {name: n for n, name in enumerate(spec.products.ids or spec.products.names)}
    live = before / "live.csv"
    calendar = given(spec.calendar)
    rows = read_live(live) if live.is_file() else read_list(before / LISTS[0])
    charged = [(row, week) for row in rows if (week := calendar.period(row.week)) < len(price)]
    same = [abs(price[week, at[row.product_id]] / row.price - 1) <= _SAME_PRICE for row, week in charged]
    return sum(same) / max(len(same), 1)


def refresh_stage(cycle: Cycle, place: CyclePlace, before: Path) -> Facts:
    """The bundle of the cycle before for the weeks to come, without training, and its price list."""
    from ...evaluation.uncertainty import assess, past_lines, plan_beside_past
    from ...evaluation.uncertainty.assessment import missed
    from ...scenarios import save_scenario
    from ...serving.exporter.holding import Holding
    from ..refresh import refresh, refresh_lines

    key = signing_key(cycle.out)
    folder = place.folder
    tables = tables_of(cycle, place.home)
    found = refresh(before / BUNDLE, tables, out=folder / BUNDLE, key=key, seed=cycle.config.seed, on_step=show_step)
    found = replace(found, spec=_accounted(found.spec, folder))
    if missed(found.spec.evidence):
        found.train_again.append("the account of the cycle before missed its 90% interval")
    save_scenario(found.spec, folder / MARKET)
    write_json(folder / MARKET / "fit.json", {"refit": found.bundle.manifest["refit"]})
    # Prices that were not learned are among the candidates as they are.
    learned = Holding.of(found.bundle.manifest).learned
    held = [replace(found.bundle.policy, name="held")] * learned  # pyright: ignore[reportArgumentType, reportCallIssue]
    show_step("price list")
    how = {"draws": min(cycle.config.evaluate.draws, found.spec.num_draws), "risk": cycle.config.train.risk}
    judged = assess(found.spec, held, learned=held, seed=cycle.config.seed, **how)
    write_json(folder / COMPARISON, {"uncertainty": judged.to_dict()})
    lines = refresh_lines(found, folder / BUNDLE, judged=True)
    lines += past_lines(plan_beside_past(found.spec), found.spec.market.currency)
    lines.append(write_lists(cycle, place, judged)[1])
    lines += _left_out(cycle, place, tables, found.spec) + to_vary(judged, what_to_try(found.price_response))
    gained = {"verdict": str(judged), "gain": judged.relative_gain, "zone_gain": judged.zone_gain}
    return {"lines": lines, **gained, "train_again": found.train_again}


def _accounted(spec: MarketSpec, folder: Path) -> MarketSpec:
    """The market with what the account of the cycle before says of predictions, where there is one."""
    from ..account import account_fields

    if not (folder / ACCOUNT).is_file():
        return spec
    found = json.loads((folder / ACCOUNT).read_text(encoding="utf-8"))
    return spec.with_changes(evidence=account_fields(found))


def _left_out(cycle: Cycle, place: CyclePlace, tables: Tables, spec: MarketSpec) -> list[str]:
    """Which products are not priced, and why; of parts of a catalogue, their fit says it of all of them."""
    import pandas as pd

    from ...fitting import ShopRules, not_priced, zone_tables
    from ..fit_lines import not_priced_lines

    if place.part:
        return []
    own = tables if place.zone is None else zone_tables(tables, place.zone)
    priced = pd.DataFrame({"product": spec.products.ids})
    return not_priced_lines(not_priced(own, priced, ShopRules.load(cycle.file(cycle.config.fit.rules))))


def given(value: Any) -> Any:
    """A value that is there."""
    assert value is not None
    return value


# The price list of a cycle, and which prices would teach most.


def write_lists(cycle: Cycle, place: CyclePlace, found: Assessment) -> tuple[list[PriceRow], str]:
    """Write the price list of the recommended prices; the rows, and what they are in a line."""
    from ...serving.price_list.files import write_list
    from ...serving.price_list.image import write_image
    from ...serving.price_list.rows import ALL_STORES
    from ...serving.price_list.summary import write_summary
    from ..list_summary import ListPart, list_summary
    from ..price_image import image_of_list
    from ..price_list import list_line, proposed_rows, summary

    spec = found.compared.spec
    seed = cycle.config.seed
    stores = place.stores or ALL_STORES
    rows = proposed_rows(found, zone=stores, seed=seed)
    opening = list_summary([ListPart(stores, found, rows)], seed=seed)
    for name in LISTS:
        write_list(place.folder / name, rows, currency=spec.market.currency, summary=opening)
    write_summary(place.folder / LISTS[0], opening)
    write_image(place.folder / LISTS[0], image_of_list(place.folder / MARKET, [(spec, rows)]))
    return rows, f"price list: {list_line(summary(rows, given(spec.calendar).unit), place.folder / LISTS[-1])}"


def to_vary(found: Assessment, tried: list[str]) -> list[str]:
    """Where no change is recommended, which prices to vary instead."""
    if found.recommendation.change:
        return []
    return ["to learn more, vary these prices in some weeks or stores:", *(f"  {line}" for line in tried)]


def what_to_try(rows: list[dict[str, Any]]) -> list[str]:
    """Which prices to vary, to learn most: those of products that are not identified, then the widest intervals.

    Args:
        rows: The price responses of a fit, by product.
    """
    unknown = [row for row in rows if not row["identified"]]
    wide = sorted(rows, key=lambda row: row["elasticity_interval90"][0] - row["elasticity_interval90"][1])
    chosen = [*unknown, *(row for row in wide if row["identified"])][:_TRIED]
    ranges = ["elasticity {:.1f} to {:.1f}".format(*row["elasticity_interval90"]) for row in chosen]
    return [f"{row['name']}: {row['reason'] or reach}" for row, reach in zip(chosen, ranges, strict=True)]


# Which stores a cycle's prices were held out of: as the configuration or the sales say.


def holdout_arms(cycle: Cycle, sales: pd.DataFrame, first: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame | None:
    """The `store` and `arm` of each store, decision or sale line in some days; None without any arm.

    Args:
        sales: Canonical sales of the whole shop.
        end: The day after the last.

    Raises:
        CycleError: The configuration names a holdout, but the sales no stores, or not these.
    """
    import pandas as pd

    from ..account import HELD

    held = cycle.config.account.holdout
    if not held:
        here = sales["date"].between(first, end, inclusive="left")
        return sales.loc[here, ["store", "arm"]] if {"store", "arm"} <= {*sales} else None
    stores = sales["store"].dropna().unique().tolist() if "store" in sales else []
    if unknown := sorted({*held} - {*stores}):
        must = f"a holdout must be of stores that the sales name, such as {', '.join(map(str, stores[:3])) or 'none'}"
        raise CycleError(f"{must}; got {', '.join(unknown)}; fix [account], or import the column store")
    return pd.DataFrame({"store": stores, "arm": [HELD if store in held else "policy" for store in stores]})
