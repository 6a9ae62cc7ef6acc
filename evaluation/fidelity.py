"""Does the fitted market sell what the shop sold? Simulated sales at the prices that were really charged."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..envs import rollout, seed_for
from ..scenarios import MarketSpec
from .policies import named_policy


def fidelity(spec: MarketSpec, *, episodes: int = 200, seed: int = 0) -> dict[str, Any]:
    """Mean simulated units at the historical prices against the units really sold, in weeks that no model saw.

    Returns `wape` (sum of absolute errors over products and periods / units sold), `bias` (simulated / sold - 1) and the
    totals of each product. Raises ValueError where the scenario has no history.
    """
    run = rollout(spec, named_policy("historical", spec), episodes=episodes, seed=seed_for("judging", seed))
    assert spec.history is not None  # the policy has refused the scenario otherwise
    sold = spec.history.units
    return {
        "wape": float(np.abs(run.units_path - sold).sum() / sold.sum()),
        "bias": float(run.units_path.sum() / sold.sum() - 1),
        "products": [
            {"product": name, "name": name, "actual_units": float(actual), "simulated_units": float(simulated)}
            for name, actual, simulated in zip(
                spec.products.names, sold.sum(axis=0), run.units_path.sum(axis=0), strict=True
            )
        ],
    }
