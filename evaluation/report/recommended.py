"""The recommendation on a market with a posterior, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...agents.posterior import current_prices
from ...envs import Outcome, rollout, seed_for
from ...pricing import Action, MarketView
from ...pricing.price_rules.rule_formulas import BITS
from ...pricing.wording import likely_by_sales, rule_words
from ...scenarios.errors import listed
from ..compare.comparison import Comparison
from ..uncertainty import Assessment, Gain, costs_assumed
from .data import ReportData, currency_of
from .formats import number, percent

_SAME, _CENT = 5e-4, 0.0101


def headline(comparison: Comparison) -> str:
    """Which prices are recommended and what they are expected to earn, or why no change is recommended."""
    found = assessment_of(comparison)
    chosen = found.recommendation
    if not chosen.change:
        return f"{found.doubt} No change recommended: keep your current prices. {_why_not(found)}".strip()
    gain = found.gain(chosen.policy)
    said = [
        found.doubt,
        f"Recommended: {chosen.words}. Expected to earn {_more(comparison, gain)} {found.metric} than your current prices "
        f"in {_weeks(comparison, dates=True)} ({_interval(comparison, gain)}{found.chance(gain)}).",
    ]
    objective = comparison.spec.market.objective
    if objective != found.metric:
        other = found.gain(chosen.policy, objective=objective)
        said.append(
            f"The objective is {objective}: if the assumed unit costs hold, it is {_more(comparison, other, 'higher')} "
            f"({_interval(comparison, other)})."
        )
    return " ".join(filter(None, (*said, *found.consequences())))


def explanations(comparison: Comparison, learned: str | None) -> list[str]:
    """What stands behind the headline: assumptions, chance, prices hardly ever charged, break-even points."""
    found = assessment_of(comparison)
    chosen = found.recommendation
    said = [_plan_breaks_rules(comparison), _not_identified(comparison), _follows_demand(comparison)]
    if chosen.change:
        said += [_noise(comparison, found), _outside(found), *_break_even(found)]
    if learned is not None and chosen.policy != learned:
        gain = found.gain(learned)
        said.append(
            f"The learned prices as they are would be expected to earn {_more(comparison, gain)} {found.metric} than "
            f"your current prices ({_interval(comparison, gain)}{found.chance(gain)})."
        )
    if chosen.change and costs_assumed(comparison.spec) and comparison.spec.market.objective == found.metric:
        profit = found.gain(chosen.policy, objective="profit")
        said.append(
            f"Profit rests on unit costs that were assumed: over the range assumed, it is "
            f"{_more(comparison, profit, 'higher')} ({_interval(comparison, profit)})."
        )
    if chosen.floor is not None:
        said.append(f"Floor: {chosen.floor[0].lower()}{chosen.floor[1:]}")
    return [text for text in said if text]


def candidate_rows(comparison: Comparison) -> list[dict[str, str]]:
    """One row per candidate for the report's table."""
    found, rows = assessment_of(comparison), []
    for standing in found.recommendation.standings:
        gain = found.gain(standing.policy)
        rows.append(
            {
                "policy": standing.policy,
                "mean": _more(comparison, gain, signed=True),
                "interval": _interval(comparison, gain, label=False),
                "realised": _interval(comparison, gain, label=False, realised=True),
                "loss": percent(gain.loss_probability, 0),
                **{
                    name: _more(comparison, found.gain(standing.policy, objective=name), signed=True)
                    for name in ("revenue", "units", "profit")
                },
                "outside": percent(found.outside(standing.policy), 0),
                "said": "recommended" if standing.policy == found.recommendation.policy else standing.refused,
            }
        )
    return rows


def price_rows(comparison: Comparison) -> list[dict[str, str]]:
    """One row per product for the report's table of recommended prices; none where no change is recommended."""
    found = assessment_of(comparison)
    if not found.recommendation.change:
        return []
    rows = []
    for row in found.prices():
        charged, outside = row["charged"], row["outside"]
        known = "" if charged is None else " to ".join(number(price, 2) for price in charged)
        count = 0 if outside is None else sum(outside)
        rows.append(
            {
                "product": row["product"],
                "current": _range(row["current"]),
                "recommended": _range(row["recommended"]),
                "mark": f"outside what was mostly charged: {known}" if count else "",
                "share": f"{count} of {len(row['current'])}" if count else "",
            }
        )
    return rows


def list_rows(data: ReportData) -> list[dict[str, str]]:
    """One row per product and week for the report's price list."""
    return [
        {
            "product": row["product"],
            "week": str(row["week"]),
            "current": number(row["current_price"], 2),
            "new": number(row["new_price"], 2),
            "change": percent(row["change"]) if abs(row["change"]) >= _SAME else "–",
            "units": number(row["expected_units"], 1),
            "units_interval": f"{number(row['units_low'], 0)} to {number(row['units_high'], 0)}",
            "revenue": number(row["expected_revenue"]),
            "revenue_interval": f"{number(row['revenue_low'])} to {number(row['revenue_high'])}",
            "profit": number(row["expected_profit"]),
            "profit_interval": f"{number(row['profit_low'])} to {number(row['profit_high'])}",
            "share": percent(row["parameter_share"], 0),
            "why": "; ".join(filter(None, (row["reason"].rstrip("."), row["outside_charged"], row["rules"]))),
        }
        for row in data.price_list
    ]


def _range(prices: list[float]) -> str:
    """One price, or the lowest and the highest."""
    low, high = (number(price, 2) for price in (min(prices), max(prices)))
    return low if low == high else f"{low} to {high}"


def assessment_of(comparison: Comparison) -> Assessment:
    """What the posterior draws say; only where the market has a posterior."""
    assert comparison.uncertainty is not None, "the market has a posterior"
    return comparison.uncertainty


def _why_not(found: Assessment) -> str:
    promising = [standing for standing in found.recommendation.standings if standing.gain.mean > 0]
    if not promising:
        return "None of the candidates is expected to earn more."
    best = promising[0]
    return f"The best candidate, {best.words}, was not chosen: {best.refused}."


def _noise(comparison: Comparison, found: Assessment) -> str:
    gain = found.gain(found.recommendation.policy)
    if gain.parameter_share is None:
        return ""
    return (
        f"Sales also vary by chance: in 90% of cases the gain seen in {_weeks(comparison)} lies between "
        f"{_interval(comparison, gain, label=False, realised=True).replace(' to ', ' and ')}. Of this spread (variance), "
        f"{percent(gain.parameter_share, 0)} is uncertainty about how customers respond, the rest chance."
    )


def _plan_breaks_rules(comparison: Comparison) -> str:
    """How many of the planned prices break price rules, and which ones."""
    spec = comparison.spec
    if spec.history is None:
        return ""
    broken = []

    def note(view: MarketView, outcome: Outcome) -> None:
        allowed = spec.guardrails.apply(Action(outcome.list_price), view)
        apart = np.abs(allowed.price / outcome.list_price - 1)
        moved = apart > np.maximum(_SAME, _CENT / outcome.list_price)
        broken.append(np.where(moved, allowed.trail, 0))

    rollout(spec, current_prices(spec), episodes=1, seed=seed_for("test"), watch=note)
    trail = np.concatenate(broken)
    # A price that another rule moved was rounded after it.
    trail = np.where(trail == BITS["price_ladder"], trail, trail & ~BITS["price_ladder"])
    if not trail.any():
        return ""
    by_rule = {rule_words(rule): np.count_nonzero(trail & bit) for rule, bit in BITS.items()}
    rules = ", ".join(f"{rule} {hits}" for rule, hits in by_rule.items() if hits)
    count = np.count_nonzero(trail)
    return (
        f"{count} of the {trail.size} prices planned for {_weeks(comparison)} {'break' if count > 1 else 'breaks'} the price rules "
        f"({rules}): your current prices count as planned, all others keep the rules."
    )


def _not_identified(comparison: Comparison) -> str:
    """Which products of a fitted market keep their prices because the sales say nothing of other ones, or by a rule."""
    history, frozen = comparison.spec.history, comparison.spec.prices.frozen
    if history is None:
        return ""
    silent, unidentified = ", because the sales do not tell how customers respond to other ones", history.unidentified
    if unidentified is None:
        return _kept(frozen, f"{silent}, or by your rule")
    unknown, ruled = ([name for name in frozen if (name in unidentified) == said] for said in (True, False))
    return f"{_kept(unknown, silent)} {_kept(ruled, ' by your rule')}".strip()


def _kept(names: Sequence[str], why: str) -> str:
    if not names:
        return ""
    keep = "1 product keeps its price" if len(names) == 1 else f"{len(names)} products keep their prices"
    return f"{keep}{why}: {listed(names)}."


def _follows_demand(comparison: Comparison) -> str:
    history = comparison.spec.history
    if history is None or history.follows_demand is None or not history.may_follow_demand:
        return ""
    likely = likely_by_sales(history.follows_demand, history.follows_demand_before)
    return (
        f"Your prices may have followed demand ({likely}), which makes "
        "customers look less price-sensitive than they are; the figures allow for it."
    )


def _outside(found: Assessment) -> str:
    share, joint = (ask(found.recommendation.policy) for ask in (found.outside, found.joint))
    if share is None:
        return ""
    said = f"{percent(share, 0)} of the product-periods are priced outside what you mostly charged in the past"
    if joint:
        together = percent(joint, 0)
        period = found.compared.spec.market.period
        said += f"; by category and {period}, {together} are priced as a whole lower, or higher, than they usually were"
    return f"{said}."


def _break_even(found: Assessment) -> list[str]:
    points = found.break_even
    if points is None:
        return []
    elasticity, cost = points.elasticity, points.cost_share
    said = [
        f"The gain in {points.objective} would be gone with price elasticities {elasticity.words('{:.2f}')} times those fitted."
    ]
    if elasticity.below is None and elasticity.above is None:
        low, high = elasticity.tried
        said = [
            f"The gain in {points.objective} holds with price elasticities from {low:g} to {high:g} times those fitted."
        ]
    if cost is not None:
        gone = cost.below is not None or cost.above is not None
        where = f"would be gone with unit costs {cost.words('{:.0%}')} of the regular price"
        none = "does not change its sign with unit costs from {:.0%} to {:.0%} of the regular price".format(*cost.tried)
        said.append(f"The gain in profit {where if gone else none} (the market has {cost.now:.0%}).")
    return said


def _weeks(comparison: Comparison, *, dates: bool = False) -> str:
    market = comparison.spec.market
    count = market.horizon_periods
    calendar = comparison.spec.calendar
    if calendar and dates:
        many = "" if count == 1 else f"{count} "
        return f"the {many}{market.period}{'s' * (count > 1)} from {calendar.first_day} to {calendar.last_day}"
    return f"this {market.period}" if count == 1 else f"these {count} {market.period}s"


def _more(comparison: Comparison, gain: Gain, word: str = "more", *, signed: bool = False) -> str:
    """`6.1% more`; money where the other policy earns nothing."""
    value, tail = (100 * gain.relative["mean"], "%") if gain.relative else (gain.mean, currency_of(comparison))
    if signed:
        return f"{number(value, 1 if gain.relative else None)}{tail}"
    if value < 0:
        word = {"more": "less", "higher": "lower"}[word]
    return f"{number(abs(value), 1 if gain.relative else None)}{tail} {word}"


def _interval(comparison: Comparison, gain: Gain, *, label: bool = True, realised: bool = False) -> str:
    name = "interval90_realised" if realised else "interval90"
    ends = gain.relative[name] if gain.relative else getattr(gain, name)
    digits, scale, tail = (1, 100, "%") if gain.relative else (None, 1, currency_of(comparison))
    low, high = (f"{number(scale * end, digits)}{tail}" for end in ends)
    return f"90% interval {low} to {high}" if label else f"{low} to {high}"
