"""What the sales say about prices, and what they cannot rule out.

Placebos: prices that cannot have moved this week's units must show no effect. Robustness: how
strong a cause that the tables do not hold would have to be. And which products' answers to prices
the sales do not identify.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from .demand import PROMOTION, CategoryPosterior, FittedDemand

Array = NDArray[np.float64]
_NORMAL90 = 1.645
_LIKELIER = 0.5
# A posterior with more than this share of its prior's standard deviation has hardly moved from it.
_HARDLY_MOVED = 0.85
# The strength of a hidden cause is measured by what would leave this share of the elasticity.
_SHARE_LEFT = 0.5
# A column that varies less, in logs, tells nothing.
_STILL = 1e-3


def identification_checks(demand: FittedDemand, regression: pd.DataFrame) -> dict[str, Any]:
    """Placebos, robustness, and promotions told apart from prices.

    Args:
        demand: The fitted demand.
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
    data = [_Residuals(found) for found in demand.posteriors]
    return {
        "lead_price": _placebo(demand, data, _next_price),
        "negative_control": _placebo(demand, data, _foreign_price(data)) if len(data) > 1 else None,
        "robustness": _robustness(demand, regression),
        "promotion": _promotion(demand, data),
    }


def identified(demand: FittedDemand) -> pd.DataFrame:
    """Which products' answers to their prices the sales identify.

    A product's are not where its price never moved; where its units do not fall with its price,
    that is where the 90% interval of the likelihood without the prior holds zero or more, but not
    the posterior mean, which it borrows from the category, by the likelier model: prices follow
    demand, or not; or where its posterior is about as wide as the prior. A wide interval alone is
    no reason: the posterior knows it, and so do the prices.

    Args:
        demand: The fitted demand.

    Returns:
        One row per product, in the order of the demand: `product`, `identified` and `reason`, None
        where it is identified.

    Example:
        >>> identified(demand)["identified"].mean()  # doctest: +SKIP
        1.0
    """
    reason = np.full(len(demand.products), None, dtype=object)
    for c, found in enumerate(demand.posteriors):
        at = found.model.layout
        prior = np.hypot(at.spread[at.category], at.spread[at.product])
        spread = (found.draws[:, at.category] + found.draws[:, at.product]).std(axis=0)
        borrowed = demand.elasticity[:, demand.members(c)].mean(axis=0)
        likelier = demand.endogenous[c] if demand.follow_demand > _LIKELIER else found
        own, error = _Residuals(likelier, found.model.data.effects).own_elasticity()
        deaf = (own + _NORMAL90 * error >= 0) & (own - _NORMAL90 * error > borrowed)
        reason[demand.members(c)] = np.select(
            [np.isinf(error), deaf, spread > _HARDLY_MOVED * prior],
            [
                "its price never moved",
                "its units do not fall with its price",
                "the posterior is about as wide as the prior",
            ],
            None,  # type: ignore[arg-type]
        )
    return pd.DataFrame({"product": demand.products, "identified": [why is None for why in reason], "reason": reason})


class _Slope(NamedTuple):
    """(J,) sums by product: of the weighted squares of a column, its products with the residuals,
    and of their squares.
    """

    square: Array
    product: Array


class _Residuals:
    """What a category's model leaves of the units, as working residuals of its likelihood."""

    def __init__(self, found: CategoryPosterior, effects: Array | None = None) -> None:
        self.found, self.data = found, found.model.data
        # The others stay at their mode: what only suspects explain would otherwise be lost to the
        # price.
        self.effects = self.data.effects if effects is None else effects
        log_mean = found.model.log_mean(torch.as_tensor(found.mode)).numpy() + found.shock[:, None]
        mean = np.exp(np.clip(log_mean, -30, 30))
        self.residual = (self.data.units - mean) / mean
        self.weight = np.where(self.data.on_sale & ~self.data.censored, mean / (1 + found.alpha * mean), 0.0)
        self.price = np.where(self.data.on_sale, self.data.price, np.nan)

    def slope(self, column: Array, *, beside_price: bool = True) -> _Slope:
        """One scoring step from the fitted model for a column (G, W, J), level, promotions and own
        price held fixed.
        """
        effects = list(self.effects) if self.effects.size else []
        own = [np.nan_to_num(self.price, nan=1.0)] if beside_price else []
        weight = np.where(np.isfinite(column), self.weight, 0.0)
        square, product = np.zeros((2, column.shape[-1]))
        for j in range(column.shape[-1]):
            w, x = weight[..., j].ravel(), np.nan_to_num(column[..., j]).ravel()
            held = np.column_stack([np.ones_like(x), *(values[..., j].ravel() for values in (*own, *effects))])
            root = np.sqrt(w)
            left = x - held @ np.linalg.lstsq(held * root[:, None], x * root)[0]
            if w @ left**2 > _STILL**2 * w.sum():
                square[j], product[j] = w @ left**2, (w * left) @ self.residual[..., j].ravel()
        return _Slope(square, product)

    def own_elasticity(self) -> tuple[Array, Array]:
        """(J,) elasticity by the likelihood without its prior, and its standard error; infinite
        where prices stood still.
        """
        at, mode = self.found.model.layout, self.found.mode
        found = self.slope(self.price - 1, beside_price=False)
        moved = found.square > 0
        square = np.where(moved, found.square, 1.0)
        fitted = -np.exp(mode[at.category] + mode[at.product])
        return fitted + np.where(moved, found.product / square, 0.0), np.where(moved, square**-0.5, np.inf)


def _next_price(data: _Residuals, _: int) -> Array:
    price = np.full(data.price.shape, np.nan)
    price[:, :-1] = np.log(data.price[:, 1:])
    return price


def _foreign_price(data: list[_Residuals]) -> Callable[[_Residuals, int], Array]:
    """The price of the product at the same place in the next category."""

    def column(own: _Residuals, c: int) -> Array:
        other = np.log(data[(c + 1) % len(data)].price)
        return other[..., np.arange(own.price.shape[-1]) % other.shape[-1]]

    return column


def _placebo(
    demand: FittedDemand, data: list[_Residuals], column: Callable[[_Residuals, int], Array]
) -> dict[str, Any]:
    slopes = [own.slope(column(own, c)) for c, own in enumerate(data)]
    every = _Slope(*(np.concatenate(parts) for parts in zip(*slopes, strict=True)))
    return {
        "pooled": _effect(every),
        "categories": [{"category": name, **_effect(slope)} for name, slope in zip(demand.names, slopes, strict=True)],
    }


def _effect(slope: _Slope) -> dict[str, Any]:
    """Pooled effect; its standard error is the larger of the likelihood's and that
    clustered by product.
    """
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


def _promotion(demand: FittedDemand, data: list[_Residuals]) -> list[dict[str, Any]] | None:
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
                "correlation_with_price": _within(np.log(own.price), own.data.effects[i]),
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
