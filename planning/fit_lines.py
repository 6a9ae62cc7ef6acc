"""The fit report in lines; details are indented."""

from __future__ import annotations

import math
from typing import Any

from ..pricing.choice_formulas import reference_gap

# Errors from which on decimals say nothing; above the share of the posterior, the prior decides.
_WHOLE = 10
_MOSTLY = 0.7
_REASONS_NAMED = 3


def fit_lines(report: dict[str, Any]) -> list[str]:
    """The fit report in about a dozen lines, and in as many again that are indented."""
    s = report["scores"]
    proof = report["proof"]
    period = report["period"]
    others = "moving average {moving_average_wape:.1%}, pooled log-log regression {log_log_wape:.1%}".format_map(s)
    simulated = f"WAPE {s['simulated_wape']:.1%} per product and {period}, bias {s['simulated_bias']:+.1%}"
    covered = f"{s['simulated_cover80']:.0%} of actual sales inside the simulated 80% intervals"
    return [
        f"proved on {proof['first_day']} to {proof['last_day']}; market of {report['first_day']} to {report['last_day']}",
        *_plan_lines(report),
        *modelled_lines(report),
        *not_priced_lines(report),
        *cost_lines(report),
        f"demand: forecaster '{s['forecaster']}'; WAPE on the held-out weeks {s['forecast_wape']:.1%} ({others})",
        f"price response: median elasticity {s['median_elasticity']:.2f} over {len(report['price_response'])} products",
        *_response_lines(report),
        *_doubt_lines(report),
        *_estimation_lines(report),
        *_change_lines(report),
        _trend_line(report["trend"], period),
        *_customer_lines(report),
        f"market of the held-out weeks at the prices actually charged: {simulated}; {covered}",
        *bias_lines(s["simulated_bias"]),
    ]


def _plan_lines(report: dict[str, Any]) -> list[str]:
    """What the shop plans, beside the past."""
    from ..evaluation.uncertainty import past_lines
    from ..evaluation.uncertainty.assessment import unlike_past

    rows = report.get("plan_beside_past", [])  # not in a fit of an earlier version
    details = [*report["plan"], *past_lines(rows, report["refit"]["currency"])]
    unlike = unlike_past(rows, profit=not report.get("costs_assumed", False))
    return [*(f"  {line}" for line in details), *([f"check the plan first: {unlike}"] if unlike else [])]


def _response_lines(report: dict[str, Any]) -> list[str]:
    """How customers respond to prices and displays, what is mostly the prior's, and what would be 0 if all is well."""
    shape = "  {}: {elasticity:.2f} (s.e. {se:.2f}); outside share {outside_share:.0%} (s.e. {outside_share_se:.0%})"
    lines = [shape.format(quiet(row["category"]), **row) for row in report["category_response"]]
    lines += _long_run_lines(report)
    placebo = report["identification_checks"]["lead_price"]["pooled"]
    if placebo["effect"] is not None:
        lines.append(
            f"  placebo, an elasticity that should be 0: next {report['period']}'s price {placebo['effect']:+.2f} (s.e. "
            f"{placebo['se']:.2f}, p = {placebo['p_value']:.2f})"
        )
    lines += _display_lines(report)
    return [*lines, f"  customers feel the logarithm of a price, not the price: {report['price_curvature']:.0%} likely"]


def _display_lines(report: dict[str, Any]) -> list[str]:
    """What displays and mailers are worth: of several kinds, each of them."""
    lines = []
    if effect := report.get("exposure_effect"):
        felt = f"{effect['utility']:+.2f} utility (s.e. {effect['utility_se']:.2f})"
        sold = f"{math.expm1(effect['coefficient']):+.0%} units (s.e. {effect['se']:.2g} in logs)"
        lines.append(f"  displays and mailers in all stores: {felt}; by regression {sold}")
    for row in report.get("promotion_effects", ()):
        low, high = row["utility_interval90"]
        sold = f"{math.expm1(row['utility']):+.0%} units of a product with a small share"
        lines.append(f"  {row['kind']} in all stores: {row['utility']:+.2f} utility [{low:+.2f}, {high:+.2f}]; {sold}")
    return lines


def _long_run_lines(report: dict[str, Any]) -> list[str]:
    """How customers answer to regular prices and to deals, and where the former is mostly the prior's."""
    lines = []
    deals = report["deals"]
    if deals is not None:
        met = ((0.9, "units"), (1.1, "dip"))
        more, less = (math.expm1(reference_gap(ratio, 1.0, False, True) * deals[name]["mean"]) for ratio, name in met)
        take = f"per 10% off, buyers take {more:+.0%} units, and {less:+.0%} per 10% above the price they remember"
        likely = f"{deals['probability']:.0%} likely"
        lines.append(f"  deals and regular prices have responses of their own: {likely}; {take}")
    for row in report["regular_prices"]:
        low, high = row["total_interval90"]
        moves = f"{row['moves']:,} moves in {row['stores']} stores"
        moves += "; mostly the prior's" if row["total_prior_share"] > _MOSTLY else ""
        total = f"elasticity {row['total']:.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"  {quiet(row['category'])}, all regular prices together: {total}, from {moves}")
        lines += _experiment_lines(row.get("experiment"))
    return lines


def _experiment_lines(found: dict[str, Any] | None) -> list[str]:
    """What price experiments told of a category: before and after, and what of them was lost."""
    if found is None:
        return []
    shape = "{1:.2f} [{0:.2f}, {2:.2f}]"
    words = {"relative": "a product's price within its category", "total": "all regular prices together"}
    lines = [
        f"    {text}: {shape.format(*found['before'][name])} without the experiment, {shape.format(*found['after'][name])} with it"
        for name, text in words.items()
    ]
    lost = sum(found["broken"].values())
    names = ", ".join(found["broken"])
    kept = f"    the experiment: {found['cells']:,} prices by store, week and product were read"
    return [*lines, kept + (f"; {lost:,} were left out, as other prices were charged ({names})" if lost else "")]


def quiet(name: str) -> str:
    """A name that is all capitals in lower case; others as the shop writes them."""
    return name.lower() if name.isupper() else name


def modelled_lines(report: dict[str, Any]) -> list[str]:
    """Which shares of the categories' revenue are modelled and priced, and what is in the market at its planned prices."""
    if "revenue_modelled" not in report:  # a fit of an earlier version
        return []
    categories = len(report["category_response"])
    whose = (
        "1 category: {:.0%} of its revenue"
        if categories == 1
        else f"{categories} categories: {{:.0%}} of their revenue"
    )
    modelled = report["revenue_modelled"]
    priced = report["revenue_priced"]
    held = report["held"]
    total = sum(map(len, held.values()))
    stay = f"; {total:,} product{'s' * (total != 1)} in the market at planned prices" if total else ""
    lines = [f"{whose.format(modelled)} is modelled, {priced:.0%} is priced{stay}"]
    for why, names in sorted(held.items(), key=lambda item: -len(item[1])):
        more = len(names) - _REASONS_NAMED
        also = f" and {more:,} more" if more > 0 else ""
        each = "each as" if len(names) > 1 else "as"
        lines.append(f"  {len(names):,}, {each} {why}: {', '.join(names[:_REASONS_NAMED])}{also}")
    return lines


def not_priced_lines(report: dict[str, Any]) -> list[str]:
    """How many products of the tables are not priced, why, and the best sellers among them."""
    reasons = report["not_priced"]
    if not reasons:
        return []
    total = sum(reasons.values())
    names = report["not_priced_names"]
    lines = [f"not priced, current prices stay: {total:,} product{'s' * (total != 1)}"]
    for why, count in reasons.items():
        more = count - len(names[why])
        lines.append(f"  {count:,} as {why}: {', '.join(names[why])}{f' and {more:,} more' if more else ''}")
    return lines


def cost_lines(report: dict[str, Any]) -> list[str]:
    """That prices maximise revenue as unit costs are unknown or can hardly be meant, or that profit is made of such costs."""
    from ..scenarios.fields import listed

    doubts = report.get("doubtful_costs", ())  # not in a fit of an earlier version
    if doubts and report["objective"] == "profit":
        return [f"do not rely on any profit: it is maximised as asked, but {doubt}" for doubt in doubts]
    if doubts:
        return [
            f"prices maximise revenue, not profit, as {doubt}; if they are right, ask for profit" for doubt in doubts
        ]
    names = report.get("revenue_without_costs", ())  # not in a fit of an earlier version
    if not names:
        return []
    count = len(report["price_response"])
    which = f"any of {count} products" if len(names) == count else f"{len(names)} of {count} products ({listed(names)})"
    fix = "add unit_cost, or ask for the objective profit, with costs that are assumed"
    return [f"prices maximise revenue, not profit, as the tables give no unit cost for {which}: {fix}"]


def _doubt_lines(report: dict[str, Any]) -> list[str]:
    """Whether prices follow demand: a line where they may."""
    from ..pricing.wording import likely_by_sales
    from ..scenarios.shop_sections import MENTIONED_FROM

    chance = report["prices_follow_demand"]
    if chance is None or chance < MENTIONED_FROM:
        return []
    more = " (unit costs by week in the sales table would tell more)" if report["costs_used"] is None else ""
    likely = likely_by_sales(chance, report.get("prices_follow_demand_before"))
    return [f"prices may follow demand: {likely}; the elasticities and their intervals allow for it{more}"]


def _estimation_lines(report: dict[str, Any]) -> list[str]:
    """What the likelihood could not use, or did not settle on, and what a regression says of the instruments."""
    from ..scenarios.fields import listed

    warnings = report.get("identification", "").splitlines()
    doubts = [line.removeprefix("Warning: ") for line in warnings if line.startswith("Warning: ")]
    if report["costs_used"] is False:
        doubts.append("unit costs hardly move the prices: they were not used as an instrument")
    unsettled = [row["category"] for row in report["category_response"] if not row["converged"]]
    if unsettled:
        doubts.append(f"the likelihood did not settle in {', '.join(unsettled)}: do not rely on these categories")
    if names := report["unidentified"]:
        count = f"{len(names)} product{'s' * (len(names) > 1)}"
        doubts.append(f"not identified by the sales, current prices stay: {count} ({listed(names)})")
    return doubts


def _change_lines(report: dict[str, Any]) -> list[str]:
    """Price changes in the held-out weeks, deals and regular moves apart: predicted against realised changes in units."""
    changes = report["proof"]["price_changes"]
    moves = changes["regular_moves"]
    known = {"deals": "deals", "regular_moves": "moves of regular prices"}
    shape = "{changes} {} in the held-out weeks: units changed by {slope:.2f} times the prediction "
    shape += "(90% interval {:.2f} to {:.2f}); {coverage90:.0%} inside their 90% intervals"
    found = [(words, changes[name]) for name, words in known.items() if changes[name]["slope"] is not None]
    lines = [shape.format(words, *row["slope_interval90"], **row) for words, row in found]
    if moves["changes"] < moves["enough"]:
        few = f"only {moves['changes']} regular prices moved in the held-out weeks"
        lines.append(f"{few}: too few to check the response to them, which rests on earlier weeks and on the prior")
    return lines


def _trend_line(trend: dict[str, Any], period: str) -> str:
    """How well the size of the whole market was foreseen, in what it is counted in."""
    counted = trend.get("counted", "baskets")
    if counted == "rows":
        why = "the sales name no receipts and hold one row per product, store and day"
        return f"trend: how many customers come is not known, as {why}, whose number says nothing of them"
    errors = [f"{row['candidate']} {row['mae']:{',.0f' if row['mae'] >= _WHOLE else '.2g'}}" for row in trend["scores"]]
    found = f"{counted}: {', '.join(errors)}; the market uses the {trend['used']}"
    return f"trend, mean absolute error one {period} ahead, {found}"


def _customer_lines(report: dict[str, Any]) -> list[str]:
    privacy = report.get("privacy")
    scores = report["scores"]
    segments = report.get("segments", [])
    shape = "segment '{name}': {customers} customers, {spend_per_week:.2f} per week, elasticity "
    lines = [(shape + "{elasticity:.2f} (s.e. {elasticity_se:.2f})").format_map(row) for row in segments]
    lines = lines or ["the sales name no customers: one segment, no personal discounts, no recommendations"]
    if privacy is not None:
        most = ", ".join(f"{share:.1%} for a {unit}" for unit, share in privacy["most_advantage"].items())
        lines += [
            f"differential privacy: epsilon {privacy['epsilon']:g}, delta {privacy['delta']:.1g}, for {privacy['unit']}",
            f"whether one was in the data, an attacker who knows all others tells better than by guessing by at most: {most}",
        ]
    elif segments:
        stability = f"stability {scores['segment_stability']:.2f} between halves of the customers"
        tree = f"the decision tree assigns {scores['segment_fidelity']:.0%} of held-out customers correctly"
        recall = "recall@20 of new products {recall_at_20:.3f}, popularity {popularity_recall_at_20:.3f}"
        lines += [f"{len(segments)} segments: {stability}; {tree}", f"recommender: {recall.format_map(scores)}"]
    return lines


def bias_lines(bias: float) -> list[str]:
    """That the market cannot be relied on: a line where its proof is far off."""
    from ..scenarios.shop_sections import MOST_BIAS

    if 1 / MOST_BIAS <= 1 + bias <= MOST_BIAS:
        return []
    sold = f"in the held-out weeks it sold {1 + bias:.2g} times what the shop sold, too far apart to be chance"
    fix = "look for wrong dates, gaps or double lines in the sales (repricer data check), correct them and fit again"
    return [f"do not rely on this market: {sold}; {fix}"]
