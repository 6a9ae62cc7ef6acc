"""The simulated market: batched dynamics, and its adapters for learning libraries.

What needs Stable-Baselines3, and with it torch, is imported on first use: the Gymnasium adapters
start in a third of the time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .adapters.gym_env import MarketEnv
from .adapters.learner_view import LearnerView
from .adapters.multi_seller import (
    OWN,
    ConstantSellerPolicy,
    MarketParallelEnv,
    MixedSellerPolicy,
    MultiSellerMarket,
    SellerPolicy,
)
from .adapters.vector_env import MarketVectorEnv
from .kernels.expected_demand import catalogue_of, expected_units, rival_catalogue, rival_units
from .kernels.state import MarketState, Outcome
from .rollout import Episodes, rollout
from .seeds import seed_for
from .simulator import Market

if TYPE_CHECKING:
    from .adapters.sb3_env import BatchVecEnv, MarketVecEnv, SellerVecEnv, make_sb3_env

_NEEDS_SB3 = ("BatchVecEnv", "MarketVecEnv", "SellerVecEnv", "make_sb3_env")

__all__ = [
    "OWN",
    "BatchVecEnv",
    "ConstantSellerPolicy",
    "Episodes",
    "LearnerView",
    "Market",
    "MarketEnv",
    "MarketParallelEnv",
    "MarketState",
    "MarketVecEnv",
    "MarketVectorEnv",
    "MixedSellerPolicy",
    "MultiSellerMarket",
    "Outcome",
    "SellerPolicy",
    "SellerVecEnv",
    "catalogue_of",
    "expected_units",
    "make_sb3_env",
    "rival_catalogue",
    "rival_units",
    "rollout",
    "seed_for",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_SB3:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names are {', '.join(__all__)}")
    return getattr(importlib.import_module(".adapters.sb3_env", __name__), name)
