"""Search spaces of `tune`: for each algorithm, ranges of settings around those of its preset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna import Trial


@dataclass(frozen=True)
class SearchRange:
    """The values that a setting may take, given that of the preset.

    Attributes:
        draw: The setting of a trial, from (trial, name, value of the preset); drawing again gives
            the same value.
        start: The Optuna parameter that corresponds to the preset's value; None if there is nothing
            to tune.
    """

    draw: Callable[[Trial, str, Any], Any]
    start: Callable[[Any], Any] = lambda value: value


def times(factor: float) -> SearchRange:
    """Log-uniform between `value / factor` and `value * factor`; integers stay integers."""

    def draw(trial: Trial, name: str, value: Any) -> Any:
        low = value / factor
        high = value * factor
        if isinstance(value, int):
            return trial.suggest_int(name, max(1, round(low)), round(high), log=True)
        return _short(trial.suggest_float(name, low, high, log=True), value)

    return SearchRange(draw)


def doublings(low: int, high: int) -> SearchRange:
    """The value times 2^low to 2^high, so that batches still divide what was collected."""

    def draw(trial: Trial, name: str, value: Any) -> Any:
        return max(1, int(value * 2.0 ** trial.suggest_int(name, low, high)))

    return SearchRange(draw, start=lambda _: 0)


def complement(factor: float) -> SearchRange:
    """One minus the value is log-uniform, up to `factor` times more or less; a value of 1 stays."""

    def draw(trial: Trial, name: str, value: Any) -> Any:
        rest = 1 - value
        drawn = trial.suggest_float(name, rest / factor, min(1.0, rest * factor), log=True)
        return value if drawn == rest else round(1 - _short(drawn, rest), 9)

    return SearchRange(draw, start=lambda value: None if value == 1 else 1 - value)


def between(low: float, high: float) -> SearchRange:
    """Uniform between two bounds, which are extended to include the preset's value; integers stay integers."""

    def draw(trial: Trial, name: str, value: Any) -> Any:
        if isinstance(value, int):
            return trial.suggest_int(name, int(min(low, value)), int(max(high, value)))
        return _short(trial.suggest_float(name, min(low, value), max(high, value)), value)

    return SearchRange(draw)


def one_of(*options: Any) -> SearchRange:
    """One of several values, or the preset's own."""

    def draw(trial: Trial, name: str, value: Any) -> Any:
        # As JSON, because Optuna stores strings and numbers but no lists.
        texts = dict.fromkeys(json.dumps(option) for option in (*options, value))
        return json.loads(trial.suggest_categorical(name, list(texts)))

    return SearchRange(draw, start=json.dumps)


_EVERY: Mapping[str, SearchRange] = {
    "learning_rate": times(10),
    "schedule": one_of("constant", "linear", "cosine"),
    "gamma": complement(5),
    "net_arch": one_of([32, 32], [64, 64], [128, 128], [64, 64, 64]),
    "normalise": one_of(False, True),
    "num_envs": doublings(-1, 1),
}
_ROLLOUTS: Mapping[str, SearchRange] = {
    **_EVERY,
    "n_steps": doublings(-1, 2),
    "gae_lambda": complement(5),
    "ent_coef": between(0.0, 0.01),
    "log_std_init": between(-2.5, 0.3),
}
_PROXIMAL: Mapping[str, SearchRange] = {
    **_ROLLOUTS,
    "batch_size": doublings(-2, 2),
    "n_epochs": times(3),
    "clip_range": times(2),
}
_REPLAY: Mapping[str, SearchRange] = {
    **_EVERY,
    "batch_size": doublings(-2, 1),
    "buffer_size": doublings(-2, 1),
    "gradient_steps": doublings(0, 2),
}
_ENTROPY = one_of("auto_0.01", "auto_0.05", "auto_0.2", "auto_1.0")
SPACES: Mapping[str, Mapping[str, SearchRange]] = {
    "ppo": _PROXIMAL,
    "a2c": _ROLLOUTS,
    "recurrent-ppo": {**_PROXIMAL, "lstm_hidden_size": doublings(-1, 1)},
    "sac": {**_REPLAY, "tau": times(5), "ent_coef": _ENTROPY},
    "td3": {**_REPLAY, "tau": times(5), "action_noise": times(4)},
    "tqc": {**_REPLAY, "tau": times(5), "ent_coef": _ENTROPY, "top_quantiles_to_drop_per_net": between(0, 2)},
    "dqn": {
        **_REPLAY,
        "price_levels": one_of(11, 21, 41),
        "target_update_interval": doublings(0, 2),
        "exploration_final_eps": times(2),
    },
}
"""What is tuned, by algorithm."""


@dataclass(frozen=True)
class SearchSpace:
    """The settings of an algorithm that are tuned, around the values of a preset.

    Attributes:
        preset: The preset's values, flat as in `Settings.to_dict`.
    """

    algo: str
    preset: Mapping[str, Any]

    @property
    def start(self) -> dict[str, Any]:
        """The Optuna parameters of the preset itself."""
        starts = {name: each.start(self.preset[name]) for name, each in SPACES[self.algo].items()}
        return {name: start for name, start in starts.items() if start is not None}

    def draw(self, trial: Trial) -> dict[str, Any]:
        """The settings of a trial; drawing again gives the same ones."""
        return {name: SPACES[self.algo][name].draw(trial, name, self.preset[name]) for name in self.start}


def _short(drawn: float, value: float) -> float:
    """Rounded to three digits, unless it is the preset's own value."""
    return value if drawn == value else float(f"{drawn:.3g}")
