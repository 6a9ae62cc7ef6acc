"""Learn prices in a simulated market fitted on a shop's data, evaluate them, and serve them.

Public names are imported when they are first used: `import repricer` is fast, and it works on a
price server, which has neither torch nor Gymnasium. The scenarios are registered once both are imported.

Example:
    >>> import repricer
    >>> spec = repricer.load_scenario("stationary-logit")
    >>> run = repricer.train(spec, steps=100_000)  # doctest: +SKIP
    >>> table = repricer.evaluate(spec, [run.policy, "best-fixed"])  # doctest: +SKIP
    >>> path = repricer.export(run, "bundle/")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
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
    # Absolute, as pytest also runs this file alone, under the name of the checkout's folder.
    from repricer.scenarios.loading import register  # pyright: ignore[reportMissingImports]

    register()


class _WithGymnasium(MetaPathFinder):
    """Registers the scenarios once Gymnasium is loaded, however often it is looked for before.

    Gymnasium has no entry point for that since 1.0, and importing it here would slow down every start, also of a price
    service.
    """

    of_repricer = True

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        # This file may be loaded twice, and two that asked each other would never end.
        others = [finder for finder in sys.meta_path if not hasattr(finder, "of_repricer")]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            _register()

        spec.loader.exec_module = load_and_register
        return spec


if sys.modules.get("gymnasium"):  # None stands for one that must not be imported
    _register()
else:
    sys.meta_path.insert(0, _WithGymnasium())
