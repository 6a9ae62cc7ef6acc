"""From a shop's tables to a market that can be simulated.

`fit` runs every model; `build_market` turns fitted models into a `MarketSpec`, under stated
`Assumptions`.
"""

from .assumptions import Assumptions
from .fit_market import FittedMarket, fit
from .market_builder import FittedModels, build_market

__all__ = ["Assumptions", "FittedMarket", "FittedModels", "build_market", "fit"]
