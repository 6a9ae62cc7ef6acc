"""Demand by likelihood: the market's own choice model, with a posterior."""

from .category_model import CategoryData, CategoryModel
from .category_rows import CONTROL, PROMOTION, REFERENCE, SegmentUnits
from .cross_elasticities import cross_elasticities
from .estimation import CategoryPosterior, estimate
from .fitted_demand import DemandAtRegular, FittedDemand, fit_demand
from .priors import Priors
from .remembered_price import RememberedPrice
from .sales_grids import SalesGrids

__all__ = [
    "CONTROL",
    "PROMOTION",
    "REFERENCE",
    "CategoryData",
    "CategoryModel",
    "CategoryPosterior",
    "DemandAtRegular",
    "FittedDemand",
    "Priors",
    "RememberedPrice",
    "SalesGrids",
    "SegmentUnits",
    "cross_elasticities",
    "estimate",
    "fit_demand",
]
