"""Ship a policy as a signed bundle and answer price questions from it; reading one needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

from .bundle import Bundle, load_bundle
from .chain import ChainError
from .exporting import export
from .files import BundleError
from .predictor import Predictor, PriceAnswer
from .state import StateError, example_state

if TYPE_CHECKING:
    from .decisions import DecisionLog

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
    """The log is loaded when it is first used: it needs the `serve` extra, and a bundle does not."""
    if name == "DecisionLog":
        return importlib.import_module(".decisions", __name__).DecisionLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
