"""Learn prices in a simulated market fitted on a shop's data, evaluate them, and serve them.

Public names are imported when they are first used: `import repricer` needs no torch, and it works on a
price server, which has no Gymnasium either. Where there is Gymnasium, it registers the scenarios.

Example:
    >>> import repricer
    >>> spec = repricer.load_scenario("stationary-logit")
    >>> run = repricer.train(spec, steps=100_000)  # doctest: +SKIP
    >>> table = repricer.evaluate(spec, [run.policy, "best-fixed"])  # doctest: +SKIP
    >>> path = repricer.export(run, "bundle/")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Run, policy_from, train
    from .data import import_tables
    from .envs import Market, make_sb3_env, rollout
    from .evaluation import evaluate, what_if
    from .fitting import fit
    from .pricing import Action, Guardrails, Policy, PriceLadder
    from .scenarios import MarketSpec, load_scenario
    from .serving import Predictor, export, load_bundle

__version__ = version("repricer")

_HOMES = {
    "Action": "pricing",
    "Guardrails": "pricing",
    "Market": "envs",
    "MarketSpec": "scenarios",
    "Policy": "pricing",
    "Predictor": "serving",
    "PriceLadder": "pricing",
    "Run": "agents",
    "evaluate": "evaluation",
    "export": "serving",
    "fit": "fitting",
    "import_tables": "data",
    "load_bundle": "serving",
    "load_scenario": "scenarios",
    "make_sb3_env": "envs",
    "policy_from": "agents",
    "rollout": "envs",
    "train": "agents",
    "what_if": "evaluation",
}

__all__ = [
    "Action",
    "Guardrails",
    "Market",
    "MarketSpec",
    "Policy",
    "Predictor",
    "PriceLadder",
    "Run",
    "evaluate",
    "export",
    "fit",
    "import_tables",
    "load_bundle",
    "load_scenario",
    "make_sb3_env",
    "policy_from",
    "rollout",
    "train",
    "what_if",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repricer' has no attribute {name!r}; public names are {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    """Register the scenarios with Gymnasium, which has no entry point for that since 1.0; a price server has no Gymnasium."""
    try:
        import gymnasium  # noqa: F401
    except ImportError:
        return
    # Absolute, as pytest also runs this file alone, under the name of the checkout's folder.
    from repricer.scenarios.registration import register  # pyright: ignore[reportMissingImports]

    register()


_register()
