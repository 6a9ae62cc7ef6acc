"""Learning and classical policies on the simulated market."""

from .algorithms import ALGORITHMS
from .classical import best_fixed, myopic
from .run import Run, load_run
from .settings import Settings, settings_for
from .training import train

__all__ = ["ALGORITHMS", "Run", "Settings", "best_fixed", "load_run", "myopic", "settings_for", "train"]
