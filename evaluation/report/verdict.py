"""The result for the learned prices in plain sentences."""

from __future__ import annotations

import math

from ..compare.comparison import BASELINE, Comparison, Estimate, Row
from .data import HISTORICAL, currency_of, has_discounts, row_of
from .formats import number, percent
from .recommended import explanations, headline


def verdict(comparison: Comparison, learned: str | None) -> str:
    """The result in plain sentences.

    On a market with a posterior: which prices are recommended, what they are expected to earn
    beyond the current prices with a 90% interval over the posterior draws, and what this rests on.
    Otherwise the result for the learned prices with the paired 95% interval; they are said to earn
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
        return " ".join([headline(comparison), *explanations(comparison, learned)]).replace("−", "-")
    market, base = comparison.spec.market, comparison.row(BASELINE)
    if learned is None:
        earned = f"{number(base.objective.mean)}{currency_of(comparison)} {market.objective} per episode"
        said = [f"No learned policy was evaluated; the best fixed prices earn {earned}."]
    else:
        row = row_of(comparison, learned)
        advice = "" if standing(row) == "more" else "; keep the fixed prices"
        if not row.holds_on_fresh:
            advice = "; but the gain does not hold on the second test set: keep the fixed prices"
        said = [f"The learned prices {_earn(comparison, row)}{advice}."]
        if row.constant:
            said.append(_constant_sentence(comparison, row))
        if row.share_of_optimum is not None:
            said.append(f"They reach {percent(row.share_of_optimum)} of the exact optimum.")
    if HISTORICAL in comparison.episodes and learned != HISTORICAL:
        said.append(f"The current prices {_earn(comparison, row_of(comparison, HISTORICAL))}.")
    if comparison.spec.assumptions:
        said.append(f"The {market.objective} depends on assumptions that the data do not test.")
    return " ".join(said).replace("−", "-")  # a terminal may lack the sign


def _earn(comparison: Comparison, row: Row) -> str:
    """`earn 2.1% more profit than the best fixed prices (95% interval 1.6% to 2.6%)`, or no clear difference."""
    objective, stands = comparison.spec.market.objective, standing(row)
    amount, interval = _gap(comparison, row.vs_best_fixed, -1 if stands == "less" else 1)
    if stands == "level":
        what = "do not clearly differ from the best fixed prices"
        return f"{what}: the difference in {objective} is {amount} {interval}"
    return f"earn {amount} {stands} {objective} than the best fixed prices {interval}"


def _constant_sentence(comparison: Comparison, row: Row) -> str:
    if row.price_changes == 0:
        what = (
            "list price ever changes, only personal discounts do" if has_discounts(comparison) else "price ever changes"
        )
        return f"They are effectively constant: no {what}."
    return (
        f"They are effectively constant: {percent(row.at_bound_share)} of the prices are at a bound of the price rules."
    )


def warnings(comparison: Comparison, learned: str | None) -> list[str]:
    """Reasons to doubt a gain, one sentence per flag; a constant that was asked for is not mentioned."""
    said = []
    for row in comparison.rows:
        name = "The learned prices" if row.policy == learned else row.policy
        if row.constant and row.policy == learned:
            said.append(f"{name}: constant prices would do as well. {_constant_sentence(comparison, row)}")
        if not row.holds_on_fresh:
            first, second = (" ".join(_gap(comparison, gap)) for gap in (row.vs_best_fixed, row.vs_best_fixed_fresh))
            said.append(
                f"{name}: the gain is {first} on the first test set, but {second} on the second. The policy was tuned "
                "on the first set or had information about its future."
            )
    return said


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
    scale, unit = (100 / base, "%") if base > 0 else (1.0, currency_of(comparison).strip())
    return gap.mean * scale, gap.low * scale, gap.high * scale, unit
