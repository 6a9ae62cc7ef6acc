"""Fidelity of the fitted market: simulated sales at the prices that the shop charged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..envs import Outcome, rollout, seed_for
from ..pricing import MarketView
from ..pricing.policies import EmptySlots
from ..scenarios import MarketSpec
from .policies import named_policy

BINS = 10


def fidelity(spec: MarketSpec, *, episodes: int = 400, seed: int = 0) -> dict[str, Any]:
    """Compare simulated units at the prices that the shop charged with the units sold,
    in held-out weeks.

    Args:
        spec: The market of past weeks, such as `FittedMarket.proof`.
        episodes: Number of simulated episodes.
        seed: Selects the test seeds.

    Returns:
        `wape` (sum of absolute errors of mean units over products and periods / units sold), `bias`
        (simulated / sold - 1), the totals by product and by period in which the shop was open, and
        `calibration` (`Calibration`).

    Raises:
        ValueError: The market does not hold the sales of its periods.

    Example:
        >>> from repricer.evaluation import fidelity
        >>> from repricer.scenarios import spec_from_table
        >>> spec = spec_from_table({
        ...     "name": "shop", "version": 1, "market": {"horizon_periods": 4},
        ...     "products": {"names": ["tea"], "regular_price": 4.0}, "arrivals": {"rate": 10.0},
        ...     "demand": {"quality": 2.0, "price_sensitivity": 0.5}, "plan": {"price": 4.0, "units": 5.0},
        ...     "prices": {"floor": 2.0, "ceiling": 8.0},
        ... })
        >>> sorted(fidelity(spec, episodes=20))
        ['bias', 'calibration', 'periods', 'products', 'wape']
    """
    policy = EmptySlots(named_policy("historical", spec))
    assert spec.plan is not None  # else `named_policy` has raised
    if spec.plan.units is None:
        raise ValueError(f"market must hold the sales of its periods; got {spec.name}; give the proof of its fit")
    sold = spec.plan.units
    batches = [list[NDArray]() for _ in range(spec.market.horizon_periods)]

    def note(view: MarketView, outcome: Outcome) -> None:
        batches[int(view.period[0])].append(outcome.units)

    rollout(spec, policy, episodes=episodes, seed=seed_for("test", seed), watch=note)
    units = np.stack([np.concatenate(parts) for parts in batches], axis=1).astype(np.float64)  # (E, T, N)
    # A period in which nothing at all was sold is one in which the shop was closed.
    open_ = np.flatnonzero(sold.any(axis=1))
    sold = sold[open_]
    simulated = units[:, open_]
    mean = simulated.mean(axis=0)
    spread = asdict(calibration(sold, simulated))
    spread |= {"pit": spread["pit"].tolist(), "p_value": None if np.isnan(spread["p_value"]) else spread["p_value"]}
    error = {"wape": float(np.abs(mean - sold).sum() / sold.sum()), "bias": float(mean.sum() / sold.sum() - 1)}
    by_product = [
        {"product": name, "name": name} | units
        for name, units in zip(spec.products.names, _units(sold, mean, 0), strict=True)
    ]
    by_period = [{"period": int(t) + 1} | units for t, units in zip(open_, _units(sold, mean, 1), strict=True)]
    return error | {"calibration": spread, "products": by_product, "periods": by_period}


def _units(sold: NDArray[np.float64], mean: NDArray[np.float64], axis: int) -> list[dict[str, float]]:
    both = zip(sold.sum(axis=axis).tolist(), mean.sum(axis=axis).tolist(), strict=True)
    return [{"actual_units": actual, "simulated_units": simulated} for actual, simulated in both]


# Is the spread of the simulated sales right? The probability integral transform of actual sales.


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
    free = BINS - 1
    products = mass.shape[1]
    if products <= free:
        return float("nan")
    excess = mass[:free] - 1 / BINS
    mean = excess.mean(axis=1)
    covariance = np.cov(excess)
    t2 = products * mean @ np.linalg.pinv(covariance) @ mean
    return float(stats.f.sf(t2 * (products - free) / (free * (products - 1)), free, products - free))
