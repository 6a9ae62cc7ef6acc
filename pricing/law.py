"""The law on prices: what four jurisdictions require, and the formulas by which simulator, list and service keep it.

No legal advice: `docs/rules.md` says for each statute its source and date, what is done, and what is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
Jurisdiction = Literal["EU", "NY", "MD", "CA"]
JURISDICTIONS: tuple[Jurisdiction, ...] = get_args(Jurisdiction)
"""The European Union, New York, Maryland, California."""
PRIOR_DAYS = 30
"""Days before a reduction whose lowest price is its prior price: Directive 98/6/EC, article 6a(2)."""
SOURCES = ("not-stated", "public", "own-observation", "licensed", "shared")
"""Where prices of competitors may come from, as a shop says it; the last are data that competitors shared."""
NOTICES: Mapping[str, str] = MappingProxyType(
    {
        "EU": "This price was personalised on the basis of automated decision-making.",
        "NY": "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA",
    }
)
"""What must stand beside a personal price, by jurisdiction; New York's sentence is the statute's own."""
# Prices whose relative difference is no larger are the same price: they differ in their last bits.
_SAME = np.float32(1e-6)


@dataclass(frozen=True)
class Law:
    """What the law says of the prices of one market.

    Args:
        jurisdictions: Whose law holds, of `JURISDICTIONS`.
        food_store: Whether it is a food store by Maryland's law; True where not known.
        progressive: Whether the member state lets a reduction that is increased keep its prior price (article 6a(5)).
        perishable: (N,) products whose prior price is the price just before, where the member state has it so (6a(3)).

    Raises:
        ValueError: A jurisdiction is not known.

    Example:
        >>> Law(("MD", "NY")).personal_prices, Law(("NY",)).personal_prices
        (False, True)
    """

    jurisdictions: tuple[str, ...] = ()
    food_store: bool = True
    progressive: bool = False
    perishable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if strange := [name for name in self.jurisdictions if name not in JURISDICTIONS]:
            must = f"jurisdictions must be of {', '.join(JURISDICTIONS)}"
            raise ValueError(f"{must}; got {strange[0]!r:.40}; choose from them")

    @property
    def personal_prices(self) -> bool:
        """Whether one customer may pay another price than the next."""
        return not ("MD" in self.jurisdictions and self.food_store)

    @property
    def states_prior(self) -> bool:
        """Whether an announced reduction must show its prior price."""
        return "EU" in self.jurisdictions

    def notices(self, asked: str | None = None) -> dict[str, str]:
        """The sentences beside a personal price, by jurisdiction; `asked`: of this one alone."""
        return {name: NOTICES[name] for name in self.jurisdictions if name in NOTICES and asked in (None, name)}

    def announced(self, price: Floats, current: Floats, lowest: Floats, running: Floats | None) -> Floats:
        """`prior_price` by this law."""
        return prior_price(price, current, lowest, running, progressive=self.progressive, perishable=self.perishable)


def prior_periods(period_days: int) -> int:
    """The fewest whole periods that make 30 days.

    Args:
        period_days: Length of a period, days.

    Example:
        >>> prior_periods(7), prior_periods(1), prior_periods(31)
        (5, 30, 1)
    """
    return math.ceil(PRIOR_DAYS / period_days)


def prior_price(
    price: ArrayLike,
    current: ArrayLike,
    lowest: ArrayLike,
    running: ArrayLike | None = None,
    *,
    progressive: bool = False,
    perishable: NDArray[np.bool_] | None = None,
) -> Floats:
    """The prior price of an announced reduction, by Directive 98/6/EC, article 6a.

    A price that falls is a reduction from the lowest price of the 30 days before it. While the price stays, so does its
    prior price: the 30 days are those before the reduction was applied. A price that is not below its prior price is
    no reduction and not announced as one (Court of Justice, C-330/23).

    Args:
        price: (…, N) the price to come, currency per unit.
        current: (…, N) the price before it.
        lowest: (…, N) the lowest price of the 30 days before, the current one included; NaN where not known.
        running: (…, N) the prior price that the current price is announced with, NaN where it is not announced as a
            reduction; None where none is.
        progressive: Whether a reduction that is increased keeps the prior price of its first step.
        perishable: (N,) products whose prior price is the current one, whatever the 30 days.

    Returns:
        (…, N) currency per unit; NaN where no reduction is announced.

    Example:
        >>> prior_price([8.0, 9.5, 8.0], [10.0, 10.0, 8.0], [9.0, 9.0, 8.0], [np.nan, np.nan, 9.0])
        array([ 9., nan,  9.], dtype=float32)
    """
    price, current, lowest = (np.asarray(each, np.float32) for each in (price, current, lowest))
    unannounced = np.float32(np.nan)
    falls = price < current * (1 - _SAME)
    reduced_from = lowest if perishable is None else np.where(perishable, current, lowest)
    prior = np.where(falls, reduced_from, unannounced)
    if running is not None:
        stays = ~falls & (price <= current * (1 + _SAME))
        keeps_first_step = falls & progressive
        running_prior = np.asarray(running, np.float32)
        prior = np.where((stays | keeps_first_step) & np.isfinite(running_prior), running_prior, prior)
    return np.where(price < prior * (1 - _SAME), prior, unannounced)


def reduction(price: ArrayLike, prior: ArrayLike) -> NDArray[np.float64]:
    """The reduction that may be announced, a share of the prior price, rounded down to a hundredth of a percent.

    Args:
        price: (…) currency per unit.
        prior: (…) `prior_price`, NaN for none.

    Example:
        >>> reduction([8.0, 2.0], [9.0, np.nan])
        array([0.1111,    nan])
    """
    charged, before = (_seven_digits(np.asarray(each, np.float64)) for each in (price, prior))
    # What is added undoes the rounding of the division: 20% stays 20%.
    return np.floor((1 - charged / before) * 1e4 + 1e-6) / 1e4


def _seven_digits(price: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prices as single precision means them, 2.4 for 2.4000001."""
    unit = 10.0 ** (6 - np.floor(np.log10(price)))
    return np.round(price * unit) / unit


def announced_path(law: Law, price: Floats, before: Floats, periods: int) -> Floats:
    """The prior prices of planned prices, period after period.

    Args:
        law: The law of the market.
        price: (T, N) the prices, currency per unit.
        before: (P, N) the prices before them, oldest first, P at least `periods`.
        periods: Periods that make 30 days.

    Returns:
        (T, N) currency per unit; NaN where no reduction is announced.

    Example:
        >>> announced_path(Law(("EU",)), np.array([[8.0], [8.0], [9.0]]), np.array([[10.0], [10.0]]), 2).ravel()
        array([10., 10., nan], dtype=float32)
    """
    charged = np.concatenate([before[len(before) - periods :], price])
    running = np.full(price.shape[1:], np.nan, np.float32)
    found = []
    for t, now in enumerate(price):
        running = law.announced(now, charged[t + periods - 1], charged[t : t + periods].min(axis=0), running)
        found.append(running)
    return np.array(found)
