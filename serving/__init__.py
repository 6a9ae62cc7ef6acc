"""Ship a policy as a signed bundle and answer price questions from it; reading one needs no torch."""

from .bundle import Bundle, load_bundle
from .decisions import ChainError, DecisionLog
from .exporting import export
from .files import BundleError
from .predictor import Predictor, PriceAnswer
from .state import StateError, example_state

__all__ = [
    "Bundle",
    "BundleError",
    "ChainError",
    "DecisionLog",
    "Predictor",
    "PriceAnswer",
    "StateError",
    "example_state",
    "export",
    "load_bundle",
]
