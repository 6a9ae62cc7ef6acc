"""repricer: learn prices in a simulated market fitted on a shop's own data, prove what they earn, serve them.

The names below are loaded when they are first used, so that `import repricer` is quick and a price server, which has
no torch and no Gymnasium, can import the package.
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Run, train
    from .data import import_tables
    from .envs import Market, make_sb3_env, rollout
    from .evaluation import evaluate
    from .pricing import Guardrails, Policy, PriceLadder
    from .scenarios import MarketSpec, load_scenario
    from .serving import export, load_bundle

__version__ = version("repricer")

_HOMES = {
    "Guardrails": "pricing",
    "Market": "envs",
    "MarketSpec": "scenarios",
    "Policy": "pricing",
    "PriceLadder": "pricing",
    "Run": "agents",
    "evaluate": "evaluation",
    "export": "serving",
    "import_tables": "data",
    "load_bundle": "serving",
    "load_scenario": "scenarios",
    "make_sb3_env": "envs",
    "rollout": "envs",
    "train": "agents",
}

__all__ = [
    "Guardrails",
    "Market",
    "MarketSpec",
    "Policy",
    "PriceLadder",
    "Run",
    "evaluate",
    "export",
    "import_tables",
    "load_bundle",
    "load_scenario",
    "make_sb3_env",
    "rollout",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repricer' has no attribute {name!r}; public names are {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if importlib.util.find_spec("gymnasium"):
    # Absolute, unlike elsewhere: pytest also runs this file by itself, under the name of the checkout's folder.
    from repricer.scenarios.registration import register

    register()
