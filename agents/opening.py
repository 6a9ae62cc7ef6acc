"""How learning opens: at the base prices or a teacher, with rewards that are counted relative to what those earn."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from ..envs import LearnerView, MarketVecEnv
from ..envs.adapters.sb3_env import Shaping
from ..pricing import FixedPrice, Policy
from .actor import hold_base_price
from .cloning import DISTURBANCE, Samples, align_targets, fill, minimise
from .logged_data import record_policy, training_view
from .ordered_levels import flatten_values
from .settings import Settings

_HIDDEN = 64
# A critic opens nearly flat: what the base prices earn is in the potential already.
_FLAT = 0.1


def open_relative(
    model: BaseAlgorithm, venv: MarketVecEnv, settings: Settings, seed: int, teacher: Policy | None
) -> None:
    """Shape the rewards by what the teacher or the base prices earn, and let an off-policy model start at these prices.

    They play `clone_episodes` episodes, disturbed in half of the markets. A network fitted to the
    money that followed a state becomes the potential of the rewards. A replay buffer is filled with
    the transitions of base prices, in place of random actions; `clone` does that for a teacher.

    Args:
        teacher: A policy that is imitated next, or None.
    """
    view = venv.learner_view
    gamma = float(cast(Any, model).gamma)
    enough = -(-venv.num_envs // view.rows_per_market)
    watched = training_view(view, max(settings.clone_episodes, enough), seed)
    base = FixedPrice(view.base_price) if view.base is None else view.base
    log = record_policy(watched, teacher or base, disturbance=DISTURBANCE, seed=seed)
    samples = Samples.of(log, view, gamma, whole=False, device=torch.device("cpu"))
    network = _potential(samples, settings.clone_epochs, seed)

    def potential(features: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return network(torch.from_numpy(features))[:, 0].numpy()

    shaping = Shaping(potential, gamma, settings.shaped_scale)
    venv.shaping = shaping
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None and teacher is None:
        _start_at_base(model.policy, view)
        fill(buffer, log.shaped(shaping), view)


def open_at_rule(policy: BasePolicy, view: LearnerView) -> None:
    """Let a policy that draws a price from a list draw that of the base price rule half of the time, where there is one.

    So learning opens at what the rule earns, and goes on trying other prices: a policy that imitates the rule would draw
    no others.
    """
    if view.base is None or view.levels is None or not isinstance(policy, ActorCriticPolicy):
        return
    prices = view.levels[0]
    scores = np.zeros(sum(map(len, view.levels)), np.float32)
    scores[np.abs(prices).argmin()] = np.log(len(prices) - 1)
    bias = cast(torch.Tensor, policy.action_net.bias)
    with torch.no_grad():
        bias.copy_(torch.from_numpy(np.tile(scores, len(bias) // len(scores))))


def _potential(samples: Samples, epochs: int, seed: int) -> torch.nn.Module:
    """A network fitted to the returns that followed a state."""
    widths = (samples.features.shape[1], _HIDDEN, _HIDDEN)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = [m for pair in pairwise(widths) for m in (torch.nn.Linear(*pair), torch.nn.ReLU())]
        network = torch.nn.Sequential(*parts, torch.nn.Linear(_HIDDEN, 1))

    def loss(batch: Samples) -> torch.Tensor:
        return torch.nn.functional.mse_loss(network(batch.features)[:, 0], batch.returns)

    minimise(loss, network.parameters(), samples, epochs, seed)
    return network


def _start_at_base(policy: Any, view: LearnerView) -> None:
    """Let the actor give base prices, bring the values of actions near zero and the target networks in line."""
    if view.levels is None:
        hold_base_price(policy, view)
    for name, network in policy.critic.named_children() if hasattr(policy, "critic") else ():
        if name.startswith("qf"):
            *_, head = (module for module in network.modules() if isinstance(module, torch.nn.Linear))
            with torch.no_grad():
                head.weight.mul_(_FLAT)
                head.bias.mul_(_FLAT)
    if hasattr(policy, "q_net") and view.levels is not None:
        flatten_values(policy.q_net.q_net, int(np.abs(view.levels[0]).argmin()), len(view.levels[0]), _FLAT)
    align_targets(policy)
