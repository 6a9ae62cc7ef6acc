"""The price response by regression: a check of the demand model, shown beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.panel.promotion_kinds import PROMOTION
from ..forecasting import PriceResponse
from ..forecasting.models.promotion_index import with_promotion_index

_OTHER_PRICES = "rival_log_price"


def price_regression(past: pd.DataFrame, *, promotions: bool = False) -> PriceResponse:
    """Log-log price response, displays, mailers (of several kinds, their index) and the category's other prices held fixed.

    Args:
        past: The panel of `data.product_weeks`.
        promotions: Whether displays and mailers are to be a decision in the market.

    Raises:
        ValueError: They are, but the panel does not record them, or they always move with the
            prices.

    Example:
        >>> from repricer.forecasting import example_panel
        >>> bool(price_regression(example_panel(elasticity=-2.0)).pooled_.coefficient < -1)
        True
    """
    past = with_promotion_index(past)
    past = past.assign(**{_OTHER_PRICES: _other_log_price(past)})
    # In a single category, the week effects and the own price hold the other prices already.
    several = "category" in past and len(past["category"].unique()) > 1
    response = PriceResponse(controls=(_OTHER_PRICES,) if several and past[_OTHER_PRICES].any() else ()).fit(past)
    if promotions and PROMOTION not in response.control_effects_:
        raise ValueError(
            "promotions must be recorded, and vary independently of prices, to be a decision; got none in the "
            "tables; import a promotions table or leave promotions out"
        )
    return response


def _other_log_price(rows: pd.DataFrame) -> pd.Series:
    """Mean log price of the category's other products in that week, each around its mean; 0 if there are none."""
    category = rows["category"] if "category" in rows else pd.Series("", rows.index)
    price = pd.Series(np.log(rows["price"].where(rows["price"] > 0)), rows.index)
    # The price level of a product that comes is no change of prices.
    price -= price.groupby(rows["product"]).transform("mean")
    grouped = price.groupby([category, rows["week"]])
    count = grouped.transform("count") - price.notna()
    return ((grouped.transform("sum") - price.fillna(0.0)) / count.where(count > 0)).fillna(0.0)
