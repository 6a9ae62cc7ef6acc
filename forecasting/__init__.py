"""Demand forecasters, price response, market trend, alarms, stock levels and backtests."""

from __future__ import annotations

from .alarms import find_alarms
from .backtest import backtest, forecasts_from, score, select
from .base import QUANTILES, Forecaster
from .covariates import PLANNED
from .lstm import Lstm
from .naive import MovingAverage, SeasonalNaive
from .newcomers import Newcomers
from .pooled import PooledRegression
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
from .selected import Selected, candidates
from .smoothing import ExponentialSmoothing, Intermittent
from .trend import MarketPaths, MarketShock, MarketTrend

__all__ = [
    "PLANNED",
    "QUANTILES",
    "Estimate",
    "ExponentialSmoothing",
    "Forecaster",
    "Identification",
    "Intermittent",
    "LogitDemand",
    "Lstm",
    "MarketPaths",
    "MarketShock",
    "MarketTrend",
    "MovingAverage",
    "Newcomers",
    "PooledRegression",
    "PriceResponse",
    "ReferenceEffect",
    "Sarimax",
    "SeasonalNaive",
    "Selected",
    "Substitution",
    "backtest",
    "candidates",
    "critical_fractile",
    "find_alarms",
    "fitted_dispersion",
    "forecasts_from",
    "hausman_panel",
    "logit_elasticities",
    "replenishment_levels",
    "score",
    "segment_category_response",
    "segment_response",
    "select",
]
