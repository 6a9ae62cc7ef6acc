"""Units sold in a period at a mean demand: mean and interval under limited stock. Needs numpy alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_LOW, _HIGH = 0.025, 0.975
_SPREAD, _MOST_TERMS = 12.0, 20_000


class SalesRange(NamedTuple):
    """Units sold, arrays of one shape.

    Attributes:
        mean: Mean.
        low: 2.5% quantile.
        high: 97.5% quantile.
    """

    mean: Array
    low: Array
    high: Array


def sales_range(demand: ArrayLike, overdispersion: ArrayLike, stock: ArrayLike, *, single: bool) -> SalesRange:
    """Distribution of min(D, stock) for a random demand D, elementwise.

    D is Poisson, or negative binomial with overdispersion. Where its range exceeds 20,000 units it
    is approximated as normal.

    Args:
        demand: Mean of D, units.
        overdispersion: Variance of the gamma multiplier of the arrival rate, 0 for Poisson demand.
        stock: Units on hand, infinite for unlimited stock.
        single: Whether at most one customer arrives: D is then 1 with probability `demand`, else 0.

    Example:
        >>> from repricer.serving.explanation.sales_distribution import sales_range
        >>> float(sales_range(4.0, 0.0, float("inf"), single=False).mean)
        4.0
    """
    shape = np.broadcast_shapes(np.shape(demand), np.shape(overdispersion), np.shape(stock))
    flat = [np.broadcast_to(np.asarray(x, dtype=np.float64), shape).ravel() for x in (demand, overdispersion, stock)]
    rows = [_single(m, s) if single else _one(m, v, s) for m, v, s in zip(*flat, strict=True)]
    return SalesRange(*(np.array(column).reshape(shape) for column in zip(*rows, strict=True)))


def _single(mean: float, stock: float) -> tuple[float, float, float]:
    if stock < 1:
        return 0.0, 0.0, 0.0
    return mean, float(1 - mean < _LOW), float(1 - mean < _HIGH)


def _one(mean: float, variance: float, stock: float) -> tuple[float, float, float]:
    if mean <= 0 or stock <= 0:
        return 0.0, 0.0, 0.0
    deviation = math.sqrt(mean + variance * mean * mean)
    terms = int(mean + _SPREAD * deviation + 20)
    if terms > _MOST_TERMS:
        return _normal(mean, deviation, stock)
    k = np.arange(terms)
    start = -mean if variance == 0 else -math.log1p(variance * mean) / variance
    ratio = mean * (1 + k * variance) / ((1 + mean * variance) * (k + 1))
    chance = np.exp(start + np.concatenate([[0.0], np.cumsum(np.log(ratio))]))
    below = np.cumsum(chance)
    low, high = (float(np.searchsorted(below, q)) for q in (_LOW, _HIGH))
    # E[min(D, s)] is the sum of P(D > k) over k below s, plus the share of a unit for a fractional
    # stock.
    beyond, whole = np.maximum(1 - below, 0), math.floor(min(stock, terms))
    sold = float(beyond[:whole].sum()) + (stock - whole) * float(beyond[whole]) if stock < terms else mean
    return min(sold, mean), min(low, stock), min(high, stock)


def _normal(mean: float, deviation: float, stock: float) -> tuple[float, float, float]:
    if math.isinf(stock):
        sold = mean
    else:
        z = (stock - mean) / deviation
        density, below = math.exp(-z * z / 2) / math.sqrt(2 * math.pi), (1 + math.erf(z / math.sqrt(2))) / 2
        sold = stock - deviation * (z * below + density)
    low, high = (max(mean + side * 1.959964 * deviation, 0.0) for side in (-1, 1))
    return max(sold, 0.0), min(low, stock), min(high, stock)
