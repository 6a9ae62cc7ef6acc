"""Behaviour cloning: imitate a teacher's actions, and fit the critic to their returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.utils import quantile_huber_loss
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch.nn.functional import cross_entropy, mse_loss

from ..envs import LearnerView, MarketVecEnv
from ..pricing import Policy
from .actor import Actor, RecurrentActor, actor_of
from .algorithms import Algorithm
from .logged_data import LoggedData, record_policy, training_view
from .settings import Settings

DISTURBANCE = 0.3
"""Of raw actions, whose range is 2."""
_BATCHES = 50
_LARGEST_BATCH = 4096
_RATE = 3e-3
_MARGIN = 0.2  # rewards are of order one


class Samples(NamedTuple):
    """Logged rows as tensors, samples first: single periods, or whole episodes (samples, T, …).

    Attributes:
        features: (…, F).
        advice: (…, A) the teacher's actions, in the action space.
        actions: (…, A) the actions taken.
        returns: (…,) discounted returns.
    """

    features: torch.Tensor
    advice: torch.Tensor
    actions: torch.Tensor
    returns: torch.Tensor

    @classmethod
    def of(
        cls, log: LoggedData, learner_view: LearnerView, discount: float, *, whole: bool, device: torch.device
    ) -> Samples:
        """Samples from a log.

        Args:
            learner_view: The view that it was recorded through.
            discount: Discount factor per period.
            whole: Whether to keep episodes together, for recurrent policies.
        """

        def tensor(part: NDArray) -> torch.Tensor:
            by_row = np.moveaxis(part, 0, 1)
            return torch.from_numpy(by_row if whole else by_row.reshape(-1, *part.shape[2:])).to(device)

        advice, actions = (
            learner_view.chosen(part.reshape(-1, part.shape[-1])).reshape(*part.shape[:2], -1)
            for part in (log.advice, log.actions)
        )
        return cls(tensor(log.features), tensor(advice), tensor(actions), tensor(log.returns(discount)))


def clone_defaults(algo: Algorithm) -> dict[str, Any]:
    """Settings with which an algorithm continues from a teacher: no phase of random actions."""
    if not algo.off_policy:
        return {}
    return {"learning_starts": 0} | ({"exploration_initial_eps": 0.1} if algo.decides == "discrete" else {})


def clone(model: BaseAlgorithm, venv: MarketVecEnv, teacher: Policy, settings: Settings, seed: int) -> None:
    """Set the weights of a model so that its deterministic policy imitates a teacher.

    The teacher plays `clone_episodes` episodes on the training seeds; its actions are disturbed in
    half of the markets. The actor minimises the squared error of the raw columns that the teacher
    decides, or the cross-entropy with the nearest level for discrete actions. The critic fits the
    discounted rewards that followed. A Q-network does both: it fits the return of the teacher's own
    choices and keeps the others a margin below (Hester et al. 2018, Deep Q-learning from
    Demonstrations, equation 1). A replay buffer is filled with the transitions.
    """
    learner_view = venv.learner_view
    policy = model.policy
    # A replay buffer takes one row of every market at a time.
    enough = -(-venv.num_envs // learner_view.rows_per_market)
    watched = training_view(learner_view, max(settings.clone_episodes, enough), seed)
    log = record_policy(watched, teacher, disturbance=DISTURBANCE, seed=seed)
    if venv.shaping is not None:
        log = log.shaped(venv.shaping)
    actor = actor_of(policy, learner_view)
    whole = isinstance(actor, RecurrentActor)
    samples = Samples.of(log, learner_view, cast(Any, model).gamma, whole=whole, device=model.device)
    policy.set_training_mode(True)
    loss = _loss(policy, actor, torch.from_numpy(np.flatnonzero(log.decided)))
    minimise(loss, policy.parameters(), samples, settings.clone_epochs, seed)
    policy.set_training_mode(False)
    align_targets(policy)
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        fill(buffer, log, learner_view)


def align_targets(policy: Any) -> None:
    """Give the target networks of a policy the weights of those that they follow."""
    for name in ("actor", "critic", "q_net"):
        target = getattr(policy, f"{name}_target", None)
        if target is not None:
            target.load_state_dict(getattr(policy, name).state_dict())


def minimise(
    loss: Callable[[Any], torch.Tensor], weights: Iterable[torch.nn.Parameter], samples: Any, epochs: int, seed: int
) -> None:
    """Minimise a loss by Adam, with a learning rate that falls to zero.

    Args:
        loss: Maps a batch, of the type of `samples`, to a scalar.
        weights: Parameters to fit.
        samples: A named tuple of tensors with the rows first.
        seed: Seed of the order of rows.
    """
    optimiser = torch.optim.Adam(weights, lr=_RATE, fused=True)
    parts = list(shuffled_batches(samples[0], epochs, seed))
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(parts))
    for rows in parts:
        optimiser.zero_grad()
        loss(type(samples)(*(part[rows] for part in samples))).backward()
        optimiser.step()
        falling.step()


def shuffled_batches(rows: torch.Tensor, epochs: int, seed: int) -> Iterator[torch.Tensor]:
    """Row numbers in random order, in about fifty batches per epoch.

    Args:
        rows: (rows, F), in batches of at least 32; or whole episodes, (rows, T, F).
    """
    size = min(max(len(rows) // _BATCHES, 32 if rows.ndim == 2 else 1), _LARGEST_BATCH)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(len(rows), generator=generator).split(size)


def fill(buffer: ReplayBuffer, log: LoggedData, learner_view: LearnerView) -> None:
    """Add the logged transitions to a replay buffer, in complete sets of rows; others are dropped."""
    cut = [{"TimeLimit.truncated": not log.ends}] * buffer.n_envs
    for first in range(0, log.money.shape[1] - buffer.n_envs + 1, buffer.n_envs):
        rows = slice(first, first + buffer.n_envs)
        for t in range(len(log.money)):
            actions = learner_view.chosen(log.actions[t, rows])
            done = log.done[t, rows]
            before = log.features[t, rows]
            after = log.next_features[t, rows]
            buffer.add(before, after, actions, log.money[t, rows], done, cut if done[0] else [{}] * buffer.n_envs)


def _loss(policy: BasePolicy, actor: Actor, decided: torch.Tensor) -> Callable[[Samples], torch.Tensor]:
    """The imitation loss. Actor and critic share no weights, so their losses can be added."""
    if hasattr(policy, "q_net"):
        return lambda s: _of_choices(policy, s)
    critic = _of_value if isinstance(policy, ActorCriticPolicy) else _of_critic
    return lambda s: _of_actor(actor, decided, s) + critic(policy, s)


def _of_actor(actor: Actor, decided: torch.Tensor, samples: Samples) -> torch.Tensor:
    numbers = _numbers(actor, samples.features)
    advice = samples.advice.flatten(0, -2)
    if actor.counts is None:
        return mse_loss(numbers[:, decided], advice[:, decided])
    parts = torch.split(numbers, actor.counts, dim=1)
    return torch.stack([cross_entropy(parts[i], advice[:, i]) for i in decided.tolist()]).sum()


def _numbers(actor: Actor, features: torch.Tensor) -> torch.Tensor:
    """(all rows, outputs) of the actor before a choice; recurrent ones read episodes (…, T, F)."""
    if not isinstance(actor, RecurrentActor):
        return actor.layers(features)
    read = actor.features(features.flatten(0, 1)).unflatten(0, features.shape[:2])
    noted, _ = actor.lstm(read.transpose(0, 1))
    return actor.layers(noted.transpose(0, 1).flatten(0, 1))


def _of_value(policy: Any, samples: Samples) -> torch.Tensor:
    """V(s) against the return."""
    rows = samples.features
    returns = samples.returns.flatten()
    if rows.ndim == 2:
        return mse_loss(policy.predict_values(rows).flatten(), returns)
    layers, _, units = policy.lstm_hidden_state_shape
    initial = torch.zeros(layers, len(rows), units, device=rows.device)
    # Episodes one after the other, as SB3 splits sequences; their initial states are zero already.
    seen = rows.flatten(0, 1)
    starts = torch.zeros(len(seen), device=rows.device)
    return mse_loss(policy.predict_values(seen, (initial, initial), starts).flatten(), returns)


def _of_critic(policy: Any, samples: Samples) -> torch.Tensor:
    """Q(s, a) of the action taken against the return."""
    found = policy.critic(samples.features, samples.actions)
    returns = samples.returns[:, None]
    if isinstance(found, torch.Tensor):  # quantiles
        return quantile_huber_loss(found, returns[:, None], sum_over_quantiles=False)
    return torch.stack([mse_loss(each, returns) for each in found]).sum()


def _of_choices(policy: Any, samples: Samples) -> torch.Tensor:
    """Q of the teacher's choice against its return, and all others a margin below."""
    values = policy.q_net(samples.features)
    own = values.gather(1, samples.advice)
    margin = torch.full_like(values, _MARGIN).scatter(1, samples.advice, 0.0)
    below = ((values + margin).amax(dim=1, keepdim=True) - own).mean()
    followed = (samples.actions == samples.advice).flatten()
    return below + (mse_loss(own[followed, 0], samples.returns[followed]) if followed.any() else 0)
