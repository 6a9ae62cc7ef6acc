"""Decisions under the posterior of a market: mean money over its draws, prices that maximise it, risk."""

from .money import Draws, PosteriorMoney, draws_of
from .prices import best_fixed_prices, best_prices, has_closed_form
from .risk import cautious_prices, current_prices, draw_pool, risk_value, worst_share

__all__ = [
    "Draws",
    "PosteriorMoney",
    "best_fixed_prices",
    "best_prices",
    "cautious_prices",
    "current_prices",
    "draw_pool",
    "draws_of",
    "has_closed_form",
    "risk_value",
    "worst_share",
]
