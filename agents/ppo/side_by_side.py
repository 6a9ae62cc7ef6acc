"""Several networks that learn side by side as one: every layer of all of them is one product of matrices.

On a GPU a small network leaves nearly all of the card idle, and so many of them take about the time of one. Each
network has weights, customers and batches of its own, and its update is that of `on_device` alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import Distribution, make_proba_distribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch.func import functional_call, stack_module_state, vmap


def by_network(rows: torch.Tensor, networks: int, of_a_market: int) -> torch.Tensor:
    """(S, rows of a network, …) for rows in the order of the markets, of which market j belongs to network j modulo S.

    Args:
        rows: (rows, …).
        networks: S.
        of_a_market: Number of consecutive rows that belong to one market.
    """
    return rows.unflatten(0, (-1, networks, of_a_market)).transpose(0, 1).flatten(1, 2)


class SideBySidePolicy(BasePolicy):
    """Several actor-critic policies of one shape; market j belongs to network j modulo their number.

    Args:
        observation_space: Of a row.
        action_space: Of a row.
        lr_schedule: Learning rate, as for SB3's policies.
        networks: Number of networks, S.
        rows_per_market: Consecutive rows that belong to one market.
        use_sde: As for SB3's policies; False.
        **arguments: Of `ActorCriticPolicy`.

    Example:
        >>> import torch
        >>> from repricer import make_sb3_env
        >>> venv = make_sb3_env("stationary-logit", num_envs=4)
        >>> policy = SideBySidePolicy(venv.observation_space, venv.action_space, lambda _: 1e-3, networks=2)
        >>> rows = torch.ones(4, *venv.observation_space.shape)
        >>> values = policy.predict_values(rows)
        >>> values.shape, bool(values[0] == values[2]), bool(values[0] == values[1])
        (torch.Size([4, 1]), True, False)
    """

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        lr_schedule: Schedule,
        *,
        networks: int,
        rows_per_market: int = 1,
        use_sde: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.networks, self._rows_per_market = networks, rows_per_market
        alone = [
            ActorCriticPolicy(observation_space, action_space, lr_schedule, use_sde=use_sde, **arguments)
            for _ in range(networks)
        ]
        # In a tuple, so that its weights are no weights of this policy.
        self._outputs = (_Outputs(alone[0]),)
        weights, buffers = stack_module_state(cast(Any, [_Outputs(one) for one in alone]))
        self.weights = torch.nn.ParameterDict({_key(name): torch.nn.Parameter(w) for name, w in weights.items()})
        for name, buffer in buffers.items():
            self.register_buffer(_key(name), buffer)
        one = alone[0]
        self.optimizer = one.optimizer_class(self.weights.values(), lr=lr_schedule(1), **one.optimizer_kwargs)  # pyright: ignore[reportCallIssue]

    def _stacked(self) -> dict[str, torch.Tensor]:
        """(S, …) weights and buffers of all networks, by their names in `_Outputs`."""
        return {name.replace("/", "."): part for name, part in chain(self.weights.items(), self.named_buffers())}

    @torch.no_grad()
    def network(self, index: int) -> ActorCriticPolicy:
        """A copy of one network, on the CPU.

        Args:
            index: Which one.
        """
        outputs = copy.deepcopy(self._outputs[0])
        for name, part in _parts(outputs):
            part.copy_(self._stacked()[name][index])
        return outputs.policy

    @torch.no_grad()
    def replace(self, index: int, policy: ActorCriticPolicy) -> None:
        """Let a network have the weights of a policy.

        Args:
            index: Which one.
            policy: A policy of the same shape.
        """
        for name, part in _parts(_Outputs(policy)):
            self._stacked()[name].data[index].copy_(part)

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions, values (rows, 1) and log probabilities (rows,).

        Args:
            obs: (rows, F) features of as many markets for each network, market after market.
            deterministic: Whether to take the most probable actions.
        """
        told, values = (self._by_market(part) for part in self._told(self._by_network(obs)))
        distribution = self._distribution(told)
        actions = distribution.get_actions(deterministic)
        return actions.reshape(-1, *cast(Any, self.action_space.shape)), values, distribution.log_prob(actions)

    def predict_values(self, obs: torch.Tensor) -> torch.Tensor:
        """(rows, 1) values; for rows as in `forward`."""
        return self._by_market(self._told(self._by_network(obs))[1])

    def evaluate_actions(
        self, obs: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Values, log probabilities of actions, and entropies; for rows network after network."""
        told, values = (part.flatten(0, 1) for part in self._told(obs.unflatten(0, (self.networks, -1))))
        distribution = self._distribution(told)
        return values, distribution.log_prob(actions), distribution.entropy()

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> torch.Tensor:
        return self(observation, deterministic)[0]

    def _by_network(self, rows: torch.Tensor) -> torch.Tensor:
        return by_network(rows, self.networks, self._rows_per_market)

    def _by_market(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(1, (-1, self._rows_per_market)).transpose(0, 1).flatten(0, 2)

    def _told(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What all networks say of their rows, (S, R, F): (S, R, outputs) and (S, R, 1) values."""

        def told(weights: dict[str, torch.Tensor], own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # Extractors that a policy holds under two names are given once.
            return functional_call(self._outputs[0], weights, (own,), tie_weights=False)

        return vmap(told)(self._stacked(), rows)

    def _distribution(self, told: torch.Tensor) -> Distribution:
        kind: Any = make_proba_distribution(self.action_space)
        return kind.proba_distribution(*(told.chunk(2, dim=1) if _is_gaussian(self) else (told,)))


class _Outputs(torch.nn.Module):
    """From rows to what describes the distribution of actions (logits, or means and log deviations), and values."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        policy: Any = self.policy
        seen = policy.extract_features(rows)
        of_actor, of_critic = (seen, seen) if policy.share_features_extractor else seen
        told = policy.action_net(policy.mlp_extractor.forward_actor(of_actor))
        if _is_gaussian(policy):
            told = torch.cat([told, policy.log_std.expand_as(told)], dim=-1)
        return told, policy.value_net(policy.mlp_extractor.forward_critic(of_critic))


def each_network(model: BaseAlgorithm) -> Iterator[BaseAlgorithm]:
    """The model; of networks side by side, one after the other as a model on the CPU, whose weights are taken over.

    Args:
        model: A model of Stable-Baselines3.
    """
    together = model.policy
    if not isinstance(together, SideBySidePolicy):
        yield model
        return
    for index in range(together.networks):
        alone: Any = copy.copy(model)
        alone.policy, alone.device = together.network(index), torch.device("cpu")
        yield alone
        together.replace(index, alone.policy)


def networks_of(policy: BasePolicy) -> list[BasePolicy]:
    """The policy, or copies of the networks that are side by side in it."""
    return [policy.network(i) for i in range(policy.networks)] if isinstance(policy, SideBySidePolicy) else [policy]


def _is_gaussian(policy: BasePolicy) -> bool:
    return isinstance(policy.action_space, Box)


def _key(name: str) -> str:
    """A name without the dots that torch forbids in the names of weights."""
    return name.replace(".", "/")


def _parts(outputs: _Outputs) -> Iterator[tuple[str, torch.Tensor]]:
    return ((name, part.data) for name, part in chain(outputs.named_parameters(), outputs.named_buffers()))
