"""The simulated market: batched dynamics and its Gymnasium and Stable-Baselines3 faces.

What needs Stable-Baselines3, and with it torch, is loaded when it is first used: the Gymnasium faces start in a third of the time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .expected import catalogue_of, expected_units, rival_catalogue, rival_units
from .face import Face
from .gym_env import MarketEnv
from .market import Market
from .parallel_env import MarketParallelEnv
from .rollout import Episodes, rollout
from .seeds import seed_for
from .sellers import OWN, Constant, Mixed, SeatPolicy, Sellers
from .state import MarketState, Outcome
from .vector_env import MarketVectorEnv

if TYPE_CHECKING:
    from .sb3_env import BatchVecEnv, MarketVecEnv, make_sb3_env
    from .seat_env import SeatVecEnv

_HOMES = {
    "BatchVecEnv": "sb3_env",
    "MarketVecEnv": "sb3_env",
    "SeatVecEnv": "seat_env",
    "make_sb3_env": "sb3_env",
}

__all__ = [
    "OWN",
    "BatchVecEnv",
    "Constant",
    "Episodes",
    "Face",
    "Market",
    "MarketEnv",
    "MarketParallelEnv",
    "MarketState",
    "MarketVecEnv",
    "MarketVectorEnv",
    "Mixed",
    "Outcome",
    "SeatPolicy",
    "SeatVecEnv",
    "Sellers",
    "catalogue_of",
    "expected_units",
    "make_sb3_env",
    "rival_catalogue",
    "rival_units",
    "rollout",
    "seed_for",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names are {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
