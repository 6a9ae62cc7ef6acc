"""Training settings: the values of a preset, its block for the scenario, and overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..envs import expected_units
from ..envs.adapters.learner_view import Actions, LevelsAround, Reward
from ..scenarios import MarketSpec
from ..scenarios.fields import nearest
from .classical import best_fixed
from .posterior import worst_share
from .presets import installed_preset, merged_blocks, nothing_lasts, preset_blocks, read_preset
from .presets.best_rule import BEST_RULE, best_rule

STEADY = ("best-fixed", "regular")
"""Base prices that never change; others are a plan by period, or rules that react to a rival."""
PRODUCT_WISE_FROM = 3
"""From this number of products on, learning is product-wise by default."""
_MOST_JOINT = 8
"""Up to this number it is not where stock binds."""
# Share of a stock from which on it binds, if the best fixed prices are expected to sell so much.
_BINDING = 0.7
Schedule = Literal["constant", "linear", "cosine"]
Opening = Literal["best-teacher", "base-price", "certainty-equivalent"]


@dataclass(frozen=True)
class Settings:
    """Everything that affects a training run except the scenario, the number of steps and the seed.

    Attributes:
        num_envs: Number of markets side by side.
        reward: As in `LearnerView`, like actions, price_levels, price_reach and history.
        learning_rate: Initial learning rate.
        net_arch: Widths of the hidden layers.
        evaluations: Number of validations of a run.
        validation_episodes: Markets of a validation.
        product_wise: Whether a row of the network is one product or one market.
        base_price: What a raw price of zero means; see `base_of`.
        price_reach: Factor between price and base price within which most raw prices lie, 0 for none.
        actions: "continuous" or "discrete".
        price_levels: Number of discrete prices.
        levels_around: What they are multiples of where base_price is a rule: its price (`base-price`), or, all but the
            rule's own price, the `regular` one. Each of these then means the same in every state.
        history: Number of periods in an observation.
        normalise: Whether features are scaled to mean 0 and standard deviation 1.
        l2: L2 penalty on the weights.
        schedule: Learning-rate schedule: constant, linear (falls to a tenth) or cosine (to zero).
        patience: Stop after so many validations without a significant gain; 0 for never.
        variants: Number of market variants to train on besides the scenario itself.
        draws: Where the market has a posterior, the number of batches that the training markets are
            split into, each following another draw in each of its episodes; 0 to train in the mean
            market. Without a posterior, or with variants, it has no effect.
        risk: What the kept policy is best at over posterior draws: `mean`, or `cvar:0.1`, the mean
            gain over current prices in the worst tenth of the draws; see `posterior.risk`.
        opening: What is imitated first where no teacher is given: the policy that `best_teacher` chooses, or, as always
            with variants, nothing but the base prices. `certainty-equivalent` is an earlier name of the first.
        clone_episodes: Episodes of a teacher to imitate.
        clone_epochs: Passes over them.
        shaped_scale: Where positive, rewards are counted relative to what the base prices earn, times
            this factor, and off-policy learning starts at these prices; see `agents.off_policy.opening`.
        algorithm: Settings of Stable-Baselines3 under its own names.

    Example:
        >>> from repricer import load_scenario
        >>> settings = settings_for(load_scenario("stationary-logit"), "sac")
        >>> settings.net_arch, settings.algorithm["batch_size"]
        ((64, 64), 512)
    """

    num_envs: int
    reward: Reward
    learning_rate: float
    net_arch: tuple[int, ...]
    evaluations: int
    validation_episodes: int
    product_wise: bool
    base_price: str = "best-fixed"
    price_reach: float = 0.0
    actions: Actions = "continuous"
    price_levels: int = 21
    levels_around: LevelsAround = "base-price"
    history: int = 1
    normalise: bool = False
    l2: float = 0.0
    schedule: Schedule = "linear"
    patience: int = 0
    variants: int = 0
    draws: int = 16
    risk: str = "mean"
    opening: Opening = "best-teacher"
    clone_episodes: int = 64
    clone_epochs: int = 20
    shaped_scale: float = 0.0
    algorithm: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = self.to_dict()
        for name in _COUNTS & values.keys():
            if type(values[name]) is not int:
                raise ValueError(f"{name} must be a whole number; got {values[name]!r}; fix it")
            if values[name] < 1 and name not in _HIGHEST_VALUES:
                raise ValueError(f"{name} must be at least 1; got {values[name]}; raise it")
        if not all(type(width) is int and width > 0 for width in self.net_arch):
            raise ValueError(f"net_arch must be widths of layers, as in 64,64; got {values['net_arch']!r}; fix it")
        for name, value in values.items():
            if isinstance(value, str) and name not in _TEXTS and not value.startswith("auto"):
                raise ValueError(f"{name} must be a number; got {value!r}; fix it")
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(get_args(kind))
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}; choose one")
        for name, high in _HIGHEST_VALUES.items():
            if not 0 <= values.get(name, 0) <= high:
                raise ValueError(f"{name} must be between 0 and {high:g}; got {values[name]}; fix it")
        for name in _POSITIVE:
            value = values.get(name)
            if value is not None and not isinstance(value, str) and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}; raise it")
        worst_share(self.risk)

    @property
    def view_options(self) -> dict[str, Any]:
        """How a learner sees the markets: options of `LearnerView` and `make_sb3_env`."""
        return {name: getattr(self, name) for name in _VIEW}

    def to_dict(self) -> dict[str, Any]:
        """A flat dict, as JSON and presets hold it."""
        values: dict[str, Any] = asdict(self)
        own = values.pop("algorithm")
        return values | {"net_arch": list(self.net_arch)} | own


_VIEW = ("product_wise", "reward", "history", "actions", "price_levels", "price_reach", "levels_around")
_COUNTS = {
    *("num_envs", "evaluations", "validation_episodes", "history"),
    *("clone_episodes", "clone_epochs"),
    *("price_levels", "n_steps", "batch_size", "n_epochs", "buffer_size", "target_update_interval", "next_draws"),
}
_ENDLESS_GAMMA = 0.99
"""Discount per period of a market that goes on: without one, the value of its future is infinite."""
_CHOICES = {
    "reward": Reward,
    "actions": Actions,
    "levels_around": LevelsAround,
    "schedule": Schedule,
    "opening": Opening,
}
_TEXTS = {*_CHOICES, "base_price", "risk"}
_POSITIVE = ("learning_rate", "max_grad_norm", "clip_range", "target_kl")
_HIGHEST_VALUES = dict.fromkeys(("gamma", "gae_lambda", "tau", "l2"), 1.0) | {"patience": 1e6}
_HIGHEST_VALUES |= dict.fromkeys(("variants", "draws", "shaped_scale", "next_draws"), 1e3)


def settings_for(
    spec: MarketSpec,
    algo: str,
    overrides: Mapping[str, Any] | None = None,
    options: Iterable[str] = (),
    preset: str | Path | None = None,
    others: Sequence[MarketSpec] = (),
) -> Settings:
    """The settings of an algorithm for a scenario: its preset with the caller's values on top.

    Args:
        spec: The market.
        algo: Name of the algorithm, for which there is a file in `presets`.
        overrides: Values that override the preset.
        options: Names of the algorithm's settings that its preset does not mention.
        preset: A file like the presets, whose blocks override theirs.
        others: Further markets that are learned in.

    Raises:
        ValueError: A setting is unknown or out of range, or the file is no preset.

    Example:
        >>> from repricer import load_scenario
        >>> settings_for(load_scenario("stationary-logit"), "ppo", {"learning_rate": 0.01}).learning_rate
        0.01
    """
    presets = [installed_preset(algo)]
    if preset is not None:
        presets.append(read_preset(Path(preset), spec))
    overrides = dict(overrides or {})
    stated = merged_blocks(presets, preset_blocks(spec, *others, product_wise=False)) | overrides
    product_wise = stated.get("product_wise", rows_of(spec)[0])
    blocks = preset_blocks(spec, *others, product_wise=product_wise)
    values = merged_blocks(presets, blocks)
    chosen = merged_blocks(presets[1:], blocks)
    if "gamma" in values and "gamma" not in chosen:
        varied = (values | overrides).get("variants", 0) > 0  # what a price brings then tells which market it is
        values["gamma"] = 0.0 if nothing_lasts(spec) and not varied else _gamma(spec, values["gamma"])
    values |= overrides
    if values.get("base_price") == BEST_RULE and spec.competitors is not None:
        values["base_price"] = best_rule(spec)
    if "levels_around" not in chosen | overrides and not _chooses_beside_a_rule(values):
        values["levels_around"] = "base-price"
    if spec.market.ending == "truncated" and values.get("gamma") == 1:
        raise ValueError(f"gamma must be below 1 where the market goes on; got 1; omit it for {_gamma(spec, 1.0):g}")
    return settings_from(values | {"product_wise": product_wise}, {*options, *presets[0]["default"]})


def _chooses_beside_a_rule(values: Mapping[str, Any]) -> bool:
    """Whether a policy chooses between a rule's price and others, which may then be multiples of the regular price."""
    rule = values.get("base_price", "best-fixed") not in STEADY
    return rule and values.get("actions") == "discrete"


def rows_of(spec: MarketSpec) -> tuple[bool, str]:
    """Whether learning is product-wise by default, and why.

    Few products whose stock binds are priced together: what one sells out of the others gain, which the reward of a
    product alone does not show.

    Example:
        >>> from repricer import load_scenario
        >>> rows_of(load_scenario("three-stocks"))
        (False, 'a row is a market: 3 products whose stock or capacity binds')
    """
    count = len(spec.products.names)
    if count < PRODUCT_WISE_FROM:
        return False, f"a row is a market: fewer than {PRODUCT_WISE_FROM} products"
    if count <= _MOST_JOINT and _stock_binds(spec):
        return False, f"a row is a market: {count} products whose stock or capacity binds"
    decided = int(spec.is_decided.sum())
    return True, f"a row is a product: {f'{decided} of ' if decided < count else ''}{count} products"


def _stock_binds(spec: MarketSpec) -> bool:
    stock = spec.stock
    if spec.capacity is not None:
        return True
    if stock.replenishment != "none" or stock.shortage != "lost" or np.isinf(stock.initial_units).all():
        return False
    periods = np.arange(spec.market.horizon_periods)
    prices = np.tile(best_fixed(spec).price, (periods.size, 1))
    wanted = spec.visits * expected_units(spec, periods, prices).sum(axis=(0, 1))
    return bool((wanted >= _BINDING * stock.initial_units).any())


def _gamma(spec: MarketSpec, preset: float) -> float:
    """The discount of future money: the market's own; where it goes on for ever without one, below 1."""
    if spec.market.discount_factor < 1:
        return spec.market.discount_factor
    return min(preset, _ENDLESS_GAMMA) if spec.market.ending == "truncated" else preset


def settings_from(values: Mapping[str, Any], options: Iterable[str]) -> Settings:
    """Settings from flat values, as `Settings.to_dict` gives them.

    Args:
        options: Names of the algorithm's own settings.

    Raises:
        ValueError: A setting is unknown or out of range.
    """
    common = {item.name for item in fields(Settings)} - {"algorithm"}
    known = common | set(options)
    for key in values:
        if key not in known:
            raise ValueError(f"{key} is not a training setting here; {nearest(key, sorted(known))}")
    own = {key: value for key, value in values.items() if key not in common}
    shared: dict[str, Any] = {key: value for key, value in values.items() if key in common}
    widths = values["net_arch"]
    shared["net_arch"] = tuple(widths) if isinstance(widths, (list, tuple)) else (widths,)
    return Settings(**shared, algorithm=own)
