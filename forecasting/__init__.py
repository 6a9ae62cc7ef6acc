"""Demand forecasters, price response, market trend, alarms, stock levels and backtests."""

from __future__ import annotations

from .alarms import find_alarms
from .backtest import backtest, select
from .base import QUANTILES, Forecaster
from .naive import MovingAverage, SeasonalNaive
from .price_response import Estimate, PriceResponse, ReferenceEffect, segment_response
from .replenishment import critical_fractile, fitted_dispersion, replenishment_levels
from .sarimax import Sarimax
from .trend import MarketPaths, MarketShock, MarketTrend

__all__ = [
    "QUANTILES",
    "Estimate",
    "Forecaster",
    "MarketPaths",
    "MarketShock",
    "MarketTrend",
    "MovingAverage",
    "PriceResponse",
    "ReferenceEffect",
    "Sarimax",
    "SeasonalNaive",
    "backtest",
    "critical_fractile",
    "find_alarms",
    "fitted_dispersion",
    "replenishment_levels",
    "segment_response",
    "select",
]
