"""Export a policy as a signed bundle and price with it; reading a bundle needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

from .bundle.files import BundleError
from .bundle.reading import Bundle, load_bundle
from .decision_log.chain import ChainError
from .exporter.export import export
from .market_state import StateError
from .predictor import Predictor, PriceAnswer
from .sample_states import example_state

if TYPE_CHECKING:
    from .decision_log.log import DecisionLog

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


def __getattr__(name: str) -> Any:
    """Load the decision log on first use: it needs the `serve` extra, and a bundle does not."""
    if name == "DecisionLog":
        return importlib.import_module(".decision_log.log", __name__).DecisionLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
