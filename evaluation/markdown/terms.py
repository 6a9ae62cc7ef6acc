"""What a markdown has to reach, and what it may use for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """Target and means of a markdown.

    Args:
        sell_through: Share of the stock that is to be sold, above 0 to 1.
        confidence: Probability with which it is to be sold, 0 to below 1.
        changes: Largest number of price changes of a product, the first included.
        salvage: What a unit left over is worth, as a share of the regular price.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> Terms(sell_through=1.5)
        Traceback (most recent call last):
        ValueError: sell_through must lie above 0 and at most at 1; got 1.5; write 95% as 0.95
    """

    sell_through: float = 0.95
    confidence: float = 0.95
    changes: int = 3
    salvage: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.sell_through <= 1:
            raise ValueError(
                f"sell_through must lie above 0 and at most at 1; got {self.sell_through:g}; write 95% as 0.95"
            )
        if not 0 <= self.confidence < 1:
            raise ValueError(
                f"confidence must lie from 0 to below 1; got {self.confidence:g}; certainty cannot be promised"
            )
        if self.changes < 0:
            raise ValueError(f"changes must be a whole number from 0; got {self.changes}; fix it")
        if not -1 <= self.salvage <= 1:
            raise ValueError(
                f"salvage must lie in [-1, 1]; got {self.salvage:g}; it is a share of the regular price, negative for disposal"
            )
