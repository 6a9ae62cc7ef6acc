"""Demand forecasters, price response, market trend, alarms, stock levels and backtests."""

from __future__ import annotations

from .alarms import find_alarms
from .backtest import backtest, select
from .base import QUANTILES, Forecaster
from .naive import MovingAverage, SeasonalNaive
from .replenishment import critical_fractile, fitted_dispersion, replenishment_levels
from .response import (
    Estimate,
    Identification,
    LogitDemand,
    PriceResponse,
    ReferenceEffect,
    Substitution,
    hausman_panel,
    logit_elasticities,
    segment_category_response,
    segment_response,
)
from .sarimax import Sarimax
from .trend import MarketPaths, MarketShock, MarketTrend

__all__ = [
    "QUANTILES",
    "Estimate",
    "Forecaster",
    "Identification",
    "LogitDemand",
    "MarketPaths",
    "MarketShock",
    "MarketTrend",
    "MovingAverage",
    "PriceResponse",
    "ReferenceEffect",
    "Sarimax",
    "SeasonalNaive",
    "Substitution",
    "backtest",
    "critical_fractile",
    "find_alarms",
    "fitted_dispersion",
    "hausman_panel",
    "logit_elasticities",
    "replenishment_levels",
    "segment_category_response",
    "segment_response",
    "select",
]
