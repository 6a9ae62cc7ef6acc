"""Training settings: a preset's defaults, its block for the scenario, and what the caller overrides."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from typing import Any, Literal

from ..scenarios import MarketSpec

PRODUCT_WISE_FROM = 3
"""From this many products on, learning is product-wise unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a training run besides the scenario, the number of steps and the seed.

    Names are Stable-Baselines3's where it has one. num_envs: markets side by side. reward: "expected" or "drawn".
    base_price: "best-fixed" or "regular", what a raw price of zero means. evaluations: paired validations in a run.
    validation_episodes: markets in each. product_wise: one network row a product, or a market.
    """

    num_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    learning_rate: float
    gamma: float
    gae_lambda: float
    clip_range: float
    ent_coef: float
    net_arch: tuple[int, ...]
    log_std_init: float
    reward: Literal["expected", "drawn"]
    base_price: Literal["best-fixed", "regular"]
    evaluations: int
    validation_episodes: int
    product_wise: bool

    def __post_init__(self) -> None:
        for name in ("num_envs", "n_steps", "batch_size", "n_epochs", "evaluations", "validation_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}; raise it")
        for name, allowed in (("reward", ("expected", "drawn")), ("base_price", ("best-fixed", "regular"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}; choose one")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"net_arch": list(self.net_arch)}


def settings_for(spec: MarketSpec, algo: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The preset of the algorithm for this scenario, with the caller's values laid over it."""
    overrides = dict(overrides or {})
    product_wise = overrides.get("product_wise", len(spec.products.names) >= PRODUCT_WISE_FROM)
    preset = tomllib.loads((resources.files("repricer.agents.presets") / f"{algo}.toml").read_text(encoding="utf-8"))
    family = "many-products" if product_wise else ""
    values = preset["default"] | preset.get(family, {}) | preset.get(spec.name, {}) | overrides
    values["product_wise"] = product_wise
    known = [item.name for item in fields(Settings)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"{key} is no training setting; {hint}")
    return Settings(**values | {"net_arch": tuple(values["net_arch"])})
