"""Is the spread of the simulated sales right? The probability integral transform of actual sales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Position of actual sales within the simulated distribution.

    Attributes:
        pit: (BINS,) share of sales in each tenth of the simulated distribution: equal if the
            distribution is right, high at the ends if it is too narrow, high in the middle if it is
            too wide.
        p_value: P-value of a test of equal shares.
        cover80: Share of sales inside the simulated 80% intervals.
        cover95: Share of sales inside the simulated 95% intervals.
    """

    pit: NDArray[np.float64]
    p_value: float
    cover80: float
    cover95: float


def calibration(sold: NDArray[np.float64], simulated: NDArray[np.float64]) -> Calibration:
    """Compare units sold, (T, N), with E simulations of them, (E, T, N).

    The transform is the non-randomised one for counts of Czado, Gneiting and Held (2009),
    Biometrics 65, equation 2. The periods of a product are correlated, so the test of equal bins is
    a Wald test whose covariance is clustered by product, with Hotelling's correction for few
    products; it needs more products than bins.
    """
    # Actual sales count as one more simulation, so that they have a rank even beyond all of them.
    below = (simulated < sold).sum(axis=0) / (len(simulated) + 1)
    upto = ((simulated <= sold).sum(axis=0) + 1) / (len(simulated) + 1)
    edges = np.linspace(0, 1, BINS + 1)[:, None, None]
    mass = np.diff(np.clip((edges - below) / (upto - below), 0, 1), axis=0)
    by_product = mass.mean(axis=1)
    covered = [_covered(sold, simulated, level) for level in (0.8, 0.95)]
    return Calibration(by_product.mean(axis=1), _equal_bins(by_product), *covered)


def _covered(sold: NDArray[np.float64], simulated: NDArray[np.float64], level: float) -> float:
    low, high = np.quantile(simulated, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(((sold >= low) & (sold <= high)).mean())


def _equal_bins(mass: NDArray[np.float64]) -> float:
    """P-value of Hotelling's T squared for (BINS, N) shares by product; NaN with too few products."""
    free, products = BINS - 1, mass.shape[1]
    if products <= free:
        return float("nan")
    excess = mass[:free] - 1 / BINS
    mean, covariance = excess.mean(axis=1), np.cov(excess)
    t2 = products * mean @ np.linalg.pinv(covariance) @ mean
    return float(stats.f.sf(t2 * (products - free) / (free * (products - 1)), free, products - free))
