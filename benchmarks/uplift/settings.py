"""What determines the result of a shop: the same settings give the same figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...forecasting import candidates
from .history import DEALS, FAMILIES, weeks_of
from .parameters import SIZES

BOUNDS = ("default", "free", "charged", "charged+10%", "charged+20%")
"""Price bounds: those of `fit`; .5 to 1.3 of the regular price; what was charged, and up to 10
or 20% beyond.
"""
FORECASTERS = ("selected", *candidates(seed=0))


@dataclass(frozen=True)
class StudySettings:
    """How a shop is drawn, fitted and evaluated.

    Attributes:
        truth: The family of shops.
        products: 12 in 2 categories, or 30 in 5.
        weeks: Weeks of history; None for the family's own.
        bounds: One of `BOUNDS`.
        forecaster: The demand model; "selected", the default of `repricer fit`, takes longest.
        steps: Training steps; `repricer train` takes 300,000.
        episodes: Test episodes of the evaluation.

    Raises:
        ValueError: A value is not allowed.

    Example:
        >>> StudySettings("clean").lines()[0]
        'clean: 12 products, 104 weeks; price bounds free'
    """

    truth: str
    products: int = 12
    weeks: int | None = None
    bounds: str = "free"
    forecaster: str = "moving-average"
    steps: int = 20_000
    episodes: int = 200

    def __post_init__(self) -> None:
        choices = {"truth": FAMILIES, "products": tuple(SIZES), "bounds": BOUNDS, "forecaster": FORECASTERS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                listed = ", ".join(map(str, allowed))
                raise ValueError(f"{name} must be one of {listed}; got '{getattr(self, name)}'; choose one of them")
        for name in ("weeks", "steps", "episodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more; got {value}; ask for more")

    @property
    def over_current(self) -> bool:
        """Whether gains are over the shop's current prices, deals and all; else over regular prices."""
        return self.truth in DEALS

    def lines(self) -> list[str]:
        """The settings in words, for the table."""
        weeks = self.weeks or weeks_of(self.truth)
        return [
            f"{self.truth}: {self.products} products, {weeks} weeks; price bounds {self.bounds}",
            f"forecaster {self.forecaster}, {self.steps:,} training steps, {self.episodes} test episodes; "
            f"gains over {'current' if self.over_current else 'regular'} prices",
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
