"""Demand forecasts, backtests, price response, market trend, alarms and stock levels."""

from __future__ import annotations

from .alarms import find_alarms
from .backtest import backtest, forecasts_from, score, select
from .example import example_panel
from .market_paths import MarketPaths, MarketShock
from .models.base import QUANTILES, Forecaster
from .models.covariates import planned_columns
from .models.log_log import LogLogRegression
from .models.lstm import Lstm
from .models.naive import MovingAverage, SeasonalNaive
from .models.newcomers import Newcomers
from .models.pooled import PooledRegression
from .models.sarimax import Sarimax
from .models.smoothing import ExponentialSmoothing, Intermittent
from .price_response import CoefficientEstimate, Identification, PriceResponse, segment_response
from .replenishment import critical_fractile, fitted_dispersion, replenishment_levels
from .selected import Selected, candidates, with_stores
from .trend import MarketTrend

__all__ = [
    "QUANTILES",
    "CoefficientEstimate",
    "ExponentialSmoothing",
    "Forecaster",
    "Identification",
    "Intermittent",
    "LogLogRegression",
    "Lstm",
    "MarketPaths",
    "MarketShock",
    "MarketTrend",
    "MovingAverage",
    "Newcomers",
    "PooledRegression",
    "PriceResponse",
    "Sarimax",
    "SeasonalNaive",
    "Selected",
    "backtest",
    "candidates",
    "critical_fractile",
    "example_panel",
    "find_alarms",
    "fitted_dispersion",
    "forecasts_from",
    "planned_columns",
    "replenishment_levels",
    "score",
    "segment_response",
    "select",
    "with_stores",
]
