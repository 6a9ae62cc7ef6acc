"""The simulated market: batched dynamics and its Gymnasium and Stable-Baselines3 faces."""

from .expected import catalogue_of, expected_units, rival_catalogue, rival_units
from .face import Face
from .gym_env import MarketEnv
from .market import Market
from .parallel_env import MarketParallelEnv
from .rollout import Episodes, rollout
from .sb3_env import BatchVecEnv, MarketVecEnv, make_sb3_env
from .seat_env import SeatVecEnv
from .seeds import seed_for
from .sellers import OWN, Constant, Mixed, SeatPolicy, Sellers
from .state import MarketState, Outcome
from .vector_env import MarketVectorEnv

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
