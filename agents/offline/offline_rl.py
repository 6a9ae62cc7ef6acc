"""Offline reinforcement learning: value learning from a log that stays close to its actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.utils import polyak_update
from torch.nn.functional import mse_loss

from ...envs import LearnerView
from ..cloning import falling_rate, shuffled_batches
from ..logged_data import LoggedData
from ..settings import Settings

# As in Fujimoto et al. (2018), Addressing Function Approximation Error in Actor-Critic Methods, but
# targets follow four times as fast: without a discount, the last reward must propagate over the
# whole horizon.
_TAU, _DELAY, _NOISE, _NOISE_LIMIT = 0.02, 2, 0.2, 0.5


class Transitions(NamedTuple):
    """Rows of a log.

    Attributes:
        features: (rows, F).
        actions: (rows, A), in the action space.
        money: (rows, 1) rewards of order one.
        next_features: (rows, F).
        goes_on: (rows, 1) 0 if the market ended, else 1.
    """

    features: torch.Tensor
    actions: torch.Tensor
    money: torch.Tensor
    next_features: torch.Tensor
    goes_on: torch.Tensor

    @classmethod
    def of(cls, log: LoggedData, learner_view: LearnerView) -> Transitions:
        """Transitions from a log, with money scaled to order one."""
        actions = learner_view.chosen(log.actions.reshape(-1, log.actions.shape[-1]))
        money = log.money / max(np.abs(log.money).mean(), 1e-9)
        goes_on = 1.0 - (log.done & log.ends)
        parts = (log.features, log.next_features)
        features, after = (torch.from_numpy(part.reshape(-1, part.shape[-1])) for part in parts)
        money, goes_on = (torch.from_numpy(part.reshape(-1, 1).astype(np.float32)) for part in (money, goes_on))
        return cls(features, torch.from_numpy(actions), money, after, goes_on)


def td3_bc(policy: Any, learner_view: LearnerView, log: LoggedData, settings: Settings, seed: int) -> dict[str, Any]:
    """Train a TD3 policy on a log: TD3 with behaviour cloning.

    Fujimoto and Gu (2021), A Minimalist Approach to Offline Reinforcement Learning, equation 3. The
    actor minimises caution * |a - logged a|^2 - Q(s, a). Q is in units of a period's mean money,
    not of mean |Q|: over a long horizon the effect of a single price would be negligible in the
    latter.

    Returns:
        The number of rows.
    """
    transitions, own = Transitions.of(log, learner_view), settings.algorithm
    actor = torch.optim.Adam(policy.actor.parameters(), lr=settings.learning_rate, fused=True)
    critic = torch.optim.Adam(policy.critic.parameters(), lr=settings.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    parts = list(shuffled_batches(transitions.features, settings.clone_epochs, seed))
    falling = falling_rate(actor, len(parts) // _DELAY + 1), falling_rate(critic, len(parts))
    for update, rows in enumerate(parts):
        t = Transitions(*(part[rows] for part in transitions))
        with torch.no_grad():
            noise = _NOISE * torch.randn(t.actions.shape, generator=generator)
            following = policy.actor_target(t.next_features) + noise.clamp(-_NOISE_LIMIT, _NOISE_LIMIT)
            value = torch.cat(policy.critic_target(t.next_features, following.clamp(-1, 1)), dim=1).amin(
                dim=1, keepdim=True
            )
            target = t.money + own["gamma"] * t.goes_on * value
        _descend(critic, torch.stack([mse_loss(q, target) for q in policy.critic(t.features, t.actions)]).sum())
        falling[1].step()
        if update % _DELAY:
            continue
        asked = policy.actor(t.features)
        gain = policy.critic.q1_forward(t.features, asked).mean()
        _descend(actor, own["caution"] * mse_loss(asked, t.actions) - gain)
        falling[0].step()
        for name in ("actor", "critic"):
            polyak_update(getattr(policy, name).parameters(), getattr(policy, f"{name}_target").parameters(), _TAU)
    return {"rows": len(transitions.money)}


def cql(policy: Any, learner_view: LearnerView, log: LoggedData, settings: Settings, seed: int) -> dict[str, Any]:
    """Train a DQN policy on a log: conservative Q-learning with double Q-learning.

    Kumar et al. (2020), Conservative Q-Learning, equation 4. In addition to the temporal difference
    it minimises caution * (log sum_a exp Q(s, a) - Q(s, logged a)).

    Returns:
        The number of rows.
    """
    transitions, own = Transitions.of(log, learner_view), settings.algorithm
    optimiser = torch.optim.Adam(policy.q_net.parameters(), lr=settings.learning_rate, fused=True)
    parts = list(shuffled_batches(transitions.features, settings.clone_epochs, seed))
    falling = falling_rate(optimiser, len(parts))
    for rows in parts:
        t = Transitions(*(part[rows] for part in transitions))
        with torch.no_grad():
            best = policy.q_net(t.next_features).argmax(dim=1, keepdim=True)
            value = policy.q_net_target(t.next_features).gather(1, best)
            target = t.money + own["gamma"] * t.goes_on * value
        values = policy.q_net(t.features)
        logged = values.gather(1, t.actions)
        above = (values.logsumexp(dim=1, keepdim=True) - logged).mean()
        _descend(optimiser, mse_loss(logged, target) + own["caution"] * above)
        falling.step()
        polyak_update(policy.q_net.parameters(), policy.q_net_target.parameters(), _TAU)
    return {"rows": len(transitions.money)}


def _descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
