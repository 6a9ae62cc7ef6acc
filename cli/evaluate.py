"""`repricer evaluate`: compare policies on the same test seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..planning.market_folder import in_zone, zone_folders
from ._options import (
    FILE,
    comparison_table,
    draws_option,
    emit,
    episodes_option,
    figures_table,
    json_option,
    output,
    risk_option,
    say,
    seed_option,
    show,
)
from ._policies import policy_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..agents.posterior.informed_plan import InformedPlan
    from ..evaluation import Comparison, GroupFigures
    from ..scenarios import MarketSpec


@click.command(name="evaluate")
@click.argument("scenario")
@click.option("--policy", "policies", multiple=True, required=True, metavar="P", help="Run folder, bundle or rule.")
@click.option("--from-log", "log", type=FILE, help="Evaluate from a log, written by simulate --log or log export.")
@draws_option
@risk_option
@click.option("--stress", is_flag=True, help="Evaluate them also in markets that differ from SCENARIO.")
@click.option("--informed", is_flag=True, help="Show what knowing the customers would add to the best plan.")
@click.option("--fairness", is_flag=True, help="Show prices paid and surplus by segment and by protected group.")
@episodes_option
@seed_option
@json_option
def command(
    scenario: str,
    policies: tuple[str, ...],
    log: Path | None,
    stress: bool,
    informed: bool,
    fairness: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Compare policies in SCENARIO on test seeds that none of them was tuned or trained on.

    A policy P is a run folder, a bundle, or a rule: fixed:PRICE, regular, historical, best-fixed,
    cost-plus:RATE, undercut:STEP, myopic, time-only, certainty-equivalent, thompson, optimum,
    random and others. The best fixed price is always in the table. Of a folder of price zones each zone is evaluated,
    with its own run where P is the folder of theirs.

    Where SCENARIO has a posterior, as a fitted market has, the policies are also compared over its
    draws: the gain over the current and the regular prices with a 90% interval, the probability of
    a loss, and which prices are recommended.

    With --from-log nothing is simulated: the values are estimated from a log of decisions with
    propensities, by inverse propensity scoring (IPS), self-normalised IPS (SNIPS), a doubly robust
    estimator and fitted Q evaluation.

    With --stress a second table follows, worst case first: the same policies, which keep seeing the
    forecasts of SCENARIO, in markets where the customers, the competitors or the supplier have
    changed.

    With --informed a line says what the best plan for the customers of each posterior draw would earn beyond the best plan
    over all of them: the most that learning about the customers can add to a plan.

    With --fairness a table follows of what each segment, and each protected group of the market, pays for the same basket,
    and of its consumer surplus, against the current prices.
    """
    from ..evaluation import evaluate, group_figures, stress_table
    from ..scenarios import load_scenario

    if (stress or fairness or informed) and log is not None:
        raise click.UsageError("a log covers no other market; give --from-log, or --stress, --fairness and --informed")
    seed = how["seed"]

    if log is not None:
        _from_log(load_scenario(scenario), log, policies, seed, as_json)
        return
    documents = {}
    for zone, market in (zone_folders(scenario) or {"": scenario}).items():
        spec = load_scenario(market)
        known = _informed(spec, how["risk"]) if informed else None
        chosen = [policy_of(in_zone(p, zone) if zone else p, spec, seed=seed) for p in policies]
        comparison = evaluate(spec, chosen, **how)
        document = documents[zone] = comparison.to_dict()
        if stress:
            document["stress"] = stress_table(spec, chosen, episodes=how["episodes"], seed=seed).to_dict()
        if known is not None:
            document["informed"] = known.to_dict()
        found = [group_figures(spec, p, draws=how["draws"], seed=seed) for p in chosen] if fairness else []
        document |= {"fairness": [figures.to_dict() for figures in found]} if fairness else {}
        if not as_json:
            _show(comparison, document)
            for figures in found:
                _show_groups(figures)
    if as_json:
        emit(documents.get("", {"zones": documents}))


def _show(comparison: Comparison, document: dict[str, Any]) -> None:
    spec = comparison.spec
    show(comparison_table(document, spec.market.currency))
    for row in comparison.rows:
        for flag in row.flags:
            say(f"{row.policy}: {flag}.")
    for name, limit in (("Optimum", comparison.optimum), ("No policy earns more than", comparison.bound)):
        if limit:
            say(f"{name} {limit['value']:.6g} by {limit['method']}.")
    if comparison.uncertainty is not None:
        from ..evaluation.report import verdict
        from ..evaluation.uncertainty import past_lines, plan_beside_past

        say("")
        for line in past_lines(plan_beside_past(spec), spec.market.currency):
            say(line)
        say(verdict(comparison, None))
    if "informed" in document:
        gain = document["informed"]["gain"]
        say(
            f"If the customers were known, the best plan for them would earn {gain:.1%} more than the best plan over all draws."
        )
    if "stress" in document:
        show(_stresses(document["stress"], spec))
        for name, why in document["stress"]["skipped"].items():
            say(f"{name} does not apply: {why}.")


def _informed(spec: MarketSpec, risk: str) -> InformedPlan:
    from ..agents.posterior.informed_plan import informed_plan

    found = informed_plan(spec, risk)
    if found is None:
        raise click.UsageError(
            f"--informed needs a market with a posterior; got {spec.name}, without one; leave it out"
        )
    return found


def _show_groups(figures: GroupFigures) -> None:
    from rich.markup import escape

    from ..evaluation.fairness import COLUMNS

    table = figures_table(
        ["kind", "group"],
        ["customers", *(name.replace("_", " ") for name in COLUMNS)],
        title=escape(
            f"{figures.policy} against {figures.against}: prices and surplus by group, {figures.spec.market.currency}"
        ),
        caption="Prices a unit; surplus a customer. Basket: what all buy before. Brackets: 90% intervals over draws.",
    )
    for row in figures.cells:
        table.add_row(*map(escape, row))
    show(table)
    for sentence in figures.sentences:
        say(sentence)


def _stresses(document: dict[str, Any], spec: MarketSpec) -> Table:
    from rich.markup import escape

    from ..evaluation.comparison import interval

    rows = [*document["rows"], *document["nominal"]]
    last = len(document["rows"]) - 1
    extra = {"vs_hindsight": "against tuned fixed", "share_of_optimum": "share of optimum"}
    extra = {key: heading for key, heading in extra.items() if any(row[key] is not None for row in rows)}
    table = figures_table(
        ["stress", "policy"],
        ["objective", "loss", "against best fixed", *extra.values()],
        title=f"{spec.name} under stress, worst first: {document['episodes']:,} test episodes, {spec.market.currency} per episode",
        caption=f"Objective: {spec.market.objective}. Loss: share of the policy's own result in SCENARIO. Best fixed: "
        "the best fixed prices of SCENARIO; tuned fixed: those of the market under stress. Brackets: 95% intervals.",
    )
    for number, row in enumerate(rows):
        share = row["share_of_optimum"]
        tuned = row["vs_hindsight"]
        cells = {
            "vs_hindsight": interval(tuned, sign="+") if tuned else "–",
            "share_of_optimum": "–" if share is None else f"{share:.2%}",
        }
        loss = "–" if row["loss"] is None else f"{row['loss']['mean']:z.1%}"
        against = interval(row["vs_fixed"], sign="+")
        shown = (escape(row["policy"]), interval(row["objective"]), loss, against, *(cells[key] for key in extra))
        table.add_row(row["stress"], *shown, end_section=number == last)
    return table


def _from_log(spec: MarketSpec, path: Path, policies: tuple[str, ...], seed: int, as_json: bool) -> None:
    from ..evaluation import estimate_from_log, read_log

    log = read_log(spec, path)
    rows = [estimate_from_log(log, policy_of(p, spec, seed=seed)).to_dict() for p in policies]
    lines = []
    ignored = rows[0]["ignored"]
    if rows[0]["estimates"]["fitted_q"] is None:
        lines.append(
            "Fitted Q and sequential estimates need markets with a decision in every period; this log has none."
        )
    if ignored:
        lines.append(f"Only the last two account for what a price changes in later periods ({', '.join(ignored)}).")
    document = {"scenario": spec.name, "objective": spec.market.objective, "log": str(path), "policies": rows}
    output(as_json, document, _log_table(spec, rows), *lines)


def _log_table(spec: MarketSpec, rows: list[dict[str, Any]]) -> Table:
    from rich.markup import escape

    from ..evaluation.comparison import interval

    first = rows[0]
    names = {"ips": "IPS", "snips": "SNIPS", "doubly_robust": "doubly robust", "fitted_q": "fitted Q"}
    names |= {"sequential_doubly_robust": "sequential doubly robust"}
    title = f"{spec.name}: {first['decisions']:,} logged decisions in {first['markets']:,} markets, {spec.market.currency} per episode"
    caption = f"Objective: {spec.market.objective}. Brackets: 95% intervals for sampling noise in the log."
    table = figures_table(["policy"], [*names.values(), "effective sample"], title=title, caption=caption)
    for row in rows:
        estimates = (interval(row["estimates"][name]) if row["estimates"][name] else "–" for name in names)
        table.add_row(escape(row["policy"]), *estimates, f"{row['effective_sample_size']:,.0f}")
    table.add_row("(the log itself)", interval(first["logged"]), *[""] * 4, f"{first['decisions']:,}")
    return table
