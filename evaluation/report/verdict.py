"""The contents of a report, the prices that it recommends, and its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...agents import Run
from ...agents.posterior import current_prices
from ...envs import Outcome, rollout, seed_for
from ...pricing import Action, MarketView
from ...pricing.price_rules.rule_formulas import BITS
from ...pricing.wording import likely_by_sales, policy_words, rule_words
from ...scenarios.fields import listed
from ..comparison import BASELINE, Comparison, Estimate, Row
from ..figures import currency_of, known, number, percent
from ..uncertainty import Assessment, costs_assumed
from ..uncertainty.assessment import weeks_words
from ..uncertainty.steps import going_on

if TYPE_CHECKING:
    from ..fairness import GroupFigures
    from ..rule_costs import RuleCosts
    from ..stress import StressTable
    from ..uncertainty.by_product import ProductFigures

HISTORICAL = "historical"
NORMAL95 = 1.96
SAME = 5e-4
_CENT = 0.0101


@dataclass(frozen=True)
class ReportData:
    """The contents of a report.

    Attributes:
        comparison: What `evaluate` found.
        run: The run of the learned policy; without it there is no learning curve and no price map.
        learned: Name of the learned policy in the comparison, or None.
        fit: The fit report (fit.json), whose parts are all optional.
        timings: One `{"stage", "seconds"}` per stage.
        stress: How the policies do under stress.
        tree: Rules that imitate the learned prices, as text.
        tree_fidelity: R² of these rules.
        price_list: The rows of the price list of the recommended prices, by column.
        key_items: The key-value items, as `serving.price_list.image.KeyItem` has them.
        price_index: The paths of the basket index, as its `IndexPath` has them.
        groups: Prices and surplus by segment and protected group, where the market has groups.
        current: What the products are expected to sell and earn at the current prices; with a price list.
        rule_costs: What each price rule costs.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> from repricer.evaluation.report import ReportData
        >>> ReportData(evaluate("stationary-logit", ["fixed:9"], episodes=5), learned="fixed:9").learned
        'fixed:9'
    """

    comparison: Comparison
    run: Run | None = None
    learned: str | None = None
    fit: dict[str, Any] | None = None
    timings: list[dict[str, Any]] | None = None
    stress: StressTable | None = None
    tree: str | None = None
    tree_fidelity: float | None = None
    price_list: Sequence[Mapping[str, Any]] = ()
    key_items: Sequence[Any] = ()
    price_index: Sequence[Any] = ()
    current: ProductFigures | None = None
    groups: GroupFigures | None = None
    rule_costs: RuleCosts | None = None


def row_of(comparison: Comparison, policy: str) -> Row:
    """The row of a policy. Raises ValueError where the comparison has none of this name."""
    if policy not in comparison.episodes:
        known = ", ".join(comparison.episodes)
        raise ValueError(f"learned must be a policy of the comparison ({known}); got '{policy}'; evaluate it first")
    return comparison.row(policy)


def has_discounts(comparison: Comparison) -> bool:
    """Whether segments may get personal discounts."""
    return comparison.spec.prices.max_discount > 0


def labeller(data: ReportData) -> Callable[[str], str]:
    """How tables name a policy: the learned one is marked."""
    return lambda policy: f"learned ({policy_words(policy)})" if policy == data.learned else policy


def estimate(mean: Any, error: Any) -> Estimate:
    """A figure with a standard error as a mean with its 95% interval."""
    half = NORMAL95 * error if known(error) else math.inf
    return Estimate(mean, mean - half, mean + half) if known(mean) else Estimate(math.nan, math.nan, math.nan)


# The recommendation on a market with a posterior, in plain sentences.


def explanations(comparison: Comparison, learned: str | None) -> list[str]:
    """What stands behind the headline: assumptions, chance, and prices hardly ever charged."""
    found = assessment_of(comparison)
    chosen = found.recommendation
    currency = currency_of(comparison.spec)
    sentences = [_plan_breaks_rules(comparison), _not_identified(comparison), _follows_demand(comparison)]
    if chosen.change:
        sentences += [_noise(found), _outside(found)]
    if learned is not None and chosen.policy != learned:
        gain = found.gain(learned)
        than = f"{found.metric} than your current prices (90% interval {gain.interval(currency)}{found.chance(gain)})."
        sentences.append(f"The learned prices as they are would be expected to earn {gain.more(currency)} {than}")
    if chosen.change and costs_assumed(comparison.spec) and comparison.spec.market.objective == found.metric:
        profit = found.gain(chosen.policy, objective="profit")
        than = f"{profit.more(currency, 'higher')} (90% interval {profit.interval(currency)})."
        sentences.append(f"Profit rests on unit costs that were assumed: over the range assumed, it is {than}")
    if chosen.change and (further := going_on(comparison.spec)) is not None:
        sentences.append(further.words())
    if chosen.floor is not None:
        sentences.append(f"Floor: {chosen.floor[0].lower()}{chosen.floor[1:]}")
    return [text for text in sentences if text]


def assessment_of(comparison: Comparison) -> Assessment:
    """What the posterior draws say; only where the market has a posterior."""
    assert comparison.uncertainty is not None, "the market has a posterior"
    return comparison.uncertainty


def _noise(found: Assessment) -> str:
    spec = found.compared.spec
    gain = found.gain(found.recommendation.policy)
    if gain.parameter_share is None:
        return ""
    ends = gain.interval(currency_of(spec), realised=True).replace(" to ", " and ")
    return (
        f"Sales also vary by chance: in 90% of cases the gain seen in {weeks_words(spec)} lies between {ends}. Of this "
        f"spread (variance), {percent(gain.parameter_share, 0)} is uncertainty about how customers respond, the rest chance."
    )


def _plan_breaks_rules(comparison: Comparison) -> str:
    """How many of the planned prices break price rules, and which ones."""
    spec = comparison.spec
    if spec.plan is None:
        return ""
    broken = []

    def note(view: MarketView, outcome: Outcome) -> None:
        allowed = spec.guardrails.apply(Action(outcome.list_price), view)
        apart = np.abs(allowed.price / outcome.list_price - 1)
        moved = apart > np.maximum(SAME, _CENT / outcome.list_price)
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
    weeks = weeks_words(spec)
    found = (
        f"{count} of the {trail.size} prices planned for {weeks} {'break' if count > 1 else 'breaks'} the price rules"
    )
    return f"{found} ({rules}): your current prices count as planned, all others keep the rules."


def _not_identified(comparison: Comparison) -> str:
    """Which products of a fitted market keep their prices because the sales say nothing of other ones, or by a rule."""
    spec = comparison.spec
    frozen = comparison.spec.prices.frozen
    if spec.plan is None:
        return ""
    because = spec.prices.frozen_because
    if because:
        return _kept_by_reason({name: because[name] for name in frozen if name in because})
    silent = ", because the sales do not tell how customers respond to other ones"
    unidentified = spec.evidence.unidentified
    if unidentified is None:
        return _kept(frozen, f"{silent}, or by your rule")
    unknown, ruled = ([name for name in frozen if (name in unidentified) == wanted] for wanted in (True, False))
    return f"{_kept(unknown, silent)} {_kept(ruled, ' by your rule')}".strip()


def _kept_by_reason(because: Mapping[str, str]) -> str:
    """A sentence for each reason, a clause, why products keep their prices."""
    by_reason: dict[str, list[str]] = {}
    for name, why in because.items():
        by_reason.setdefault(why, []).append(name)
    return " ".join(_kept(names, f", {'each ' * (len(names) > 1)}as {why}") for why, names in by_reason.items())


def _kept(names: Sequence[str], why: str) -> str:
    if not names:
        return ""
    keep = "1 product keeps its price" if len(names) == 1 else f"{len(names)} products keep their prices"
    return f"{keep}{why}: {listed(names)}."


def _follows_demand(comparison: Comparison) -> str:
    evidence = comparison.spec.evidence
    if evidence.follows_demand is None or not evidence.may_follow_demand:
        return ""
    likely = likely_by_sales(evidence.follows_demand, evidence.follows_demand_before)
    may = f"Your prices may have followed demand ({likely})"
    return f"{may}, which makes customers look less price-sensitive than they are; the figures allow for it."


def _outside(found: Assessment) -> str:
    share, joint = (ask(found.recommendation.policy) for ask in (found.outside, found.joint))
    if share is None:
        return ""
    sentence = f"{percent(share, 0)} of the product-periods are priced outside what you mostly charged in the past"
    if joint:
        period = found.compared.spec.market.period
        together = f"{percent(joint, 0)} are priced as a whole"
        sentence += f"; by category and {period}, {together} lower, or higher, than they usually were"
    return f"{sentence}."


# The result for the learned prices in plain sentences.


def verdict(comparison: Comparison, learned: str | None) -> str:
    """The result in plain sentences.

    On a market with a posterior: which prices are recommended, what they are expected to earn
    beyond the current prices with a 90% interval over the posterior draws, and what this rests on.
    Otherwise the result for the learned prices with the paired 95% interval; they are reported to earn
    more or less than the best fixed prices only where the interval excludes zero.

    Args:
        comparison: What `evaluate` found.
        learned: Name of the learned policy in it, or None.

    Raises:
        ValueError: Where `learned` is no policy of the comparison.

    Example:
        >>> from repricer.evaluation import evaluate
        >>> from repricer.evaluation.report import verdict
        >>> verdict(evaluate("stationary-logit", ["optimum"], episodes=20), "optimum").split(" the best")[0]
        'The learned prices do not clearly differ from'
    """
    if learned is not None:
        row_of(comparison, learned)
    if comparison.uncertainty is not None:
        sentences = [comparison.uncertainty.headline, *explanations(comparison, learned)]
        return " ".join(sentences).replace("−", "-")
    market = comparison.spec.market
    base = comparison.row(BASELINE)
    if learned is None:
        earned = f"{number(base.objective.mean)}{currency_of(comparison.spec)} {market.objective} per episode"
        sentences = [f"No learned policy was evaluated; the best fixed prices earn {earned}."]
    else:
        row = row_of(comparison, learned)
        advice = "" if standing(row) == "more" else "; keep the fixed prices"
        if not row.holds_on_fresh:
            advice = "; but the gain does not hold on the second test set: keep the fixed prices"
        sentences = [f"The learned prices {_earn(comparison, row)}{advice}."]
        if row.constant:
            sentences.append(_constant_sentence(comparison, row))
        if row.share_of_optimum is not None:
            sentences.append(f"They reach {percent(row.share_of_optimum)} of the exact optimum.")
    if HISTORICAL in comparison.episodes and learned != HISTORICAL:
        sentences.append(f"The current prices {_earn(comparison, row_of(comparison, HISTORICAL))}.")
    if comparison.spec.assumptions:
        sentences.append(f"The {market.objective} depends on assumptions that the data do not test.")
    return " ".join(sentences).replace("−", "-")  # a terminal may lack the sign


def _earn(comparison: Comparison, row: Row) -> str:
    """`earn 2.1% more profit than the best fixed prices (95% interval 1.6% to 2.6%)`, or no clear difference."""
    objective = comparison.spec.market.objective
    stands = standing(row)
    amount, interval = _gap(comparison, row.vs_best_fixed, -1 if stands == "less" else 1)
    if stands == "level":
        what = "do not clearly differ from the best fixed prices"
        return f"{what}: the difference in {objective} is {amount} {interval}"
    return f"earn {amount} {stands} {objective} than the best fixed prices {interval}"


def _constant_sentence(comparison: Comparison, row: Row) -> str:
    what = f"{percent(row.at_bound_share)} of the prices are at a bound of the price rules"
    if row.price_changes == 0:
        changes = (
            "list price ever changes, only personal discounts do" if has_discounts(comparison) else "price ever changes"
        )
        what = f"no {changes}"
    return f"They are effectively constant: {what}."


def warnings(comparison: Comparison, learned: str | None) -> list[str]:
    """Reasons to doubt a gain, one sentence per flag; a constant that was asked for is not mentioned."""
    sentences = []
    for row in comparison.rows:
        name = "The learned prices" if row.policy == learned else row.policy
        if row.constant and row.policy == learned:
            sentences.append(f"{name}: constant prices would do as well. {_constant_sentence(comparison, row)}")
        if not row.holds_on_fresh:
            first, second = (" ".join(_gap(comparison, gap)) for gap in (row.vs_best_fixed, row.vs_best_fixed_fresh))
            sentences.append(
                f"{name}: the gain is {first} on the first test set, but {second} on the second. The policy was tuned "
                "on the first set or had information about its future."
            )
    return sentences


def second_look(comparison: Comparison, learned: str) -> str:
    """The learned policy's gain on the second test set, with its interval."""
    return " ".join(_gap(comparison, row_of(comparison, learned).vs_best_fixed_fresh))


def standing(row: Row) -> str:
    """Whether a policy earns `more` or `less` than the best fixed prices, or is `level` with them."""
    gap = row.vs_best_fixed
    return "more" if gap.low > 0 else "less" if gap.high < 0 else "level"


def _gap(comparison: Comparison, gap: Estimate, sign: int = 1) -> tuple[str, str]:
    """A paired difference, times `sign`, and its interval in brackets, as text."""
    mean, low, high, unit = relative(comparison, gap)
    low, high = sorted((sign * low, sign * high))
    tail = "%" if unit == "%" else unit and f" {unit}"
    finite = [abs(x) for x in (mean, low, high) if x and math.isfinite(x)]
    # As many digits as the smallest of the three needs, so that nothing that is not zero reads as
    # zero, and as the two ends of the interval need to differ.
    width = high - low if 0 < high - low < math.inf else 1.0
    digits = min(4, max(1, math.ceil(-math.log10(min([*finite, width], default=1.0)))))
    amount, *ends = (f"{number(x, digits)}{tail}" for x in (sign * mean, low, high))
    known = math.isfinite(low) and math.isfinite(high)
    return amount, f"(95% interval {ends[0]} to {ends[1]})" if known else "(one episode gives no interval)"


def relative(comparison: Comparison, gap: Estimate) -> tuple[float, float, float, str]:
    """Mean, low, high and unit of a paired difference: percent of what the best fixed prices earn, else money."""
    base = comparison.row(BASELINE).objective.mean
    scale, unit = (100 / base, "%") if base > 0 else (1.0, currency_of(comparison.spec).strip())
    return gap.mean * scale, gap.low * scale, gap.high * scale, unit
