"""What the sales say about prices, and what they cannot rule out.

Placebos: prices that cannot have moved this week's units must show no effect. Robustness: how
strong a cause that the tables do not hold would have to be. And which products' answers to prices
the sales do not identify.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from .demand import PROMOTION, FittedDemand
from .demand.residuals import Residuals, Slope

Array = NDArray[np.float64]
# The strength of a hidden cause is measured by what would leave this share of the elasticity.
_SHARE_LEFT = 0.5


def identification_checks(demand: FittedDemand, regression: pd.DataFrame) -> dict[str, Any]:
    """Placebos, robustness, and promotions separated from prices.

    Args:
        regression: One row per product: `product`, `raw`, `raw_se` and `weeks`.

    Returns:
        `lead_price`: elasticity of this week's units in next week's price; `negative_control`: in
        the price of a product of another category, None with one category. Both should be 0, in
        `pooled` and `categories`. `robustness`: the partial R2 that a hidden cause would need with
        prices and with units to halve the elasticity. `promotion`: by category, None where no
        promotions are recorded.

    Example:
        >>> identification_checks(demand, regression)["lead_price"]["pooled"]["p_value"]  # doctest: +SKIP
        0.61
    """
    data = [Residuals(found) for found in demand.likeliest]
    return {
        "lead_price": _placebo(demand, data, _next_price),
        "negative_control": _placebo(demand, data, _foreign_price(data)) if len(data) > 1 else None,
        "robustness": _robustness(demand, regression),
        "promotion": _promotion(demand, data),
    }


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


def _next_price(own: Residuals, _: int) -> Array:
    price = np.full(own.data.price.shape, np.nan)
    price[:, :-1] = np.log(own.data.price[:, 1:])
    return price


def _foreign_price(data: list[Residuals]) -> Callable[[Residuals, int], Array]:
    """The price of the product at the same place in the next category."""

    def column(own: Residuals, c: int) -> Array:
        other = np.log(data[(c + 1) % len(data)].data.price)
        return other[..., np.arange(own.price.shape[-1]) % other.shape[-1]]

    return column


def _placebo(demand: FittedDemand, data: list[Residuals], column: Callable[[Residuals, int], Array]) -> dict[str, Any]:
    slopes = [own.slope(column(own, c)) for c, own in enumerate(data)]
    every = Slope(*(np.concatenate(parts) for parts in zip(*slopes, strict=True)))
    return {
        "pooled": _effect(every),
        "categories": [{"category": name, **_effect(slope)} for name, slope in zip(demand.names, slopes, strict=True)],
    }


def _effect(slope: Slope) -> dict[str, Any]:
    """Pooled effect; its standard error is the larger of the likelihood's and that clustered by product."""
    used = slope.square > 0
    square, product = slope.square[used], slope.product[used]
    count = len(square)
    if not count:
        return {"products": 0, "effect": None, "se": None, "p_value": None}
    effect = product.sum() / square.sum()
    clustered = ((product - effect * square) ** 2).sum() * count / max(count - 1, 1)
    error = np.sqrt(max(square.sum(), clustered)) / square.sum()
    p_value = 2 * stats.norm.sf(abs(effect / error))
    return {"products": count, "effect": float(effect), "se": float(error), "p_value": float(p_value)}


def _robustness(demand: FittedDemand, regression: pd.DataFrame) -> dict[str, Any]:
    """Robustness values (Cinelli and Hazlett 2020, equation 19) of the regression's elasticities,
    which assume no instrument.
    """
    table = regression.set_index("product").reindex(demand.products)
    category = np.array(demand.names)[demand.category]
    rows = [{"category": name, **_robust(table[category == name])} for name in demand.names]
    return {"share_left": _SHARE_LEFT, "pooled": _robust(table), "categories": rows}


def _robust(table: pd.DataFrame) -> dict[str, Any]:
    table = table[np.isfinite(table["raw"]) & (table["raw_se"] > 0)]
    weight = table["raw_se"] ** -2.0
    free = float(table["weeks"].sum() - 2 * len(table))
    if not len(table) or free <= 0:
        return dict.fromkeys(("elasticity", "se", "degrees_of_freedom", "partial_r2", "robustness_value"))
    elasticity, error = float((weight * table["raw"]).sum() / weight.sum()), float(weight.sum() ** -0.5)
    strength = abs(elasticity) / (error * np.sqrt(free))
    needed = (1 - _SHARE_LEFT) * strength
    return {
        "elasticity": elasticity,
        "se": error,
        "degrees_of_freedom": free,
        "partial_r2": float(strength**2 / (1 + strength**2)),
        "robustness_value": float((np.sqrt(needed**4 + 4 * needed**2) - needed**2) / 2),
    }


def _promotion(demand: FittedDemand, data: list[Residuals]) -> list[dict[str, Any]] | None:
    """By category: how promotions go with prices, and both effects."""
    effect = demand.effect(PROMOTION)
    if effect is None:
        return None
    i, rows = demand.effects.index(PROMOTION), []
    for c, (name, own) in enumerate(zip(demand.names, data, strict=True)):
        elasticity = demand.elasticity[:, demand.members(c)].mean(axis=1)
        rows.append(
            {
                "category": name,
                "correlation_with_price": _within(np.log(own.data.price), own.data.effects[i]),
                "elasticity": float(elasticity.mean()),
                "elasticity_se": float(elasticity.std()),
                "promotion": float(effect[:, c].mean()),
                "promotion_se": float(effect[:, c].std()),
                "posterior_correlation": _correlation(elasticity, effect[:, c]),
            }
        )
    return rows


def _within(a: Array, b: Array) -> float | None:
    """Correlation within products."""
    known = np.isfinite(a) & np.isfinite(b)
    count = np.maximum(known.sum(axis=(0, 1)), 1)
    parts = [np.where(known, v, 0.0) for v in (a, b)]
    x, y = (np.where(known, v - v.sum(axis=(0, 1)) / count, 0.0) for v in parts)
    return _correlation(x.ravel(), y.ravel())


def _correlation(a: Array, b: Array) -> float | None:
    if a.std() < 1e-12 or b.std() < 1e-12:
        return None
    return float(np.corrcoef(a, b)[0, 1])
