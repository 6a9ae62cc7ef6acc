"""Demand forecasters, price response, market trend and backtests."""

from __future__ import annotations

from .backtest import backtest, select
from .base import QUANTILES, Forecaster
from .naive import MovingAverage, SeasonalNaive
from .price_response import Estimate, PriceResponse, ReferenceEffect, segment_response
from .sarimax import Sarimax
from .trend import MarketTrend, TrendScore

__all__ = [
    "QUANTILES",
    "Estimate",
    "Forecaster",
    "MarketTrend",
    "MovingAverage",
    "PriceResponse",
    "ReferenceEffect",
    "Sarimax",
    "SeasonalNaive",
    "TrendScore",
    "backtest",
    "segment_response",
    "select",
]
