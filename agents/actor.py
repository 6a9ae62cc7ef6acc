"""The part of an SB3 policy that decides: features to raw action, without exploration, distribution or value."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.td3.policies import TD3Policy

from ..envs import LearnerView
from ..pricing import ActionLayout, ActionParts, NetworkPolicy, Policy, RecurrentPolicy, RecurrentState
from .networks import one_thread


class Actor(torch.nn.Module):
    """(rows, F) features to (rows, columns) raw actions, not yet cut to [-1, 1]: decoding does that.

    layers: features to numbers. levels: raw levels of each column where actions are discrete: the numbers are then one a
    level, and the highest of each column is chosen.
    """

    def __init__(self, layers: torch.nn.Module, levels: tuple[NDArray[np.float32], ...] | None, columns: int) -> None:
        super().__init__()
        self.layers, self.columns = layers, columns
        self.counts = None if levels is None else [len(level) for level in levels] * (columns // len(levels))
        for i, level in enumerate(levels or ()):
            self.register_buffer(f"level{i}", torch.from_numpy(level)[:, None])
        self.kinds = len(levels or ())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The raw action."""
        return self.choose(self.layers(features))

    def choose(self, numbers: torch.Tensor) -> torch.Tensor:
        """The raw action that the network's numbers stand for."""
        if self.counts is None:
            return numbers
        # The same columns for each product: (rows, products, numbers of a product). One column alone needs no such shape.
        counts = self.counts[: self.kinds]
        products = numbers if self.columns == 1 else numbers.reshape(-1, self.columns // self.kinds, sum(counts))
        parts = [products] if self.kinds == 1 else torch.split(products, counts, dim=2)
        chosen = [
            torch.nn.functional.embedding(part.argmax(dim=-1), getattr(self, f"level{i}"))
            for i, part in enumerate(parts)
        ]
        raw = chosen[0] if self.kinds == 1 else torch.cat(chosen, dim=2)
        return raw if self.columns == 1 else raw.reshape(-1, self.columns)


class RecurrentActor(Actor):
    """An LSTM in front of the layers: (rows, F) and the LSTM's two states, (rows, layers, units), to raw actions and states.

    features: what the LSTM reads of an observation.
    """

    def __init__(
        self,
        features: torch.nn.Module,
        lstm: torch.nn.LSTM,
        layers: torch.nn.Module,
        levels: tuple[NDArray[np.float32], ...] | None,
        columns: int,
    ) -> None:
        super().__init__(layers, levels, columns)
        self.features, self.lstm = features, lstm

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, features: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The raw action and what the LSTM notes for the next period."""
        states = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        raw, hidden, cell = self.by_layer(features, *states)
        return raw, hidden.transpose(0, 1), cell.transpose(0, 1)

    def by_layer(
        self, features: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `forward`, with states as the LSTM holds them, (layers, rows, units)."""
        _, (hidden, cell) = self.lstm(self.features(features)[None], (hidden, cell))
        # After one period, what the last layer gives is what it notes.
        return self.choose(self.layers(hidden[-1])), hidden, cell


class _MeanQuantile(torch.nn.Module):
    """(rows, quantiles * choices) to (rows, choices): the value of each choice."""

    def __init__(self, quantiles: int) -> None:
        super().__init__()
        self.quantiles = quantiles

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers.reshape(numbers.shape[0], self.quantiles, -1).mean(dim=1)


def with_folded_quantiles(actor: Actor) -> Actor:
    """A copy whose mean over quantiles, where it has one, is part of its last matrix: the same numbers, sooner."""
    actor = copy.deepcopy(actor)
    if not (isinstance(actor.layers, torch.nn.Sequential) and isinstance(actor.layers[-1], _MeanQuantile)):
        return actor
    parts: list[Any] = list(actor.layers)
    *before, values, mean = parts
    *hidden, last = values
    folded = torch.nn.Linear(last.in_features, last.out_features // mean.quantiles)
    with torch.no_grad():
        for part, whole in ((folded.weight, last.weight), (folded.bias, last.bias)):
            part.copy_(whole.reshape(mean.quantiles, *part.shape).mean(dim=0))
    actor.layers = torch.nn.Sequential(*before, *hidden, folded)
    return actor


def actor_of(policy: BasePolicy, learner_view: LearnerView) -> Actor:
    """The deciding part of an SB3 policy that learned through this learner_view; it shares the weights."""
    columns = learner_view.layout.size * (1 if learner_view.product_wise else learner_view.base_price.size)
    return actor_from(policy, columns, learner_view.levels)


def actor_from(policy: BasePolicy, columns: int, levels: tuple[NDArray[np.float32], ...] | None = None) -> Actor:
    """The deciding part of an SB3 policy with so many columns of raw action, see `Actor`; it shares the weights."""
    any_policy = cast(Any, policy)
    if isinstance(policy, RecurrentActorCriticPolicy):
        layers = torch.nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net)
        return RecurrentActor(any_policy.pi_features_extractor, policy.lstm_actor, layers, levels, columns)
    if isinstance(policy, ActorCriticPolicy):
        parts = [any_policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net]
    elif isinstance(policy, DQNPolicy):
        parts = [any_policy.q_net.features_extractor, policy.q_net.q_net]
    elif isinstance(policy, QRDQNPolicy):
        network = any_policy.quantile_net
        parts = [network.features_extractor, network.quantile_net, _MeanQuantile(network.n_quantiles)]
    elif isinstance(policy, TD3Policy):
        parts = [any_policy.actor.features_extractor, any_policy.actor.mu]
    else:
        actor = any_policy.actor  # of SAC and TQC
        parts = [actor.features_extractor, actor.latent_pi, actor.mu, torch.nn.Tanh()]
    return Actor(torch.nn.Sequential(*parts), levels, columns)


def network_policy(
    actor: Actor,
    layout: ActionLayout,
    base_price: NDArray[np.float32],
    *,
    product_wise: bool,
    name: str,
    history: int = 1,
    base: Policy | None = None,
) -> NetworkPolicy | RecurrentPolicy:
    """A policy that asks the network, on the CPU. history: periods of features in one row. base: see `Run`."""
    actor.eval()

    def decoded(raw: torch.Tensor) -> ActionParts:
        return layout.decode(raw.numpy().reshape(-1, layout.size))

    def forward(rows: NDArray[np.float32]) -> ActionParts:
        with one_thread(), torch.inference_mode():
            return decoded(actor(torch.from_numpy(rows)))

    if isinstance(actor, RecurrentActor):
        remember, opening = _lstm_memory(actor, decoded)
    elif history > 1:
        remember, opening = _window_memory(forward, history)
    else:
        return NetworkPolicy(name, forward, layout, base_price, product_wise, base)
    return RecurrentPolicy(name, remember, opening, layout, base_price, product_wise, base)


def learning_policy(policy: BasePolicy, learner_view: LearnerView) -> NetworkPolicy | RecurrentPolicy:
    """What an SB3 policy that learns through this learner_view would do now, without exploration, on the CPU."""
    policy.set_training_mode(False)
    actor = actor_of(policy, learner_view)
    if policy.device.type != "cpu":
        actor = copy.deepcopy(actor).cpu()
    return network_policy(
        actor,
        learner_view.layout,
        learner_view.base_price,
        product_wise=learner_view.product_wise,
        name="learning",
        history=learner_view.history,
        base=learner_view.base,
    )


def _lstm_memory(actor: RecurrentActor, decoded: Any) -> tuple[Any, Any]:
    """Notes are the LSTM's states, zero at an opening."""
    shape = (actor.lstm.num_layers, actor.lstm.hidden_size)

    def opening(rows: NDArray[np.float32]) -> RecurrentState:
        return tuple(np.zeros((len(rows), *shape), np.float32) for _ in range(2))

    def remember(rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        with one_thread(), torch.inference_mode():
            raw, *states = actor(torch.from_numpy(rows), *map(torch.from_numpy, notes))
        return decoded(raw), tuple(np.ascontiguousarray(state.numpy()) for state in states)

    return remember, opening


def _window_memory(forward: Any, history: int) -> tuple[Any, Any]:
    """Notes are the rows of the periods before, which the first repeats."""

    def opening(rows: NDArray[np.float32]) -> RecurrentState:
        return (np.repeat(rows[:, None], history - 1, axis=1),)

    def remember(rows: NDArray[np.float32], notes: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        window = np.concatenate([notes[0], rows[:, None]], axis=1)
        return forward(window.reshape(len(rows), -1)), (np.ascontiguousarray(window[:, 1:]),)

    return remember, opening
