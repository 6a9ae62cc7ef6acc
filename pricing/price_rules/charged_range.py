"""The range of prices that the shop mostly charged in the past, outside which hardly any data say
how customers respond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

OUTSIDE_CHARGED = "outside_charged"
"""The name of the mark in a trail."""
_SAME = 1e-4


@dataclass(frozen=True, eq=False)
class ChargedRange:
    """The prices that the shop mostly charged, by product: all but the lowest and highest 2% of the weeks of a year.

    Args:
        low: (N,) low end, currency per unit.
        high: (N,) high end.

    Raises:
        ValueError: A range is empty or not a number.

    Example:
        >>> charged = ChargedRange(np.array([1.5]), np.array([2.3]))
        >>> charged.outside([[1.4], [2.3]]).tolist(), charged.words(0)
        ([[True], [False]], 'outside what was mostly charged: 1.50 to 2.30')
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        wrong = np.flatnonzero(~((self.low >= 0) & (self.low <= self.high) & np.isfinite(self.high)))
        if wrong.size:
            n = int(wrong[0])
            raise ValueError(
                f"a charged range must not be negative and must rise; got {self.low[n]:g} to {self.high[n]:g} for product "
                f"{n + 1}; fix it"
            )

    def outside(self, price: ArrayLike) -> NDArray[np.bool_]:
        """Whether prices (…, N), currency per unit, lie outside the range."""
        price = np.asarray(price, dtype=np.float64)
        return (price < self.low * (1 - _SAME)) | (price > self.high * (1 + _SAME))

    def words(self, product: int) -> str:
        """The mark of a price outside, by number of the product."""
        return f"outside what was mostly charged: {self.low[product]:,.2f} to {self.high[product]:,.2f}"
