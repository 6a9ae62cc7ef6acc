"""Market descriptions: files, registered markets, random shops, variants, stress tests."""

from .checks import scenario_name
from .fields import ScenarioError
from .loading import load_scenario, registered, save_scenario, spec_from_table
from .periods import choice_model, floor_market, goal_market
from .sampler import sample_catalogue
from .spec import MarketSpec
from .stress import STRESSES, Stress, sample_variants

__all__ = [
    "STRESSES",
    "MarketSpec",
    "ScenarioError",
    "Stress",
    "choice_model",
    "floor_market",
    "goal_market",
    "load_scenario",
    "registered",
    "sample_catalogue",
    "sample_variants",
    "save_scenario",
    "scenario_name",
    "spec_from_table",
]
