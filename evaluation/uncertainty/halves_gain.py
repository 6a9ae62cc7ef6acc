"""The gain of recommended prices by the sales on which they were found, beside that by the sales that score them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .draws import Gain


@dataclass(frozen=True)
class HalvesGain:
    """What recommended prices gain over the current ones, by the half of the sales that found them and by the other half.

    Attributes:
        of: What the sales were halved by: `stores`, `weeks`, or `draws` where both halves are draws of one posterior.
        own: The gain by the half on which the prices were found and chosen.
        other: The gain by the other half, which every table states.

    Example:
        >>> import numpy as np
        >>> own, other = (Gain.of(*(np.full((2, 2), money) for money in (m, 100.0, m, 100.0))) for m in (106.0, 104.0))
        >>> HalvesGain("stores", own, other).words("")
        'By the stores that they were found on, that is 6.0% more; by the other stores, which the figures here are from, 4.0% more.'
        >>> round(HalvesGain("stores", own, other).kept, 2)
        0.67
    """

    of: str
    own: Gain
    other: Gain

    @property
    def kept(self) -> float | None:
        """The gain by the other half over that by the own one; None where the latter is none."""
        return self.other.share / self.own.share if self.own.share > 0 else None

    def words(self, currency: str) -> str:
        """Both gains in a sentence, where stores or weeks were halved.

        Args:
            currency: Unit of money, as the verdict writes it.
        """
        return (
            f"By the {self.of} that they were found on, that is {self.own.more(currency)}; by the other {self.of}, which the "
            f"figures here are from, {self.other.more(currency)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return {"of": self.of, "own": self.own.to_dict(), "other": self.other.to_dict(), "kept": self.kept}
