"""The learning algorithms: the actions each supports, and how its model is built."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from sb3_contrib import TQC, RecurrentPPO
from stable_baselines3 import A2C, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.policies import BasePolicy

from ..envs import BatchVecEnv, LearnerView
from .networks import FeaturesExtractor, schedule
from .ordered_levels import OrderedDQN
from .ppo.fused import FusedPPO
from .settings import Settings

# Stable-Baselines3's defaults.
_EPS_ON_POLICY = 1e-5
_EPS_OFF_POLICY = 1e-8
_MANAGED = {
    *("self", "options", "policy", "env", "learning_rate", "policy_kwargs", "seed", "device", "verbose"),
    *("tensorboard_log", "stats_window_size", "_init_setup_model", "rollout_buffer_class", "rollout_buffer_kwargs"),
    *("replay_buffer_class", "replay_buffer_kwargs", "optimize_memory_usage"),
    *("use_sde", "sde_sample_freq", "use_sde_at_warmup"),
}


@dataclass(frozen=True)
class Algorithm:
    """One algorithm of Stable-Baselines3.

    Attributes:
        name: Name on the command line.
        kind: Class of the model.
        decides: Supported actions: "continuous", "discrete" or "both".
        off_policy: Whether it keeps a replay buffer.
        recurrent: Whether its policy has a recurrent state.
        network: Names of the settings of its policy.
    """

    name: str
    kind: type[BaseAlgorithm]
    decides: str
    off_policy: bool = False
    recurrent: bool = False
    network: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Names of Stable-Baselines3's settings for the model and its policy."""
        own: list[str] = []
        for kind in (each for each in self.kind.__mro__ if "__init__" in vars(each)):
            own += inspect.signature(kind.__init__).parameters
            if "args" not in own:  # the class passes nothing on
                break
            own.remove("args")
        return (*(name for name in own if name not in _MANAGED), *self.network)


_GAUSSIAN = ("log_std_init",)
_LSTM = ("lstm_hidden_size", "n_lstm_layers")
ALGORITHMS = {
    each.name: each
    for each in (
        Algorithm("ppo", FusedPPO, "both", network=_GAUSSIAN),
        Algorithm("a2c", A2C, "both", network=_GAUSSIAN),
        Algorithm("recurrent-ppo", RecurrentPPO, "both", recurrent=True, network=(*_GAUSSIAN, *_LSTM)),
        Algorithm("sac", SAC, "continuous", off_policy=True, network=("n_critics",)),
        Algorithm("td3", TD3, "continuous", off_policy=True, network=("n_critics",)),
        Algorithm("tqc", TQC, "continuous", off_policy=True, network=("n_critics", "n_quantiles")),
        Algorithm("dqn", OrderedDQN, "discrete", off_policy=True, network=("price_degree",)),
    )
}

_LOG = "it learned from a log alone: record the log and learn from it with d3rlpy (docs/use_it_with.md)"
_GONE = {"deep-pricing": _LOG, "td3-bc": _LOG, "cql": _LOG, "qr-dqn": "train again with dqn"}
"""Algorithms of earlier versions, and what to do."""


def algorithm(name: str) -> Algorithm:
    """The algorithm with this name.

    Raises:
        ValueError: There is no such algorithm, or no longer.

    Example:
        >>> algorithm("sac").decides
        'continuous'
    """
    if name in _GONE:
        raise ValueError(f"algo {name} is no longer here; got {name!r}; {_GONE[name]}")
    if name not in ALGORITHMS:
        raise ValueError(f"algo must be one of {', '.join(ALGORITHMS)}; got {name!r}; choose one of them")
    return ALGORITHMS[name]


def check_actions(algo: Algorithm, learner_view: LearnerView) -> None:
    """Check that an algorithm supports the actions of a market.

    Raises:
        ValueError: The algorithm does not support them; the message names an alternative.
    """
    space = learner_view.action_space
    if algo.decides == "continuous" and not isinstance(space, Box):
        raise ValueError(f"{algo.name} needs continuous actions; got actions 'discrete'; set actions to continuous")
    if algo.decides != "discrete" or isinstance(space, Discrete):
        return
    if isinstance(space, Box):
        raise ValueError(f"{algo.name} needs discrete actions; got actions 'continuous'; set actions to discrete")
    others = ", ".join(name for name in learner_view.layout.names if name != "price_multiplier")
    got = f"{others} as well" if others else f"{learner_view.base_price.size} prices at once"
    means = "ppo, sac or a market without these decisions" if others else "product_wise=true"
    raise ValueError(f"{algo.name} chooses one price from a list; got {got}; use {means}")


def make_model(algo: Algorithm, venv: BatchVecEnv, settings: Settings, seed: int, device: str = "cpu") -> BaseAlgorithm:
    """An untrained model on these markets, which keep their own random seed."""
    arguments: dict[str, Any] = {k: v for k, v in settings.algorithm.items() if k not in algo.network}
    deviation = arguments.get("action_noise")
    if deviation is not None:
        columns = np.zeros(venv.action_space.shape or (1,))
        arguments["action_noise"] = NormalActionNoise(columns, np.full_like(columns, deviation))
    if "batch_size" in arguments and not algo.off_policy:
        arguments["batch_size"] = equal_batches(venv.num_envs * arguments["n_steps"], arguments["batch_size"])
    return algo.kind(
        _network(algo),
        venv,
        learning_rate=schedule(settings.schedule, settings.learning_rate),
        seed=seed,
        device=device,
        policy_kwargs=_policy_arguments(algo, settings),
        **arguments,
    )


def equal_batches(rows: int, size: int) -> int:
    """The size of equal batches that is nearest to the one asked for, by their ratio.

    A small last batch would weigh as much as a full one.

    Args:
        rows: Rows of a rollout, at least 2.
        size: Rows of a batch as asked for.

    Example:
        >>> equal_batches(35 * 32 * 8, 1024)
        1120
    """
    # Advantages of a single row cannot be normalised.
    divisors = [divisor for divisor in range(2, rows + 1) if rows % divisor == 0]
    return min(divisors, key=lambda divisor: max(divisor / size, size / divisor))


def make_policy(
    algo: Algorithm, learner_view: LearnerView | BatchVecEnv, settings: Settings, **more: Any
) -> BasePolicy:
    """An untrained policy on the CPU, with the shapes that a run needs to load its weights.

    Args:
        learner_view: Anything with the observation and action spaces.
        **more: Arguments of the policy class, which override the settings.
    """
    kind = algo.kind.policy_aliases[_network(algo)]
    arguments = _policy_arguments(algo, settings) | more
    return kind(learner_view.observation_space, learner_view.action_space, lambda _: 0.0, **arguments)


def _network(algo: Algorithm) -> str:
    """SB3's name of the policy class."""
    return "MlpLstmPolicy" if algo.recurrent else "MlpPolicy"


def _policy_arguments(algo: Algorithm, settings: Settings) -> dict[str, Any]:
    """Keyword arguments of the policy class; ReLU, as tanh takes thirty times as long on a CPU."""
    optimizer = {"weight_decay": settings.l2, "eps": _EPS_OFF_POLICY if algo.off_policy else _EPS_ON_POLICY}
    arguments: dict[str, Any] = {
        "net_arch": list(settings.net_arch),
        "activation_fn": torch.nn.ReLU,
        # One kernel per update instead of one per weight matrix.
        "optimizer_class": torch.optim.Adam,
        "optimizer_kwargs": optimizer | {"fused": True},
    }
    if settings.normalise:
        arguments["features_extractor_class"] = FeaturesExtractor
        arguments["features_extractor_kwargs"] = {"history": settings.history}
        if algo.decides != "discrete":
            # Actor and critic have separate feature extractors.
            arguments["share_features_extractor"] = False
    return arguments | {name: settings.algorithm[name] for name in algo.network if name in settings.algorithm}
