"""Learned and classical pricing policies for the simulated market.

`presets/` holds one TOML file of default settings per algorithm; those of SAC are in `sac.toml`.
"""

from .agent_policy import policy_from
from .algorithms import ALGORITHMS
from .classical import best_fixed, myopic, time_only
from .leagues import League, league
from .logged_data import LoggedData, record_policy
from .run import Run, load_run
from .settings import Settings, settings_for
from .training import train

__all__ = [
    "ALGORITHMS",
    "League",
    "LoggedData",
    "Run",
    "Settings",
    "best_fixed",
    "league",
    "load_run",
    "myopic",
    "policy_from",
    "record_policy",
    "settings_for",
    "time_only",
    "train",
]
