"""From a shop's tables to a market that can be simulated.

`fit` runs every model; `build_market` turns fitted models into a `MarketSpec`, under stated
`Assumptions`.
"""

from ..privacy.budget import Privacy
from .assumptions import Assumptions
from .catalogue_parts import catalogue_parts
from .demand import FittedDemand, Priors
from .fit_market import FittedMarket, fit
from .fit_report import not_priced
from .fitted_models import FittedModels
from .market_builder import build_market
from .refit import forecasts_since, products_gone, refit
from .shop_rules import ShopRules
from .split import market_products, priced_products
from .zones import Zone, price_zones, zone_tables

__all__ = [
    "Assumptions",
    "FittedDemand",
    "FittedMarket",
    "FittedModels",
    "Priors",
    "Privacy",
    "ShopRules",
    "Zone",
    "build_market",
    "catalogue_parts",
    "fit",
    "forecasts_since",
    "market_products",
    "not_priced",
    "price_zones",
    "priced_products",
    "products_gone",
    "refit",
    "zone_tables",
]
