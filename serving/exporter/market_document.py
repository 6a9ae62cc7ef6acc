"""What an export writes down of its market, for a server that has none: the price response and the range of what is seen.

Needs the `train` extra, like `exporting`; their readers, `response` and `training_range`, need numpy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...pricing import FixedPrice, MarketView, feature_names, product_features
from ..bundle.response import FAMILIES

if TYPE_CHECKING:
    from ...pricing import Policy
    from ...scenarios import MarketSpec

_EPISODES = 64


def response_document(spec: MarketSpec) -> dict[str, Any] | None:
    """The price response of a scenario as plain JSON; None for a demand family of another package. Needs `train`."""
    from ...envs.kernels.demand_arrays import ChoiceParameters

    if spec.demand.family not in FAMILIES:
        return None
    parameters = ChoiceParameters.of(spec, np.float64)._asdict()
    values = {name: part.tolist() for name, part in parameters.items() if isinstance(part, np.ndarray)}
    regimes, horizon = spec.regimes, spec.market.horizon_periods
    shares: list[NDArray[np.float64]] = [] if regimes is None else [regimes.initial]
    while regimes is not None and len(shares) < horizon:
        shares.append(shares[-1] @ regimes.transition)
    return values | {
        "family": spec.demand.family,
        "linear_reference": bool(parameters["linear_reference"]),
        "single": spec.arrivals.process == "single",
        "rivals_product": spec.competitor_product.tolist(),
        "rivals_regular": [] if spec.competitors is None else spec.competitors.regular_price.tolist(),
        "regime_share": [share.tolist() for share in shares] or [[] for _ in range(horizon)],
        "overdispersion": spec.arrivals.overdispersion.tolist(),
    }


def range_document(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any]:
    """The range over episodes of the policy itself and of regular prices, which a fallback may charge. Needs `train`."""
    from ...envs import catalogue_of, rollout
    from ...envs.kernels.state import Outcome

    catalogue, lows, highs = catalogue_of(spec), [], []

    def watch(view: MarketView, _: Outcome) -> None:
        seen = product_features(view, fixed=False)
        lows.append(seen.min(axis=(0, 1)))
        highs.append(seen.max(axis=(0, 1)))

    for one in (policy, FixedPrice(catalogue.regular_price)):
        rollout(spec, one, episodes=_EPISODES, seed=seed, watch=watch)
    return {
        "features": feature_names(catalogue, fixed=False),
        "low": np.min(lows, axis=0).tolist(),
        "high": np.max(highs, axis=0).tolist(),
    }
