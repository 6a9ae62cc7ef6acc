"""Gymnasium ids of the scenarios, registered when `repricer` is imported."""

from __future__ import annotations

from .loading import registered


def gymnasium_id(scenario: str) -> str:
    """`stationary-logit` is `repricer/StationaryLogit-v0`."""
    return f"repricer/{''.join(word.capitalize() for word in scenario.split('-'))}-v0"


def register() -> None:
    """Register `repricer/Market-v0`, which takes `scenario=`, and an id for each registered scenario."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    scenarios = {"repricer/Market-v0": {}} | {gymnasium_id(name): {"scenario": name} for name in registered()}
    for env_id, kwargs in scenarios.items():
        if env_id in registry:
            continue
        gymnasium_register(
            env_id,
            entry_point="repricer.envs:MarketEnv",
            vector_entry_point="repricer.envs:MarketVectorEnv",
            kwargs=kwargs,
        )
