"""From sale lines to the labelled panel that every model is fitted on."""

from .aggregation import (
    WHOLE_SHOP,
    carried_forward,
    open_weeks,
    sales_panel,
    store_price_gaps,
    whole_weeks,
    with_prices,
    with_regular_prices,
)
from .context import context_ahead, context_by_store
from .regular_prices import regular_prices
from .weekly import product_weeks, traffic_unit, weekly_table

__all__ = [
    "WHOLE_SHOP",
    "carried_forward",
    "context_ahead",
    "context_by_store",
    "open_weeks",
    "product_weeks",
    "regular_prices",
    "sales_panel",
    "store_price_gaps",
    "traffic_unit",
    "weekly_table",
    "whole_weeks",
    "with_prices",
    "with_regular_prices",
]
