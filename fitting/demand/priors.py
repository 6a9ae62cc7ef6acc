"""What is believed about prices and customers before a shop's sales are seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Priors:
    """Normal priors of the demand model, fixed before any measurement of realised gains.

    Elasticities: Bijmolt, van Heerde and Pieters (2005), New Empirical Generalizations on the
    Determinants of Price Elasticity, Journal of Marketing Research 42(2): mean -2.62, median -2.22
    over 1,851 elasticities of brands. Displays and mailers: Van Heerde, Leeflang and Wittink
    (2004), Decomposing the Sales Promotion Bump with Store Data, Marketing Science 23(3).

    Args:
        elasticity: Median absolute own-price elasticity at the regular price.
        category_spread: Standard deviation of its logarithm between categories.
        product_spread: The same between the products of a category.
        outside: Median share of a category's customers who buy nothing at regular prices.
        outside_spread: Standard deviation of its log odds.
        promotion: Mean utility of a display or mailer in all stores.
        promotion_spread: Its standard deviation.
        reference_spread: Standard deviation of the reference-price effect per log point.
        season_spread: Standard deviation of each coefficient of the yearly season, in logs.
        trend_spread: Standard deviation of the trend of arrivals, log points per year.
        signal_spread: Standard deviation of the effect of a holiday or of one log point of traffic.
        control_spread: Standard deviation of the utility of price changes without a reason in costs,
            per log point.
        suspect_spread: The same for regular prices, where costs are not known.
        reduced_spread: Standard deviation of the utility that weeks with a reduction differ in
            other than by their price.
        exogenous: Prior probability that prices do not follow demand, where costs are not known.

    Example:
        >>> Priors(elasticity=3.0).elasticity
        3.0
    """

    elasticity: float = 2.3
    category_spread: float = 0.4
    product_spread: float = 0.3
    outside: float = 0.6
    outside_spread: float = 1.0
    promotion: float = 0.3
    promotion_spread: float = 0.5
    reference_spread: float = 0.5
    season_spread: float = 0.2
    trend_spread: float = 0.2
    signal_spread: float = 0.3
    control_spread: float = 2.0
    suspect_spread: float = 1.5
    reduced_spread: float = 0.3
    exogenous: float = 0.5
