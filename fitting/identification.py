"""What the sales say about prices, and what they cannot rule out.

A placebo: next week's price cannot have moved this week's units, so it must show no effect. And which products' answers to
prices the sales do not identify.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .demand import FittedDemand
from .demand.residuals import Residuals, Slope


def identification_checks(demand: FittedDemand) -> dict[str, Any]:
    """The placebo `lead_price`: elasticity of this week's units in next week's price, which should be 0.

    Returns:
        Its `pooled` effect, and that of `categories`.

    Example:
        >>> identification_checks(demand)["lead_price"]["pooled"]["p_value"]  # doctest: +SKIP
        0.61
    """
    slopes = []
    for own in map(Residuals, demand.likeliest):
        price = np.full(own.data.price.shape, np.nan)
        price[:, :-1] = np.log(own.data.price[:, 1:])
        slopes.append(own.slope(price))
    every = Slope(*(np.concatenate(parts) for parts in zip(*slopes, strict=True)))
    categories = [{"category": name, **_effect(slope)} for name, slope in zip(demand.names, slopes, strict=True)]
    return {"lead_price": {"pooled": _effect(every), "categories": categories}}


def identified(demand: FittedDemand, unlike: float) -> pd.DataFrame:
    """Which products' answers to their prices the sales identify.

    A product's are not where its price never moved; where its units do not fall with its price,
    that is where the 90% interval of the likelihood without the prior holds zero or more, but not
    the posterior mean, which it borrows from the category, by the likelier model: prices follow
    demand, or not, and it more likely answers unlike the others than with what it borrows. A wide interval alone is
    no reason: the posterior knows it, and so do the prices.

    Args:
        unlike: Prior probability that a product answers unlike the others, see `Priors`.

    Returns:
        One row per product, in the order of the demand: `product`, `identified` and `reason`, None
        where it is identified.

    Example:
        >>> identified(demand, 0.05)["identified"].mean()  # doctest: +SKIP
        1.0
    """
    reason = np.full(len(demand.products), None, dtype=object)
    for c, found in enumerate(demand.posteriors):
        borrowed = demand.elasticity[:, demand.members(c)]
        likelier = demand.likeliest[c]
        answers = Residuals(likelier, found.model.data.effects)
        # By their interval alone, one of twenty products would keep its price by chance.
        unmoved = answers.unmoved(borrowed.mean(axis=0)) & answers.apart(borrowed, unlike)
        # With a response to regular prices of their own, deals that move nothing tell nothing of it.
        unmoved &= not likelier.model.layout.given.size
        reason[demand.members(c)] = np.select(
            [np.isinf(answers.own_elasticity()[1]), unmoved],
            ["its price never moved", "its units do not fall with its price"],
            None,  # type: ignore[arg-type]
        )
    return pd.DataFrame({"product": demand.products, "identified": [why is None for why in reason], "reason": reason})


def _effect(slope: Slope) -> dict[str, Any]:
    """Pooled effect; its standard error is the larger of the likelihood's and that clustered by product."""
    used = slope.square > 0
    square = slope.square[used]
    product = slope.product[used]
    count = len(square)
    if not count:
        return {"products": 0, "effect": None, "se": None, "p_value": None}
    effect = product.sum() / square.sum()
    clustered = ((product - effect * square) ** 2).sum() * count / max(count - 1, 1)
    error = np.sqrt(max(square.sum(), clustered)) / square.sum()
    p_value = 2 * stats.norm.sf(abs(effect / error))
    return {"products": count, "effect": float(effect), "se": float(error), "p_value": float(p_value)}
