"""How demand responds to prices, displays and mailers, as the fitted market holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from sklearn.base import clone

from ..forecasting import CoefficientEstimate, PriceResponse

PROMOTION = "promotion"
_OTHER_PRICES = "rival_log_price"


@dataclass(frozen=True)
class DemandResponse:
    """The fitted price response, with and without the promotions that come with price reductions.

    Attributes:
        prices: Response to a price reduction together with the displays and mailers that usually
            came with it; the prices of the category's other products are held fixed.
        alone: The same with displays and mailers held fixed too. It equals `prices` if none are
            recorded, or if they are a decision of their own (`decided`).
        usual: Displays and mailers (share of stores) that came with a reduction of one log point.
        decided: Whether displays and mailers are a decision in the market.
    """

    prices: PriceResponse
    alone: PriceResponse
    usual: float
    decided: bool

    @classmethod
    def fit(cls, past: pd.DataFrame, promotions: bool) -> DemandResponse:
        """Fit the response on the weekly panel.

        Args:
            past: The panel of `data.product_weeks`.
            promotions: Whether displays and mailers are to be a decision in the market.

        Raises:
            ValueError: They are, but the panel does not record them, or they always move with the
                prices.
        """
        past = past.assign(**{_OTHER_PRICES: _other_log_price(past)})
        response = PriceResponse(controls=(_OTHER_PRICES,) if past[_OTHER_PRICES].any() else ())
        alone = response.fit(past)
        recorded = PROMOTION in alone.control_effects_
        if promotions and not recorded:
            raise ValueError(
                "promotions must be recorded, and vary independently of prices, to be a decision; got none in the "
                "tables; import a promotions table or leave promotions out"
            )
        if promotions or not recorded:
            return cls(alone, alone, 0.0, decided=promotions)
        depth, promotion = _depth(past), past[PROMOTION]
        depth, promotion = (column - column.groupby(past["product"]).transform("mean") for column in (depth, promotion))
        usual = float((depth * promotion).sum() / (depth**2).sum())
        together = cast(PriceResponse, clone(response)).fit(past.drop(columns=PROMOTION))
        return cls(together, alone, usual, decided=False)

    @property
    def exposure(self) -> CoefficientEstimate | None:
        """Effect of a display or mailer in all stores on log units; None if none are recorded."""
        return self.alone.control_effects_.get(PROMOTION)

    @property
    def substitution(self) -> float:
        """Response to the category's other prices relative to that to the own price, in [0, 1]."""
        others = self.prices.control_effects_.get(_OTHER_PRICES, CoefficientEstimate(0.0, 0.0))
        return float(np.clip(-others.coefficient / self.prices.pooled_.coefficient, 0.0, 1.0))


def _other_log_price(rows: pd.DataFrame) -> pd.Series:
    """Mean log price of the category's other products in that week; 0 if there are none."""
    price = pd.Series(np.log(rows["price"].where(rows["price"] > 0)), rows.index)
    category = price.groupby([rows["category"], rows["week"]])
    count = category.transform("count") - price.notna()
    return ((category.transform("sum") - price.fillna(0.0)) / count.where(count > 0)).fillna(0.0)


def _depth(rows: pd.DataFrame) -> pd.Series:
    """Log points by which a price lies below the regular one."""
    return pd.Series(np.log(rows["regular_price"] / rows["price"]), rows.index).fillna(0.0)
