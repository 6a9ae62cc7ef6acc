"""What determines a league: its plan, its settings, and which sellers may share a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...envs import OWN, MultiSellerMarket
from ...scenarios import MarketSpec
from ..algorithms import algorithm
from ..settings import Settings, settings_for

# Log of the initial standard deviation of a raw action, whose range is a factor of 4 either way for
# a rival without bounds.
_DEVIATION = -0.7
# Settings that are fixed in a league.
_ONLY = {
    "product_wise": False,
    "history": 1,
    "actions": "continuous",
    "price_reach": 0.0,
    "variants": 0,
    "normalise": False,
    "networks": 1,
}


@dataclass(frozen=True)
class LeaguePlan:
    """Everything that determines a league; the arguments of `league`."""

    spec: MarketSpec
    algo: str
    rounds: int
    steps: int
    seed: int
    shared: bool
    settings: Settings

    @property
    def identity(self) -> dict[str, Any]:
        """The plan as JSON, by which a folder recognises its league."""
        return {
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "algo": self.algo,
            "rounds": self.rounds,
            "steps": self.steps,
            "seed": self.seed,
            "shared": self.shared,
            "settings": self.settings.to_dict(),
        }


def league_settings(spec: MarketSpec, algo: str, given: Mapping[str, Any] | None, shared: bool) -> Settings:
    """The preset with the defaults of a league.

    Raises:
        ValueError: A setting that a league does not support.
    """
    wanted: dict[str, Any] = {"validation_episodes": 64, **_ONLY}
    if "log_std_init" in algorithm(algo).options:
        wanted["log_std_init"] = _DEVIATION
    if shared:
        wanted["base_price"] = "regular"
    settings = settings_for(spec, algo, wanted | dict(given or {}), algorithm(algo).options)
    for name, only in _ONLY.items():
        if getattr(settings, name) != only:
            raise ValueError(f"{name} must be {only} in a league; got {getattr(settings, name)}; leave it out")
    if settings.reward not in ("drawn", "expected"):
        raise ValueError(f"reward must be drawn or expected in a league; got {settings.reward}; choose one")
    if shared and settings.base_price != "regular":
        raise ValueError(
            f"base_price must be regular where sellers share a network; got {settings.base_price}; leave it out"
        )
    return settings


def check_symmetric(sellers: MultiSellerMarket) -> None:
    """ValueError unless the same raw price means the same for every seller."""
    own = np.array(sellers.learner_view.layout.logs)
    for seller, offers in sellers.offers.items():
        alike = sellers.columns[seller] == sellers.columns[OWN] and (
            sellers.observation_spaces[seller] == sellers.observation_spaces[OWN]
        )
        if not alike or not np.allclose([log[offers] for log in sellers.reach], own[:, None], atol=1e-4):
            raise ValueError(
                f"sellers that share a network must have the same observations, actions and price bounds; got {seller}, "
                "which differs from own; leave shared out, or give both the same offers, floor and ceiling"
            )
