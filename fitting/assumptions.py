"""What a shop's tables do not say, and the market assumes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assumptions:
    """Assumptions of a fitted market, which its card states in words.

    Args:
        unit_cost_share: Unit cost as a share of the regular price, for products without a known
            cost.
        recommendation_lift: Utility that a recommendation adds, where no displays or mailers are
            recorded.
        max_discount: Largest personal discount, as a fraction of the price.
        lowest_price: Price floor as a share of the regular price.
        highest_price: Price ceiling as a share of the regular price.
        max_change: Largest relative price change per week.
        lead_time_weeks: Weeks from order to delivery.
        cover_quantile: The shop orders up to this quantile of demand over the lead time and one
            week.
        holding_cost_share: Weekly cost of a unit on hand as a share of its unit cost.
        promotion_cost_share: Cost of a week's display and mailer as a share of the product's usual
            weekly revenue.

    Example:
        >>> Assumptions(max_discount=0.1).lines()[-1]
        'Personal discounts go up to 10%.'
    """

    unit_cost_share: float = 0.65
    recommendation_lift: float = 0.3
    max_discount: float = 0.15
    lowest_price: float = 0.5
    highest_price: float = 1.3
    max_change: float = 0.5
    lead_time_weeks: int = 1
    cover_quantile: float = 0.95
    holding_cost_share: float = 0.005
    promotion_cost_share: float = 0.05

    def lines(
        self, *, customers: bool = True, exposure_effect: float | None = None, promoted: int | None = None
    ) -> tuple[str, ...]:
        """The assumptions in words, for the card and the report.

        Args:
            customers: Whether the sales name customers.
            exposure_effect: Effect of displays and mailers on log units; None if they are not
                recorded.
            promoted: Most products on promotion at once; None if promotions are no decision.
        """
        always = (
            f"Where the tables give no unit cost, it is {self.unit_cost_share:.0%} of the regular price.",
            f"Stock is not in the data: orders are placed weekly, up to the {self.cover_quantile:.0%} quantile of "
            f"forecast and past demand over {self.lead_time_weeks + 1} weeks, and delivered after "
            f"{self.lead_time_weeks}; holding a unit costs {self.holding_cost_share:.1%} of its unit cost per week.",
            f"Prices stay between {self.lowest_price:.0%} and {self.highest_price:.0%} of the regular price and change "
            f"by at most {self.max_change:.0%} per week.",
            "Past prices varied within the range that the shop chose: prices far outside it are extrapolation.",
        )
        if promoted is not None:
            always += (
                f"Up to {promoted} products per week can be on display and in the mailer of all stores; this costs "
                f"{self.promotion_cost_share:.0%} of a product's usual weekly revenue, since the data give no cost.",
            )
        elif exposure_effect is not None:
            always += (
                "A price reduction brings the displays and mailers that usually came with one: the price response "
                "contains both. What the shop planned beyond that stays as planned.",
            )
        if not customers:
            return (
                *always,
                "The sales name no customers: there is one segment, without personal discounts or recommendations.",
            )
        return (*always, self._recommended(exposure_effect), f"Personal discounts go up to {self.max_discount:.0%}.")

    def _recommended(self, exposure_effect: float | None) -> str:
        if exposure_effect is None:
            return (
                f"A recommendation adds {self.recommendation_lift:g} to a product's utility: assumed, since the sales "
                "do not record what was shown."
            )
        return (
            f"A recommendation lifts sales as a display or mailer in all stores did, by {exposure_effect:.2f} in logs: "
            "estimated from those, since the sales do not record recommendations."
        )
