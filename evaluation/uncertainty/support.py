"""Prices outside the range that the shop mostly charged, where hardly any data say how customers respond."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...pricing import ChargedRange
from ...scenarios import MarketSpec

_SAME = 1e-4


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


def joint_outside(spec: MarketSpec, price: ArrayLike) -> NDArray[np.bool_] | None:
    """Whether the prices of a category are lower or higher together than they mostly were.

    A price that was charged for one product at a time says little of all of them at once.

    Args:
        spec: The market.
        price: (…, N) prices, currency per unit.

    Returns:
        (…, C), or None where the market does not say what was charged.

    Example:
        >>> from repricer import load_scenario
        >>> joint_outside(load_scenario("stationary-logit"), [[11.0]]) is None
        True
    """
    history = spec.history
    if history is None or history.level_low is None or history.level_high is None:
        return None
    member = np.eye(len(spec.category_names))[spec.category_index]
    level = (np.asarray(price, dtype=np.float64) / spec.products.regular_price) @ (member / member.sum(axis=0))
    return (level < history.level_low * (1 - _SAME)) | (level > history.level_high * (1 + _SAME))
