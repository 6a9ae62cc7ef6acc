"""Ask a price service and always get an answer: from the service, from the bundle at hand, or the last known price.

Needs neither torch nor the server; without a bundle, the standard library alone.
"""

from .answers import AnsweredPrices, RefusedError, UnansweredError
from .price_client import PriceClient

__all__ = ["AnsweredPrices", "PriceClient", "RefusedError", "UnansweredError"]
