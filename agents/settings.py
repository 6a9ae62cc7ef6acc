"""Training settings: a preset's defaults, its block for the scenario, and what the caller overrides."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from ..envs.adapters.learner_view import Actions, Reward
from ..scenarios import MarketSpec

PRODUCT_WISE_FROM = 3
"""From this many products on, learning is product-wise unless told otherwise."""
_FAMILY = "many-products"
NetworkKind = Literal["mlp", "rnn"]
Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a training run besides the scenario, the number of steps and the seed.

    Markets: num_envs side by side. product_wise: one network row a product, or a market. reward, actions, price_levels,
    price_reach, history: as `LearnerView` has them. base_price: what a raw price of zero
    means, see `base_of`.

    Networks: net_arch hidden layers; "rnn" puts a GRU of rnn_size in front, which reads the history. normalise: bring
    features to mean 0 and deviation 1 first. dropout: share of units. l1, l2: weight penalties. learning_rate falls by
    `schedule`: linear to a tenth, cosine to nothing.

    Validation: `evaluations` in a run, each in validation_episodes markets; patience: stop after so many without a gain
    that stands out of its paired error, 0 never.

    Variants: other markets that run beside the scenario's own in training, none by default: their elasticity and demand are
    up to variant_elasticity and variant_demand (fractions) off, and with probability variant_rival a rival opens.

    clone_episodes: of the teacher, where there is one, to imitate before learning; clone_epochs: passes over them.

    algorithm: Stable-Baselines3's own settings by its names.
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
    history: int = 1
    network: NetworkKind = "mlp"
    rnn_size: int = 32
    normalise: bool = False
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    schedule: Schedule = "linear"
    patience: int = 0
    variants: int = 0
    variant_elasticity: float = 0.3
    variant_demand: float = 0.5
    variant_rival: float = 0.2
    clone_episodes: int = 64
    clone_epochs: int = 20
    algorithm: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}; raise it")
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(get_args(kind))
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}; choose one")
        for name, high in _SHARES.items():
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between 0 and {high:g}; got {getattr(self, name)}; mend it")
        if self.network == "rnn" and self.history == 1:
            raise ValueError("network rnn reads the periods before; got history 1; set history to 4 or more")

    def to_dict(self) -> dict[str, Any]:
        """As JSON and the presets hold it: flat."""
        values: dict[str, Any] = asdict(self)
        own = values.pop("algorithm")
        return values | {"net_arch": list(self.net_arch)} | own


_COUNTS = ("num_envs", "evaluations", "validation_episodes", "history", "rnn_size", "clone_episodes", "clone_epochs")
_CHOICES = {"reward": Reward, "actions": Actions, "network": NetworkKind, "schedule": Schedule}
_SHARES = {
    "dropout": 0.9,
    "l1": 1.0,
    "l2": 1.0,
    "patience": 1e6,
    "variants": 1e3,
    "variant_elasticity": 0.9,
    "variant_demand": 0.9,
    "variant_rival": 1.0,
}


def settings_for(
    spec: MarketSpec,
    algo: str,
    overrides: Mapping[str, Any] | None = None,
    options: Iterable[str] = (),
    preset: str | Path | None = None,
) -> Settings:
    """The preset of the algorithm for this scenario, with the caller's values laid over it.

    options: names of the algorithm's own settings beside those of its preset. preset: a file like the presets, whose
    blocks are laid over theirs.
    """
    installed = (resources.files("repricer.agents.presets") / f"{algo}.toml").read_text(encoding="utf-8")
    presets = [tomllib.loads(installed)]
    if preset is not None:
        presets.append(_read_preset(Path(preset), spec))
    own, overrides = preset_block(spec), dict(overrides or {})
    stated = _laid(presets, ("default", own)) | overrides
    product_wise = stated.get("product_wise", len(spec.products.names) >= PRODUCT_WISE_FROM)
    values = _laid(presets, ("default", _FAMILY if product_wise else "", own))
    chosen = _laid(presets, (own,)) | _laid(presets[1:], ("default", _FAMILY))
    if spec.market.discount_factor < 1 and "gamma" in values and "gamma" not in chosen:
        # What money to come is worth is the market's to say.
        values["gamma"] = spec.market.discount_factor
    return settings_from(values | overrides | {"product_wise": product_wise}, {*options, *presets[0]["default"]})


def preset_block(spec: MarketSpec) -> str:
    """Name of a preset's block for this scenario: a stressed market is learned as the one that it came from."""
    return spec.name.partition("@")[0]


def _laid(presets: Iterable[Mapping[str, Any]], blocks: tuple[str, ...]) -> dict[str, Any]:
    """These blocks of all presets, each laid over those before it."""
    return {key: value for preset in presets for name in blocks for key, value in preset.get(name, {}).items()}


def _read_preset(path: Path, spec: MarketSpec) -> dict[str, dict[str, Any]]:
    try:
        blocks = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"preset must be a TOML file; got {path}, where there is none; check the path") from None
    except ValueError as error:
        raise ValueError(f"preset {path} must be a TOML file in UTF-8; got: {error}; mend that line") from error
    for name, block in blocks.items():
        if not isinstance(block, dict):
            raise ValueError(f"preset {path} must hold blocks; got {name} outside one; put it under [default]")
    known = ("default", _FAMILY, preset_block(spec))
    if not any(name in blocks for name in known):
        wanted = ", ".join(known)
        raise ValueError(f"preset {path} must have a block of {wanted}; got {', '.join(blocks) or 'none'}; rename one")
    return blocks


def settings_from(values: Mapping[str, Any], options: Iterable[str]) -> Settings:
    """Settings from flat values, as `Settings.to_dict` gives them. options: names of the algorithm's own settings."""
    common = {item.name for item in fields(Settings)} - {"algorithm"}
    known = common | set(options)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
            raise ValueError(f"{key} is no training setting here; {hint}")
    own = {key: value for key, value in values.items() if key not in common}
    shared: dict[str, Any] = {key: value for key, value in values.items() if key in common}
    shared["net_arch"] = tuple(values["net_arch"])
    return Settings(**shared, algorithm=own)
