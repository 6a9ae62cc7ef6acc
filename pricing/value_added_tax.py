"""Value added tax: shelf prices hold it; unit costs, revenue, margins and profit are without it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def without_vat(price: NDArray[Any], vat: NDArray[np.floating] | None) -> NDArray[Any]:
    """What the shop keeps of shelf prices, or of sums of them.

    Args:
        price: (…, N) currency, with VAT.
        vat: (N,) rates, shares of the price without VAT; None for none.

    Returns:
        (…, N) currency; where no product has VAT, the prices as they are.

    Example:
        >>> without_vat(np.array([1.19, 2.14, 3.0]), np.array([0.19, 0.07, 0.0])).round(6).tolist()
        [1.0, 2.0, 3.0]
    """
    if vat is None or not vat.any():
        return price
    return price / (1 + vat)
