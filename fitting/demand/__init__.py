"""Demand by likelihood: the market's own choice model, with a posterior."""

from .candidate_models import RememberedPrice
from .category_model import CategoryData, CategoryModel
from .category_rows import CONTROL, SegmentUnits
from .cross_elasticities import cross_elasticities
from .estimation import CategoryPosterior, estimate
from .fitted_demand import DemandAtRegular, FittedDemand
from .lasting_response import LastingResponse, between_stores, lasting_response
from .priors import Priors
from .problem import Problem
from .sales_grids import SalesGrids

__all__ = [
    "CONTROL",
    "CategoryData",
    "CategoryModel",
    "CategoryPosterior",
    "DemandAtRegular",
    "FittedDemand",
    "LastingResponse",
    "Priors",
    "Problem",
    "RememberedPrice",
    "SalesGrids",
    "SegmentUnits",
    "between_stores",
    "cross_elasticities",
    "estimate",
    "lasting_response",
]
