"""What a bundle stores of its market: the price response and the range of the features.

Writing them needs the `train` extra; their readers, `bundle.response` and `bundle.training_range`,
need numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...pricing import FixedPrice, MarketView, feature_names, product_features
from ...pricing.choice_model import FAMILIES

if TYPE_CHECKING:
    from ...pricing import Policy
    from ...scenarios import MarketSpec

_EPISODES = 64


def response_document(spec: MarketSpec) -> dict[str, Any] | None:
    """The choice model of a scenario as plain JSON; None for a demand family of another package."""
    from ...scenarios import choice_model

    if spec.demand.family not in FAMILIES:
        return None
    values = vars(choice_model(spec))
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def range_document(spec: MarketSpec, policy: Policy, seed: int) -> dict[str, Any]:
    """The range over episodes of the policy and of regular prices, which a fallback may charge."""
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
