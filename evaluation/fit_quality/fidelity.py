"""Does the fitted market sell what the shop sold? Simulated sales at the prices that were really charged."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs import Outcome, rollout, seed_for
from ...pricing import Action, MarketView, Policy
from ...scenarios import MarketSpec
from ..policies import named_policy
from .calibration import calibration


def fidelity(spec: MarketSpec, *, episodes: int = 400, seed: int = 0) -> dict[str, Any]:
    """Simulated units at the historical prices against the units really sold, in weeks that no model saw.

    Returns `wape` (sum of absolute errors of the mean over products and periods / units sold), `bias` (simulated / sold -
    1), the totals of each product and of each period, and `calibration`, whether the spread is right (`Calibration`).
    Raises ValueError where the scenario has no history.
    """
    policy = _EmptySlots(named_policy("historical", spec))
    assert spec.history is not None  # the policy has refused the scenario otherwise
    sold, parts = spec.history.units, _Units(spec.market.horizon_periods)
    rollout(spec, policy, episodes=episodes, seed=seed_for("test", seed), watch=parts)
    simulated = parts.units()
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
            {"period": period, "actual_units": float(actual), "simulated_units": float(units)}
            for period, (actual, units) in enumerate(zip(sold.sum(axis=1), mean.sum(axis=1), strict=True), start=1)
        ],
    }


@dataclass(frozen=True)
class _EmptySlots:
    """A policy that recommends nothing: what was sold without the market's slots is what the market was fitted on."""

    policy: Policy

    @property
    def name(self) -> str:
        return self.policy.name

    def act(self, view: MarketView) -> Action:
        action = self.policy.act(view)
        shape = (*action.price.shape, view.catalogue.num_segments)
        return replace(action, recommendation=np.zeros(shape, dtype=np.float32))


class _Units:
    """Watches a `rollout` of whole episodes and keeps what each market sold."""

    def __init__(self, periods: int) -> None:
        self._periods: list[list[NDArray]] = [[] for _ in range(periods)]

    def __call__(self, view: MarketView, outcome: Outcome) -> None:
        self._periods[int(view.period[0])].append(outcome.units)

    def units(self) -> NDArray[np.float64]:
        """(E, T, N)."""
        return np.stack([np.concatenate(batches) for batches in self._periods], axis=1).astype(np.float64)
