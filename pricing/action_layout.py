"""The layout of a network's output: its columns as the named parts of an action, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .backend import ZERO, clip, exp, where


class ActionParts(NamedTuple):
    """The decoded parts of an action, as numpy arrays or tensors; None where the layout has
    no such columns.

    Args:
        price_multiplier: (…,) the price over the base price.
        discount: (…, K) personal discounts, fractions.
        recommendation: (…, K) scores of showing the product in each segment's slot.
        promotion: (…,) score of promoting the product.
        order: (…,) fraction of the largest order.
        express: (…,) fraction of the largest express order.

    Example:
        >>> ActionParts(price_multiplier=np.ones(3)).discount is None
        True
    """

    price_multiplier: Any
    discount: Any = None
    recommendation: Any = None
    promotion: Any = None
    order: Any = None
    express: Any = None


_BY_SEGMENT = ("discount", "recommendation")
_FROM_ZERO = ("discount", "order", "express")
BESIDE_RULE = np.float32(1e-5)
"""The raw price of the constant base price where that of zero means a rule's: the least that float32 tells apart from 0
after `price_multiplier`, for ranges from a factor of 1.02.
"""


NEAR = np.float32(0.9)
"""The raw price up to which, on either side, prices are within the reach of a layout that has one."""


def price_multiplier(raw: Any, log_high: Any, log_low: Any, more_high: Any = ZERO, more_low: Any = ZERO) -> Any:
    """The multiplier of a raw price in [-1, 1]: log-linear on either side of 0, which means the base price.

    Args:
        raw: the raw price.
        log_high: the slope of its logarithm above 0.
        log_low: minus the slope below 0.
        more_high: what is added to the slope beyond `NEAR`.
        more_low: likewise below -`NEAR`.
    """
    above = raw * log_high + (where(raw > NEAR, raw, NEAR) - NEAR) * more_high
    below = raw * -log_low + (where(raw < -NEAR, raw, -NEAR) + NEAR) * more_low
    return exp(where(raw > 0, above, below))


def raw_price(multiplier: Any, log_high: float, log_low: float, more_high: float = 0.0, more_low: float = 0.0) -> Any:
    """The inverse of `price_multiplier`, cut to [-1, 1]."""
    logs = np.log(multiplier)
    return np.where(logs > 0, _raw_side(logs, log_high, more_high), -_raw_side(-logs, -log_low, more_low))


def _raw_side(logs: Any, slope: float, more: float) -> Any:
    if slope <= 0:  # a range that ends at the base price has no prices on that side
        return np.zeros_like(logs)
    near = float(NEAR)
    return np.clip(
        np.where(logs <= slope * near, logs / slope, near + (logs - slope * near) / (slope + more)), 0.0, 1.0
    )


@dataclass(frozen=True)
class ActionLayout:
    """Columns of one product's raw action, each in [-1, 1]: price, discounts,
    recommendations, promotion, order, express order.

    A raw price of 0 means the base price, and the log price is linear on either side of it, so that
    an untrained network starts from the base price. With a reach it is linear twice: nine tenths of
    the raw prices of a side lie within the reach, and the last tenth goes on to the end of the range.

    Args:
        low_multiplier: lowest price over the base price, in (0, 1].
        high_multiplier: highest price over the base price, at least 1.
        num_segments: K, the number of discount and of recommendation columns.
        max_discount: largest personal discount, a fraction; 0 leaves the discount columns out.
        recommend: whether there are recommendation columns.
        promote: whether there is a promotion column.
        order: whether there is an order column.
        express: whether there is a column of express orders.
        rule_at_zero: whether, where a rule sets base prices, only a raw price of exactly zero means the rule's
            price, and all others multiply the constant base prices.
        reach: factor of the base price, in either direction, within which most raw prices lie; 0 for none.

    Raises:
        ValueError: the multipliers do not enclose 1.

    Example:
        >>> layout = ActionLayout(0.5, 2.0, promote=True)
        >>> layout.names
        ['price_multiplier', 'promotion']
        >>> layout.decode(np.array([[0.0, 0.3], [-1.0, -0.3]])).price_multiplier.tolist()
        [1.0, 0.5]
    """

    low_multiplier: float
    high_multiplier: float
    num_segments: int = 1
    max_discount: float = 0.0
    recommend: bool = False
    promote: bool = False
    order: bool = False
    express: bool = False
    rule_at_zero: bool = False
    reach: float = 0.0

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
        """A, the number of columns of one product."""
        by_segment = (self.discounts, self.recommend)
        single = (self.promote, self.order, self.express)
        return 1 + self.num_segments * sum(by_segment) + sum(single)

    @property
    def logs(self) -> tuple[float, float]:
        """Logarithms of the highest and the lowest multiplier."""
        return math.log(self.high_multiplier), math.log(self.low_multiplier)

    @property
    def slopes(self) -> tuple[float, float, float, float]:
        """What `price_multiplier` takes after the raw price."""
        (high, more_high), (low, more_low) = (self._side(log) for log in (self.logs[0], -self.logs[1]))
        return high, -low, more_high, more_low

    def _side(self, log_range: float) -> tuple[float, float]:
        """The slope of the log price near the base price, and what is added to it further out."""
        near = float(NEAR)
        reach = math.log(self.reach) if self.reach else math.inf
        if log_range * near <= reach:
            return log_range, 0.0
        return reach / near, (log_range - reach) / (1 - near) - reach / near

    @property
    def names(self) -> list[str]:
        """The parts that the layout has, in the order of the columns."""
        there = (True, self.discounts, self.recommend, self.promote, self.order, self.express)
        return [name for name, part in zip(ActionParts._fields, there, strict=True) if part]

    def around(self, rule_price: Any, base_price: Any, follows: Any) -> Any:
        """The prices that multipliers multiply, where a rule sets base prices.

        Args:
            rule_price: (E, N) the rule's prices, currency per unit.
            base_price: (N,) the constant base prices.
            follows: (E, N) whether the raw price is zero.
        """
        return where(follows, rule_price, base_price) if self.rule_at_zero else rule_price

    def decode(self, raw: Any) -> ActionParts:
        """The parts of raw actions. A negative raw discount means no discount, a negative raw
        order no order.

        Args:
            raw: (…, A) array or tensor; cut to [-1, 1].
        """
        raw = clip(raw, -1.0, 1.0)
        parts = {"price_multiplier": price_multiplier(raw[..., 0], *self.slopes)}
        column = 1
        for name in self.names[1:]:
            width = self.num_segments if name in _BY_SEGMENT else 1
            part = raw[..., column : column + width] if name in _BY_SEGMENT else raw[..., column]
            part = clip(part, 0.0, 1.0) if name in _FROM_ZERO else part
            parts[name] = part * self.max_discount if name == "discount" else part
            column += width
        return ActionParts(**parts)

    def encode(self, parts: ActionParts) -> Any:
        """The inverse of `decode`: the raw actions that decode to these parts, or the nearest ones.

        Args:
            parts: numpy arrays; a part that is None becomes zero.

        Returns:
            (…, A) float32, the targets of a network that imitates a teacher.
        """
        columns = [raw_price(parts.price_multiplier, *self.slopes)[..., None]]
        for name in self.names[1:]:
            part = getattr(parts, name)
            width = self.num_segments if name in _BY_SEGMENT else 1
            if part is None:
                part = np.zeros((*columns[0].shape[:-1], width))
            elif name not in _BY_SEGMENT:
                part = part[..., None]
            columns.append(part / self.max_discount if name == "discount" else part)
        return np.clip(np.concatenate(columns, axis=-1), -1.0, 1.0).astype(np.float32)
