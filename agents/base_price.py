"""Base prices: what a learned price multiplies, so that learning starts from a classical policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pricing import Policy, competitor
from ..scenarios import MarketSpec
from .classical import best_fixed

STEADY = ("best-fixed", "regular")


def base_of(spec: MarketSpec, name: str, seed: int = 0) -> tuple[NDArray[np.float32], Policy | None]:
    """The base prices that the setting `base_price` names.

    Args:
        spec: The market.
        name: best-fixed, regular, or, in a market with rivals, a rule that reacts to them, such as
            undercut:STEP.
        seed: Seed of the search for the best fixed prices.

    Returns:
        (N,) base prices in currency per unit, and the policy that sets them period by period. The
        policy is None for constant base prices; for a rule, the prices are the regular ones.

    Raises:
        ValueError: Any other name.

    Example:
        >>> from repricer import load_scenario
        >>> base_of(load_scenario("stationary-logit"), "best-fixed")
        (array([11.], dtype=float32), None)
    """
    regular = spec.products.regular_price.astype(np.float32)
    if name == "best-fixed":
        return np.asarray(best_fixed(spec, seed=seed).price, dtype=np.float32), None
    if name == "regular":
        return regular, None
    if spec.competitors is None:
        raise ValueError(
            f"base_price must be one of {', '.join(STEADY)}, or, in a market with rivals, a rule that reacts to them; got {name!r} "
            f"for {spec.name}; choose one of them"
        )
    return regular, competitor(name)
