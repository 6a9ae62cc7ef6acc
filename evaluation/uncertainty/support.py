"""Prices outside the range that the shop charged, where no data say how customers respond."""

from __future__ import annotations

from ...pricing import ChargedRange
from ...scenarios import MarketSpec


def charged_range(spec: MarketSpec) -> ChargedRange | None:
    """The prices that the shop charged; None where the market does not say.

    Example:
        >>> from repricer import load_scenario
        >>> charged_range(load_scenario("stationary-logit")) is None
        True
    """
    if spec.history is None or spec.history.charged_low is None or spec.history.charged_high is None:
        return None
    return ChargedRange(spec.history.charged_low, spec.history.charged_high)
