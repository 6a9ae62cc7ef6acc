"""One frozen market description, its files, the textbook markets and the builder from fitted models."""

from .errors import ScenarioError
from .loading import load_scenario, registered, save_scenario, spec_from_table
from .spec import MarketSpec

__all__ = ["MarketSpec", "ScenarioError", "load_scenario", "registered", "save_scenario", "spec_from_table"]
