"""Price response: elasticities of products, categories and segments, and substitution between products."""

from __future__ import annotations

from .hausman import hausman_panel
from .identification import Identification
from .least_squares import CoefficientEstimate
from .logit import LogitDemand, logit_elasticities
from .price_response import PriceResponse
from .segments import segment_category_response, segment_response
from .substitution import Substitution

__all__ = [
    "CoefficientEstimate",
    "Identification",
    "LogitDemand",
    "PriceResponse",
    "Substitution",
    "hausman_panel",
    "logit_elasticities",
    "segment_category_response",
    "segment_response",
]
