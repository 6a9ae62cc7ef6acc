"""Reorder points and order-up-to levels from a demand forecast, for a service level or by costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nbinom

Array = NDArray[np.float64]

_DISPERSIONS = np.concatenate([[0.0], np.geomspace(1e-3, 10.0, 60)])
# At this dispersion the negative binomial equals the Poisson but for the last digits.
_LEAST_EXCESS = 1e-9


@dataclass(frozen=True)
class Demand:
    """Demand over some weeks: negative binomial, or Poisson where variance and mean agree.

    A Poisson whose rate is gamma distributed is negative binomial. The sum over weeks is given the
    negative binomial with its two moments: exact where all weeks have the same ratio of mean to
    dispersion, and close otherwise.

    Attributes:
        mean: (…) units.
        variance: (…) at least the mean.
    """

    mean: Array
    variance: Array

    def probability(self, level: Array | float) -> Array:
        """P(demand <= level)."""
        return np.asarray(nbinom.cdf(level, *self._shape()))

    def quantile(self, probability: Array | float) -> Array:
        """Least number of units that covers the demand with this probability."""
        return np.asarray(nbinom.ppf(probability, *self._shape()))

    def shortage(self, level: Array | float) -> Array:
        """E max(demand - level, 0) at a whole number of units, the loss function.

        Zipkin (2000, appendix C.2.3):
        x f(x; n) = mean f(x - 1; n + 1) for the negative binomial, which sums the tail in closed
        form.
        """
        size, chance = self._shape()
        above = self.mean * nbinom.sf(level - 1, size + 1, chance)
        return np.asarray(np.maximum(above - level * nbinom.sf(level, size, chance), 0.0))

    def _shape(self) -> tuple[Array, Array]:
        mean = np.maximum(self.mean, _LEAST_EXCESS)
        excess = np.maximum(self.variance - mean, _LEAST_EXCESS * mean)
        return mean**2 / excess, mean / (mean + excess)


@dataclass(frozen=True)
class Replenishment:
    """The rule: when on-hand plus on-order is at or below the reorder point, order up to the level.

    All arrays are (T, N).

    Attributes:
        reorder_point: units.
        order_up_to: units.
        safety_stock: units above the mean demand until an order placed one review later arrives.
        service_level: least probability that a week before the next delivery has no shortage.
        fill_rate: share of demand served from stock, without fixed order costs and with backlogging
            (higher with lost sales).
    """

    reorder_point: Array
    order_up_to: Array
    safety_stock: Array
    service_level: Array
    fill_rate: Array


def critical_fractile(underage: ArrayLike, overage: ArrayLike) -> Array:
    """Return the newsvendor's service level, underage / (underage + overage).

    Arrow, Harris and Marschak (1951).

    Args:
        underage: currency lost per unit of demand not served (margin and other costs of a lost
            sale).
        overage: currency per unit left over (holding cost until the next review; of perishables,
            cost less salvage).

    Raises:
        ValueError: a cost is negative, or both are 0.

    Example:
        >>> float(critical_fractile(underage=9.0, overage=1.0))
        0.9
    """
    under, over = np.asarray(underage, dtype=float), np.asarray(overage, dtype=float)
    if not ((under >= 0) & (over >= 0) & (under + over > 0)).all():
        raise ValueError(
            f"underage and overage must be 0 or more, and not both 0; got {under.tolist()} and {over.tolist()}; "
            "give costs in currency per unit"
        )
    return under / (under + over)


def fitted_dispersion(mean: ArrayLike, quantiles: Mapping[float, ArrayLike]) -> Array:
    """Return the dispersion with which a Poisson of the forecast's mean has its quantiles.

    The dispersion is the variance of a gamma multiplier of the rate. Least squares of log(1 +
    units), so that low and high quantiles have similar weight, over a grid of 61 values from 0 to
    10.

    Args:
        mean: (…) units per week.
        quantiles: units (…) by probability; at least one probability above one half.

    Raises:
        ValueError: no probability is above one half.

    Example:
        >>> fitted_dispersion([40.0], {0.9: [52.0]}).round(2).tolist()
        [0.03]
    """
    if not any(level > 0.5 for level in quantiles):
        raise ValueError(f"quantiles must hold one above 0.5; got {list(quantiles)}; forecast the 0.9 quantile")
    centre = np.asarray(mean, dtype=float)
    grid = _DISPERSIONS.reshape(-1, *[1] * centre.ndim)
    demand = Demand(centre, centre + grid * centre**2)
    gaps = [np.log1p(demand.quantile(level)) - np.log1p(np.asarray(units)) for level, units in quantiles.items()]
    gap = np.square(gaps).sum(axis=0)
    return _DISPERSIONS[gap.argmin(axis=0)]


def protection_demand(mean: ArrayLike, dispersion: ArrayLike, *, weeks: int, persistence: float = 0.0) -> Demand:
    """Return the demand over each week and those after it, `weeks` in all.

    Weeks after the last one repeat its forecast.

    Args:
        mean: (T, N) units per week.
        dispersion: (N,) or (T, N) variance of the weekly gamma multiplier (mean 1) of the Poisson
            rate.
        weeks: weeks until an order placed at the next review arrives: lead time plus review period.
        persistence: autocorrelation of the multiplier from week to week, in [0, 1]; ignoring it
            understates the stock.

    Returns:
        (T, N).

    Raises:
        ValueError: an argument is out of its range.
    """
    rate = np.atleast_2d(np.asarray(mean, dtype=float))
    excess = np.broadcast_to(np.asarray(dispersion, dtype=float), rate.shape)
    if not ((rate >= 0).all() and (excess >= 0).all() and np.isfinite(rate).all()):
        raise ValueError("mean and dispersion must be finite and 0 or more; got another value; check the forecast")
    if weeks < 0 or not 0 <= persistence <= 1:
        raise ValueError(f"weeks must be 0 or more and persistence in [0, 1]; got {weeks} and {persistence}")
    ahead = np.minimum(np.arange(len(rate))[:, None] + np.arange(weeks), len(rate) - 1)
    total = rate[ahead].sum(axis=1)
    spread = np.sqrt(excess)[ahead] * rate[ahead]
    correlation = persistence ** np.abs(np.subtract.outer(np.arange(weeks), np.arange(weeks)))
    return Demand(total, total + np.einsum("tin,ij,tjn->tn", spread, correlation, spread))


def replenishment_levels(
    mean: ArrayLike,
    dispersion: ArrayLike,
    *,
    fractile: ArrayLike,
    lead_time_weeks: int,
    review_weeks: int = 1,
    persistence: float = 0.0,
    order_cost: ArrayLike = 0.0,
    holding_cost: ArrayLike = 0.0,
) -> Replenishment:
    """Return the levels of periodic review for each week, given its forecast and the later ones.

    An order placed now must last until the next one arrives: lead time plus review period (Silver,
    Pyke and Thomas 2017, chapter 6). Without order costs, the order-up-to level is the `fractile`
    of that demand, the newsvendor's solution for weekly costs (`critical_fractile`). With a fixed
    `order_cost` the order grows by the economic order quantity (Harris 1913), sqrt(2 order_cost
    demand / holding_cost), above the reorder point that keeps the service: an (s, S) rule, close to
    the optimum but not equal to it (Zipkin 2000, section 9.6).

    Args:
        mean: (T, N) units per week.
        dispersion: (N,) or (T, N), see `fitted_dispersion`.
        fractile: least share of weeks without shortage, in (0, 1), scalar or (N,).
        lead_time_weeks: whole weeks from order to delivery.
        review_weeks: weeks between two reviews of the stock.
        persistence: autocorrelation of demand's multiplier from week to week, in [0, 1].
        order_cost: currency per order, scalar or (N,).
        holding_cost: currency per unit and week, scalar or (N,); above 0 where there is an order
            cost.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> levels = replenishment_levels([[40.0]], [0.03], fractile=0.95, lead_time_weeks=1)
        >>> levels.reorder_point.item(), levels.order_up_to.item()
        (102.0, 103.0)
    """
    chosen, fixed, holding = (np.asarray(value, dtype=float) for value in (fractile, order_cost, holding_cost))
    if not ((chosen > 0) & (chosen < 1)).all():
        raise ValueError(f"fractile must lie strictly between 0 and 1; got {chosen.tolist()}; try 0.95")
    if lead_time_weeks < 0 or review_weeks < 1:
        raise ValueError(
            f"lead_time_weeks must be 0 or more and review_weeks 1 or more; got {lead_time_weeks} and {review_weeks}"
        )
    if (fixed < 0).any() or ((fixed > 0) & (holding <= 0)).any():
        raise ValueError("order_cost must be 0 or more, and holding_cost above 0 where it is; got other costs")
    demand = protection_demand(mean, dispersion, weeks=lead_time_weeks + review_weeks, persistence=persistence)
    arriving = protection_demand(mean, dispersion, weeks=lead_time_weeks, persistence=persistence)
    base = demand.quantile(chosen)
    in_review = demand.mean - arriving.mean
    unserved = demand.shortage(base) - arriving.shortage(base)
    economic = np.sqrt(
        np.divide(2 * fixed * in_review / review_weeks, holding, out=np.zeros_like(base), where=holding > 0)
    )
    return Replenishment(
        reorder_point=base - 1,
        order_up_to=base - 1 + np.maximum(np.ceil(economic), 1),
        safety_stock=base - demand.mean,
        service_level=demand.probability(base),
        fill_rate=1 - np.divide(unserved, in_review, out=np.zeros_like(base), where=in_review > 0),
    )
