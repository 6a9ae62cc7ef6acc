"""How the numbers of a network become the named parts of an action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ActionLayout:
    """Columns of one product's raw action, each in [-1, 1]: price, then K discounts, then K recommendation scores.

    low_multiplier, high_multiplier: the price range around the base price; raw 0 is the base price itself and the
    log price is linear on either side of it, so a network that knows nothing starts from the base price.
    num_segments: K. max_discount: largest personal discount (fraction); 0 leaves the discount columns out.
    recommend: whether there are recommendation columns.
    """

    low_multiplier: float
    high_multiplier: float
    num_segments: int = 1
    max_discount: float = 0.0
    recommend: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.low_multiplier <= 1 <= self.high_multiplier:
            raise ValueError(
                "price multipliers must satisfy 0 < low <= 1 <= high (1 is the base price); "
                f"got low {self.low_multiplier:g}, high {self.high_multiplier:g}; widen the range around the base price"
            )

    @property
    def discounts(self) -> bool:
        """Whether the layout has discount columns."""
        return self.max_discount > 0

    @property
    def size(self) -> int:
        """A, the number of columns a product has."""
        return 1 + self.num_segments * (int(self.discounts) + int(self.recommend))

    def decode(self, raw: Any, xp: Any = np) -> tuple[Any, Any | None, Any | None]:
        """Raw (…, A) to (price multiplier (…,), discount (…, K) or None, recommendation score (…, K) or None).

        `xp` is the array library of `raw`: numpy in the market, torch when a network is exported, so that the
        served file and the simulated market decode by the same lines. A raw discount below zero is no discount.
        """
        raw = xp.clip(raw, -1.0, 1.0)
        up, down = math.log(self.high_multiplier), -math.log(self.low_multiplier)
        price = raw[..., 0]
        multiplier = xp.exp(xp.where(price > 0, price * up, price * down))
        column, discount, score = 1, None, None
        if self.discounts:
            discount = xp.clip(raw[..., column : column + self.num_segments], 0.0, 1.0) * self.max_discount
            column += self.num_segments
        if self.recommend:
            score = raw[..., column : column + self.num_segments]
        return multiplier, discount, score
