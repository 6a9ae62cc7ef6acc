"""From a markdown plan to the rows of a price list. Needs the `train` extra."""

from __future__ import annotations

from ...agents.posterior import current_prices
from ...evaluation.markdown import MarkdownPlan, ProductPlan
from .proposal import priced_rows
from .rows import ALL_STORES, PriceRow


def markdown_rows(plan: MarkdownPlan, *, zone: str = ALL_STORES, seed: int = 0) -> list[PriceRow]:
    """The rows of a markdown: every product in every week of the season, those not marked down
    at planned prices.

    Args:
        zone: Name of the stores that the market stands for.
        seed: Selects the test seeds of the expected figures.

    Example:
        >>> from repricer.serving.price_list.markdown import markdown_rows
        >>> markdown_rows(plan)[0].reason  # doctest: +SKIP
        'Markdown: 97% of 120 units are expected to be sold by 2018-02-25 (90% interval 93% to 100%); ...'
    """
    marked = {item.product: markdown_words(plan, item) for item in plan.products}

    def reason(_: int, n: int, __: float) -> str:
        return marked.get(plan.spec.products.names[n], "Not marked down: the planned price.")

    return priced_rows(plan.spec, current_prices(plan.spec), plan.price, plan.current, reason, zone=zone, seed=seed)


def markdown_words(plan: MarkdownPlan, item: ProductPlan) -> str:
    """What a schedule is expected to sell, in a sentence or two."""
    calendar, target = plan.spec.calendar, plan.terms.sell_through
    assert calendar is not None, "the market has a calendar"
    mean, low, high = item.sell_through
    said = (
        f"{mean:.0%} of {item.on_hand + item.sold:,} units are expected to be sold by {calendar.last_day} "
        f"(90% interval {low:.0%} to {high:.0%}); {target:.0%} or more with probability {item.probability:.0%}."
    )
    if item.can_meet:
        return f"Markdown: {said}"
    rules, held = plan.spec.guardrails, "at the prices that sell the most"
    if rules.frozen is not None and rules.frozen[plan.spec.products.names.index(item.product)]:
        held = "its price must not change, by the rules of the market, and"
    return f"The target cannot be met with {plan.terms.confidence:.0%} confidence; {held} {said}"
