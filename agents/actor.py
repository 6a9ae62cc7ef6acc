"""The actor of a Stable-Baselines3 policy: features to raw actions, without exploration."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.td3.policies import TD3Policy

from ..envs import LearnerView
from ..pricing import (
    ActionLayout,
    ActionParts,
    NetworkPolicy,
    Policy,
    RecurrentPolicy,
    RecurrentState,
    initial_recurrent_state,
)
from ..pricing.network_policy import WINDOW
from .networks import one_thread


class Actor(torch.nn.Module):
    """A network from features (rows, F) to raw actions (rows, columns).

    Raw actions are not yet clipped to [-1, 1]; decoding them does that.

    Args:
        layers: Module from features to outputs: the raw actions, or one score per level.
        levels: For discrete actions, the raw levels of each column of one product; the level with
            the highest score is chosen. None for continuous actions.
        columns: Number of columns of a raw action.
    """

    def __init__(self, layers: torch.nn.Module, levels: tuple[NDArray[np.float32], ...] | None, columns: int) -> None:
        super().__init__()
        self.layers = layers
        self.columns = columns
        self.counts = None if levels is None else [len(level) for level in levels] * (columns // len(levels))
        for i, level in enumerate(levels or ()):
            self.register_buffer(f"level{i}", torch.from_numpy(level)[:, None])
        self.kinds = len(levels or ())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The raw action."""
        return self.choose(self.layers(features))

    def choose(self, numbers: torch.Tensor) -> torch.Tensor:
        """The raw action for the outputs of `layers`."""
        if self.counts is None:
            return numbers
        # Every product has the same columns: (rows, products, scores).
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
    """An actor with an LSTM in front of its layers.

    Args:
        features: Module from observations to the inputs of the LSTM.
        layers: As in `Actor`, from the LSTM's output.
        levels: As in `Actor`.
        columns: As in `Actor`.
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
        self.features = features
        self.lstm = lstm
        shape = (lstm.num_layers, lstm.hidden_size)
        self.state_shapes = {"hidden": shape, "cell": shape}

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, features: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One period.

        Args:
            features: (rows, F).
            hidden: (rows, layers, units) hidden state of the LSTM.
            cell: (rows, layers, units) cell state.

        Returns:
            The raw actions and the new hidden and cell state.
        """
        states = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        raw, hidden, cell = self.by_layer(features, *states)
        return raw, hidden.transpose(0, 1), cell.transpose(0, 1)

    def by_layer(
        self, features: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `forward`, with states in the layout of the LSTM, (layers, rows, units)."""
        _, (hidden, cell) = self.lstm(self.features(features)[None], (hidden, cell))
        # After a single period, the output of the last layer is its hidden state.
        return self.choose(self.layers(hidden[-1])), hidden, cell


class _Scaled(torch.nn.Module):
    """Raw actions, cut to [-1, 1], times a factor for each column."""

    factors: torch.Tensor

    def __init__(self, factors: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("factors", torch.from_numpy(factors))

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return raw.clip(-1.0, 1.0) * self.factors


def scaled(actor: Actor, factors: NDArray[np.float32]) -> Actor:
    """A copy of the actor whose raw actions are multiplied.

    Args:
        factors: One for each column of one product's raw action.
    """
    actor = copy.deepcopy(actor)
    if actor.counts is None:
        every = np.tile(factors, actor.columns // len(factors))
        actor.layers = torch.nn.Sequential(actor.layers, _Scaled(every))
    for i in range(actor.kinds):
        getattr(actor, f"level{i}").mul_(float(factors[i]))
    return actor


def constant_actor(inputs: int) -> Actor:
    """An actor with one column that is always 0: the base price."""
    layer = torch.nn.Linear(inputs, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return Actor(layer, None, 1)


def hold_base_price(policy: BasePolicy, learner_view: LearnerView, *, prices_alone: bool = False) -> None:
    """Let an SB3 policy always give the raw action nearest to zero, which is the base price.

    Args:
        policy: The policy.
        learner_view: The view that it acts through.
        prices_alone: Whether promotions, orders and recommendations that come on top of none stay as they are; prices have
            no discounts.
    """
    actor = actor_of(policy, learner_view)
    head = [module for module in actor.layers.modules() if isinstance(module, torch.nn.Linear)][-1]
    layout = learner_view.layout
    count = len(head.bias)
    still = np.ones(count, bool)
    if prices_alone and learner_view.levels is None:
        # Prices, discounts and scores come first of a product's columns.
        planned = layout.recommend and learner_view.recommended_now is not None
        still = np.arange(count) % layout.size < 1 + layout.num_segments * (layout.discounts + planned)
    rows = torch.from_numpy(still)
    with torch.no_grad():
        head.weight[rows] = 0.0
        head.bias[rows] = 0.0
        if learner_view.levels is not None:
            product = np.concatenate([np.eye(len(each))[np.abs(each).argmin()] for each in learner_view.levels])
            head.bias.copy_(torch.from_numpy(np.tile(product, actor.columns // actor.kinds)))


def actor_of(policy: BasePolicy, learner_view: LearnerView) -> Actor:
    """The actor of an SB3 policy; it shares the policy's weights."""
    columns = learner_view.layout.size * (1 if learner_view.product_wise else learner_view.base_price.size)
    return actor_from(policy, columns, learner_view.levels)


def actor_from(policy: BasePolicy, columns: int, levels: tuple[NDArray[np.float32], ...] | None = None) -> Actor:
    """As `actor_of`, given the columns and levels of a raw action; see `Actor`."""
    any_policy = cast(Any, policy)
    if isinstance(policy, RecurrentActorCriticPolicy):
        layers = torch.nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net)
        return RecurrentActor(any_policy.pi_features_extractor, policy.lstm_actor, layers, levels, columns)
    if isinstance(policy, ActorCriticPolicy):
        parts = [any_policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net]
    elif isinstance(policy, DQNPolicy):
        parts = [any_policy.q_net.features_extractor, policy.q_net.q_net]
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
    """A policy whose prices an actor sets, on the CPU.

    Args:
        layout: Columns of the raw action.
        base_price: (N,) currency per unit, which the network's price multiplies.
        product_wise: Whether a row of features is one product or one market.
        history: Number of periods whose features one row holds.
        base: A policy whose price is multiplied in place of `base_price`.
    """
    actor.eval()

    def decoded(raw: torch.Tensor) -> ActionParts:
        return layout.decode(raw.numpy().reshape(-1, layout.size))

    def forward(rows: NDArray[np.float32]) -> ActionParts:
        with one_thread(), torch.inference_mode():
            return decoded(actor(torch.from_numpy(rows)))

    if isinstance(actor, RecurrentActor):
        step, initial_state = _lstm_step(actor, decoded)
    elif history > 1:
        step, initial_state = _window_step(forward, history)
    else:
        return NetworkPolicy(name, forward, layout, base_price, product_wise, base)
    return RecurrentPolicy(name, step, initial_state, layout, base_price, product_wise, base)


def learning_actor(policy: BasePolicy, learner_view: LearnerView) -> Actor:
    """The present actor of an SB3 model in training, as it decides without exploration, on the CPU."""
    policy.set_training_mode(False)
    actor = actor_of(policy, learner_view).eval()
    return actor if policy.device.type == "cpu" else copy.deepcopy(actor).cpu()


def learning_policy(policy: BasePolicy, learner_view: LearnerView) -> NetworkPolicy | RecurrentPolicy:
    """The present policy of an SB3 model in training, without exploration, on the CPU."""
    return network_policy(
        learning_actor(policy, learner_view),
        learner_view.layout,
        learner_view.base_price,
        product_wise=learner_view.product_wise,
        name="learning",
        history=learner_view.history,
        base=learner_view.base,
    )


def _lstm_step(actor: RecurrentActor, decoded: Any) -> tuple[Any, Any]:
    """`step` and `initial_state` of a policy whose recurrent state is that of the LSTM."""

    def step(rows: NDArray[np.float32], state: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        with one_thread(), torch.inference_mode():
            raw, *states = actor(torch.from_numpy(rows), *map(torch.from_numpy, state))
        return decoded(raw), tuple(np.ascontiguousarray(part.numpy()) for part in states)

    return step, lambda rows: initial_recurrent_state(rows, actor.state_shapes)


def _window_step(forward: Any, history: int) -> tuple[Any, Any]:
    """`step` and `initial_state` of a policy whose recurrent state is earlier features."""

    def step(rows: NDArray[np.float32], state: RecurrentState) -> tuple[ActionParts, RecurrentState]:
        window = np.concatenate([state[0], rows[:, None]], axis=1)
        return forward(window.reshape(len(rows), -1)), (np.ascontiguousarray(window[:, 1:]),)

    return step, lambda rows: initial_recurrent_state(rows, {WINDOW: (history - 1, rows.shape[1])})
