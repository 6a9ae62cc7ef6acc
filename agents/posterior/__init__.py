"""Decisions under the posterior of a market: mean money over its draws, prices that maximise it, risk."""

from .money import PosteriorMoney, draws_of
from .prices import cautious_prices, current_prices, draw_pool, risk_value, worst_share

__all__ = ["PosteriorMoney", "cautious_prices", "current_prices", "draw_pool", "draws_of", "risk_value", "worst_share"]
