"""Fidelity of the fitted market: simulated sales at the prices that the shop charged."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs import Outcome, rollout, seed_for
from ...pricing import MarketView
from ...pricing.policies import EmptySlots
from ...scenarios import MarketSpec
from ..policies import named_policy
from .calibration import calibration


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
        ...     "demand": {"quality": 2.0, "price_sensitivity": 0.5}, "history": {"price": 4.0, "units": 5.0},
        ...     "prices": {"floor": 2.0, "ceiling": 8.0},
        ... })
        >>> sorted(fidelity(spec, episodes=20))
        ['bias', 'calibration', 'periods', 'products', 'wape']
    """
    policy = EmptySlots(named_policy("historical", spec))
    assert spec.history is not None  # else `named_policy` has raised
    if spec.history.units is None:
        raise ValueError(f"market must hold the sales of its periods; got {spec.name}; give the proof of its fit")
    sold, batches = spec.history.units, [list[NDArray]() for _ in range(spec.market.horizon_periods)]

    def note(view: MarketView, outcome: Outcome) -> None:
        batches[int(view.period[0])].append(outcome.units)

    rollout(spec, policy, episodes=episodes, seed=seed_for("test", seed), watch=note)
    units = np.stack([np.concatenate(parts) for parts in batches], axis=1).astype(np.float64)  # (E, T, N)
    # A period in which nothing at all was sold is one in which the shop was closed.
    open_ = np.flatnonzero(sold.any(axis=1))
    sold, simulated = sold[open_], units[:, open_]
    mean = simulated.mean(axis=0)
    spread = asdict(calibration(sold, simulated))
    spread |= {"pit": spread["pit"].tolist(), "p_value": None if np.isnan(spread["p_value"]) else spread["p_value"]}
    return {
        "wape": float(np.abs(mean - sold).sum() / sold.sum()),
        "bias": float(mean.sum() / sold.sum() - 1),
        "calibration": spread,
        "products": [
            {"product": name, "name": name, "actual_units": float(actual), "simulated_units": float(units)}
            for name, actual, units in zip(spec.products.names, sold.sum(axis=0), mean.sum(axis=0), strict=True)
        ],
        "periods": [
            {"period": int(period) + 1, "actual_units": float(actual), "simulated_units": float(units)}
            for period, actual, units in zip(open_, sold.sum(axis=1), mean.sum(axis=1), strict=True)
        ],
    }
