"""How the numbers of a network become the named parts of an action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .backend import clip, exp, where


class ActionParts(NamedTuple):
    """Decoded parts, of whatever array library they came from; None where the layout has no such columns.

    price_multiplier: (…,) times the base price is the price. discount: (…, K) fraction. recommendation: (…, K) score.
    promotion: (…,) score. order: (…,) fraction of the largest order.
    """

    price_multiplier: Any
    discount: Any = None
    recommendation: Any = None
    promotion: Any = None
    order: Any = None


def price_multiplier(raw: Any, log_high: Any, log_low: Any) -> Any:
    """The multiplier of a raw price in [-1, 1]: log-linear on either side of 0, which is the base price."""
    return exp(where(raw > 0, raw * log_high, raw * -log_low))


def raw_price(multiplier: Any, log_high: float, log_low: float) -> Any:
    """The raw price in [-1, 1] whose multiplier this is, or the nearest: the inverse of `price_multiplier`."""
    log_multiplier = np.log(multiplier)
    # A range that ends at the base price has nothing on that side.
    above = log_multiplier / log_high if log_high > 0 else np.zeros_like(log_multiplier)
    below = log_multiplier / -log_low if log_low < 0 else np.zeros_like(log_multiplier)
    return np.clip(np.where(log_multiplier > 0, above, below), -1.0, 1.0)


@dataclass(frozen=True)
class ActionLayout:
    """Columns of one product's raw action, each in [-1, 1]: price, K discounts, K recommendation scores, promotion
    score, order.

    low_multiplier, high_multiplier: the price range around the base price; raw 0 is the base price itself and the
    log price is linear on either side of it, so a network that knows nothing starts from the base price.
    num_segments: K. max_discount: largest personal discount (fraction); 0 leaves the discount columns out.
    recommend, promote, order: whether there are such columns.
    """

    low_multiplier: float
    high_multiplier: float
    num_segments: int = 1
    max_discount: float = 0.0
    recommend: bool = False
    promote: bool = False
    order: bool = False

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
        return 1 + self.num_segments * (int(self.discounts) + int(self.recommend)) + int(self.promote) + int(self.order)

    @property
    def logs(self) -> tuple[float, float]:
        """Logarithms of the highest and the lowest multiplier."""
        return math.log(self.high_multiplier), math.log(self.low_multiplier)

    @property
    def names(self) -> list[str]:
        """The parts that there are, in the order of the columns."""
        there = (True, self.discounts, self.recommend, self.promote, self.order)
        return [name for name, part in zip(ActionParts._fields, there, strict=True) if part]

    def decode(self, raw: Any) -> ActionParts:
        """Raw (…, A), numpy or torch, to the parts.

        The served file and the simulated market decode by the same lines. A raw discount below zero is no discount, a raw
        order below zero no order.
        """
        raw = clip(raw, -1.0, 1.0)
        parts, column = {"price_multiplier": price_multiplier(raw[..., 0], *self.logs)}, 1
        if self.discounts:
            parts["discount"] = clip(raw[..., column : column + self.num_segments], 0.0, 1.0) * self.max_discount
            column += self.num_segments
        if self.recommend:
            parts["recommendation"] = raw[..., column : column + self.num_segments]
            column += self.num_segments
        if self.promote:
            parts["promotion"] = raw[..., column]
            column += 1
        if self.order:
            parts["order"] = clip(raw[..., column], 0.0, 1.0)
        return ActionParts(**parts)

    def encode(self, parts: ActionParts) -> Any:
        """Raw (…, A) float32 that decode to these numpy parts, or the nearest there are; a part that is None is left at zero.

        What a teacher does becomes what a network should say.
        """
        columns = [raw_price(parts.price_multiplier, *self.logs)[..., None]]
        segments = (*columns[0].shape[:-1], self.num_segments)
        none = np.zeros_like(columns[0])
        if self.discounts:
            columns.append(np.zeros(segments) if parts.discount is None else parts.discount / self.max_discount)
        if self.recommend:
            columns.append(np.zeros(segments) if parts.recommendation is None else parts.recommendation)
        if self.promote:
            columns.append(none if parts.promotion is None else parts.promotion[..., None])
        if self.order:
            columns.append(none if parts.order is None else parts.order[..., None])
        return np.clip(np.concatenate(columns, axis=-1), -1.0, 1.0).astype(np.float32)
