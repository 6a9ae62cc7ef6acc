"""Price response by regression: elasticities of products, categories and segments."""

from __future__ import annotations

from .identification import Identification
from .least_squares import CoefficientEstimate
from .price_response import PriceResponse
from .segments import segment_response

__all__ = [
    "CoefficientEstimate",
    "Identification",
    "PriceResponse",
    "segment_response",
]
