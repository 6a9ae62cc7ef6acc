"""Gymnasium ids of the scenarios, registered on `import repricer`."""

from __future__ import annotations

from .checks import is_name
from .loading import gymnasium_id, scenario_sources


def register() -> None:
    """Register `repricer/Market-v0`, which takes `scenario=`, and one id per registered scenario.

    A scenario of another package with an invalid name is skipped, so that `import repricer` works;
    `registered` reports it when a scenario is loaded.
    """
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    names = [name for name, _ in scenario_sources() if is_name(name)]
    scenarios = {gymnasium_id(name): {"scenario": name} for name in names} | {gymnasium_id("market"): {}}
    for env_id, kwargs in scenarios.items():
        if env_id in registry:
            continue
        gymnasium_register(
            env_id,
            entry_point="repricer.envs:MarketEnv",
            vector_entry_point="repricer.envs:MarketVectorEnv",
            kwargs=kwargs,
        )
