"""What the fitted models say, in the order of the market's products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.weeks import WEEK
from ..scenarios.sections import Fairness, Shocks
from .demand import FittedDemand
from .halves import HalvedDemand

Array = NDArray[np.float64]


def why_held(products: pd.DataFrame) -> list[str | None]:
    """N reasons for which products that are in a market are not priced, of their column `held`; None for those priced.

    Args:
        products: As of `data.choose_market`, or without such a column.

    Example:
        >>> why_held(pd.DataFrame({"product": ["tea", "mate"], "held": [None, "it is too new"]}))
        [None, 'it is too new']
    """
    if "held" not in products:
        return [None] * len(products)
    return [why if isinstance(why, str) and why else None for why in products["held"].tolist()]


@dataclass(frozen=True)
class ChargedPrices:
    """What the shop charged, which its price rules refer to; known before anything is fitted.

    Args:
        products: One row per product, which fixes the order of N: `product`, `name`, `category`
            and, where known, `unit_cost` and `vat`.
        regular_price: (N,) usual price of the history, currency per unit.
        charged: (2, N) low and high end of the prices charged in the past, currency per unit.
    """

    products: pd.DataFrame
    regular_price: Array
    charged: Array

    @property
    def not_priced(self) -> list[str | None]:
        """N reasons for which a product keeps its planned prices, clauses; None for one that is priced."""
        return why_held(self.products)


@dataclass(frozen=True)
class FittedModels(ChargedPrices):
    """What the fitted models say about N products, K segments and the T weeks to simulate.

    Args:
        products: As in `ChargedPrices`, like `regular_price` and `charged`.
        first_day: First day of the first week to simulate.
        forecast: (T, N) mean units of a product when all are at their regular prices.
        planned: (T, N) mean units at `current_price`, with the displays and mailers of those weeks.
        overdispersion: (N,) variance of the gamma multiplier of a product's demand.
        levels: (2, C) low and high end of the mean price of a category over its regular prices, as it
            was charged in the past.
        demand: The choice model of every category, with its posterior.
        segments: K names.
        affinity: (K, N) recommender scores; None if the sales name no customers.
        candidates: (K, N) 1 where a product may be recommended to a segment; None if the sales name
            no customers.
        high_units: (N,) weekly units in the busiest past weeks (a high quantile).
        past_price: (B, N) the prices charged in the weeks before them, oldest first, currency per unit.
        current_price: (T, N) the shop's own prices in the weeks to simulate, currency per unit: charged
            or, in weeks to come, planned.
        sold_units: (T, N) units sold in those weeks; None if they are still to come.
        shocks: Market-wide shocks of the arrivals.
        current_promotion: (T, N) share of stores with a display or mailer in the weeks to simulate, if
            promotions are a decision, else None.
        unidentified: N reasons for which the sales do not identify a product's answer to its price, so that it keeps its
            planned prices; None for one that they identify, and instead of all for all identified.
        plan: How the prices of weeks to come are known, in sentences.
        initial_units: (N,) units on hand at the start, NaN where not known; None for all.
        period: Length of a week, which is a day for a market of days.
        protected: Shares of protected groups in each segment; None for none.
        halves: The demand of each half of the sales; None where no prices are to be found.

    Example:
        >>> from dataclasses import replace
        >>> busier = replace(models, forecast=1.2 * models.forecast)  # doctest: +SKIP
    """

    first_day: pd.Timestamp
    forecast: Array
    planned: Array
    overdispersion: Array
    levels: Array
    demand: FittedDemand
    segments: tuple[str, ...]
    affinity: Array | None
    candidates: Array | None
    high_units: Array
    past_price: Array
    current_price: Array
    sold_units: Array | None
    shocks: Shocks | None = None
    current_promotion: Array | None = None
    unidentified: Sequence[str | None] | None = None
    plan: tuple[str, ...] = ()
    initial_units: Array | None = None
    period: pd.Timedelta = WEEK
    protected: Fairness | None = None
    halves: HalvedDemand | None = None

    @property
    def not_priced(self) -> list[str | None]:
        """N reasons, as of `ChargedPrices`; what the table of products says of one comes first."""
        chosen = super().not_priced
        if self.unidentified is None:
            return chosen
        return [why or found for why, found in zip(chosen, self.unidentified, strict=True)]

    @property
    def to_come(self) -> bool:
        """Whether the weeks to simulate come after the data."""
        return self.sold_units is None

    @property
    def weeks(self) -> pd.DatetimeIndex:
        """The T weeks to simulate."""
        return pd.date_range(self.first_day, periods=len(self.forecast), freq=self.period)
