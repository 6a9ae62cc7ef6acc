"""From sale lines to the weekly panel that every model is fitted on."""

from .context import context_ahead, context_by_store
from .regular_prices import regular_prices
from .store_weeks import store_weeks, with_regular_prices
from .weekly import product_weeks, thin_weeks, traffic_unit, whole_weeks

__all__ = [
    "context_ahead",
    "context_by_store",
    "product_weeks",
    "regular_prices",
    "store_weeks",
    "thin_weeks",
    "traffic_unit",
    "whole_weeks",
    "with_regular_prices",
]
