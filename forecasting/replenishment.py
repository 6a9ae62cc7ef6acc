"""Order-up-to levels from a demand forecast, for a service level or by costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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

    def _shape(self) -> tuple[Array, Array]:
        mean = np.maximum(self.mean, _LEAST_EXCESS)
        excess = np.maximum(self.variance - mean, _LEAST_EXCESS * mean)
        return mean**2 / excess, mean / (mean + excess)


class Replenishment(NamedTuple):
    """The rule of periodic review: order up to the level in every week.

    Attributes:
        order_up_to: (T, N) units on hand and on order after an order.
        service_level: (T, N) probability that an order placed now lasts until the next one arrives.

    Example:
        >>> Replenishment(np.array([[103.0]]), np.array([[0.95]])).order_up_to.item()
        103.0
    """

    order_up_to: Array
    service_level: Array


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
    under = np.asarray(underage, dtype=float)
    over = np.asarray(overage, dtype=float)
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
    mean: ArrayLike, dispersion: ArrayLike, *, fractile: ArrayLike, lead_time_weeks: int, persistence: float = 0.0
) -> Replenishment:
    """Return the levels of weekly review for each week, given its forecast and the later ones.

    An order placed now must last until the next one arrives: lead time plus one week (Silver, Pyke and Thomas 2017,
    chapter 6). The order-up-to level is the `fractile` of that demand, the newsvendor's solution for weekly costs
    (`critical_fractile`).

    Args:
        mean: (T, N) units per week.
        dispersion: (N,) or (T, N), see `fitted_dispersion`.
        fractile: least share of weeks without shortage, in (0, 1), scalar or (N,).
        lead_time_weeks: whole weeks from order to delivery.
        persistence: autocorrelation of demand's multiplier from week to week, in [0, 1].

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> replenishment_levels([[40.0]], [0.03], fractile=0.95, lead_time_weeks=1).order_up_to.item()
        103.0
    """
    chosen = np.asarray(fractile, dtype=float)
    if not ((chosen > 0) & (chosen < 1)).all():
        raise ValueError(f"fractile must lie strictly between 0 and 1; got {chosen.tolist()}; try 0.95")
    if lead_time_weeks < 0:
        raise ValueError(f"lead_time_weeks must be 0 or more; got {lead_time_weeks}; give whole weeks")
    demand = protection_demand(mean, dispersion, weeks=lead_time_weeks + 1, persistence=persistence)
    level = demand.quantile(chosen)
    return Replenishment(level, demand.probability(level))
