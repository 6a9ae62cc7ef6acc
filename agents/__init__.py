"""Learning and classical policies on the simulated market."""

from .algorithms import ALGORITHMS
from .classical import best_fixed, myopic
from .league import League, league
from .run import Run, load_run
from .settings import Settings, settings_for
from .training import train

__all__ = [
    "ALGORITHMS",
    "League",
    "Run",
    "Settings",
    "best_fixed",
    "league",
    "load_run",
    "myopic",
    "settings_for",
    "train",
]
