"""What a learned price multiplies: a raw price of zero is the price of a classical policy, and learning starts from there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..pricing import Policy, competitor
from ..scenarios import MarketSpec
from .classical import best_fixed

STEADY = ("best-fixed", "regular")


def base_of(spec: MarketSpec, name: str, seed: int = 0) -> tuple[NDArray[np.float32], Policy | None]:
    """((N,) base prices, the policy that moves them or None) of the setting `base_price`.

    best-fixed, regular, or, where there are rivals, a rule that answers them such as undercut:STEP; the regular prices then
    stand for its range. Raises ValueError, one line, for any other.
    """
    regular = spec.products.regular_price.astype(np.float32)
    if name == "best-fixed":
        return np.asarray(best_fixed(spec, seed=seed).price, dtype=np.float32), None
    if name == "regular":
        return regular, None
    if spec.competitors is None:
        raise ValueError(
            f"base_price must be one of {', '.join(STEADY)}, or a rule against rivals where there are some; got {name!r} "
            f"for {spec.name}; choose one of them"
        )
    return regular, competitor(name)
