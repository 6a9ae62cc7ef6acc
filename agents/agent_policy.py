"""Agents of other libraries as runs, which can be evaluated and exported as any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import ActionWrapper, ObservationWrapper, Wrapper
from gymnasium.vector import VectorActionWrapper, VectorObservationWrapper, VectorWrapper
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from ..envs import LearnerView, Market
from ..scenarios import MarketSpec
from .actor import Actor, RecurrentActor, actor_of
from .networks import one_thread
from .run import Run, made_with, run_of

_EXAMPLES = 64


def policy_from(agent: Any, env: Any = None, *, name: str | None = None) -> Run:
    """A run around an agent that was trained elsewhere, for `evaluate`, `export` and explanations.

    Args:
        agent: A model of Stable-Baselines3 or sb3-contrib; a torch module from observations (rows,
            F) to raw actions (rows, A), or with discrete actions to a score for each choice; or any
            function from observations to actions, which can be evaluated but not exported.
        env: The environment that it was trained in, any of this package's, wrapped or not; or a
            market or its name, for the default view of it. An SB3 model brings its own.
        name: Name in tables; the agent's class by default.

    Raises:
        ValueError: There is no environment, or the agent does not fit it.

    Example:
        >>> from repricer import evaluate, policy_from
        >>> run = policy_from(lambda rows: 0 * rows[:, :1], "stationary-logit", name="regular-price")
        >>> sorted(row.policy for row in evaluate("stationary-logit", [run], episodes=8).rows)
        ['best-fixed', 'regular-price']
    """
    if not (isinstance(agent, BaseAlgorithm) or callable(agent)):
        raise ValueError(f"agent must be an SB3 model, torch module or function; got {type(agent).__name__}; wrap it")
    if env is None and isinstance(agent, BaseAlgorithm):
        env = agent.get_env()
    view = _view_of(env)
    actor = _actor(agent, view)
    kind = getattr(agent, "__name__", type(agent).__name__)
    facts = {
        "name": name or kind,
        "algo": kind,
        "seed": 0,
        "steps": getattr(agent, "num_timesteps", 0),
        "settings": {"history": view.history, "base_price": "given"},
        "exportable": not isinstance(actor.layers, _Function),
        **made_with(),
    }
    return run_of(actor, view, facts, [])


def _view_of(env: Any) -> LearnerView:
    if isinstance(env, (str, MarketSpec)):
        return LearnerView(Market(env))
    if isinstance(env, LearnerView):
        return env
    _check_wrappers(env)
    plain = getattr(env, "unwrapped", env)
    # SB3's DummyVecEnv holds Gymnasium environments.
    plain = getattr(plain, "envs", [plain])[0]
    _check_wrappers(plain)
    view = getattr(getattr(plain, "unwrapped", plain), "learner_view", None)
    if view is None:
        raise ValueError(f"env must be repricer's; got {type(env).__name__}; give the one it was trained in")
    return view


def _check_wrappers(env: Any) -> None:
    """Refuse wrappers through which an agent saw or did something else than in the market, also with the same spaces."""
    changing = (ActionWrapper, ObservationWrapper, VectorActionWrapper, VectorObservationWrapper)
    while isinstance(env, (Wrapper, VectorWrapper)):
        if isinstance(env, changing):
            raise ValueError(f"env must not change actions or observations; got {type(env).__name__}; train without it")
        env = env.env


def _actor(agent: Any, view: LearnerView) -> Actor:
    columns = view.layout.size * (1 if view.product_wise else view.base_price.size)
    if isinstance(agent, BaseAlgorithm):
        for kind in ("observation_space", "action_space"):
            if (got := getattr(agent, kind)) != (want := getattr(view, kind)):
                raise ValueError(f"the agent's {kind} must be its market's {want}; got {got}; train without wrappers")
        return _of_sb3(agent, view, columns)
    if isinstance(agent, torch.nn.Module):
        actor = Actor(agent, view.levels, columns)
    else:
        actor = Actor(_Function(agent, view), None, columns)
    rows = torch.from_numpy(view.observe())
    try:
        with one_thread(), torch.inference_mode():
            raw = actor.eval()(rows)
    except RuntimeError as error:
        raise ValueError(f"agent must take {rows.shape[1]} features; got {error}; give its own market") from error
    if tuple(raw.shape) != (len(rows), columns):
        raise ValueError(f"agent must return {columns} numbers a row; got shape {tuple(raw.shape)}; fix it")
    return actor


def _of_sb3(model: BaseAlgorithm, view: LearnerView, columns: int) -> Actor:
    """The network of an SB3 model, checked against its own `predict`; else `predict` itself."""
    normalise = model.get_vec_normalize_env()

    def predict(rows: NDArray[np.float32]) -> NDArray:
        seen = rows if normalise is None else normalise.normalize_obs(rows)
        return model.predict(seen, deterministic=True)[0]

    function = Actor(_Function(predict, view), None, columns)
    try:
        model.policy.set_training_mode(False)
        actor = actor_of(model.policy, view)
    except AttributeError:
        return function
    if isinstance(normalise, VecNormalize) and normalise.norm_obs:
        front = "features" if isinstance(actor, RecurrentActor) else "layers"
        setattr(actor, front, torch.nn.Sequential(_Normalised(normalise), getattr(actor, front)))
    if isinstance(actor, RecurrentActor):
        return actor
    rows = np.random.default_rng(0).uniform(-3.0, 3.0, (_EXAMPLES, *view.observation_space.shape)).astype(np.float32)
    with one_thread(), torch.inference_mode():
        own = actor(torch.from_numpy(rows).to(model.device)).cpu().clip(-1, 1).numpy()
    same = np.allclose(own, np.clip(function(torch.from_numpy(rows)).numpy(), -1, 1), atol=1e-5)
    return actor.cpu() if same else function


class _Function(torch.nn.Module):
    """A function from observations to actions, in the place of layers."""

    def __init__(self, function: Callable[[NDArray[np.float32]], Any], view: LearnerView) -> None:
        super().__init__()
        self.function = function
        self.view = view

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        actions = np.asarray(self.function(features.numpy()))
        raw = self.view.raw(actions.reshape(len(features), *(self.view.action_space.shape or ())))
        return torch.from_numpy(np.asarray(raw, np.float32).reshape(len(features), -1))


class _Normalised(torch.nn.Module):
    """The observations as SB3's `VecNormalize` scales them."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, normalise: VecNormalize) -> None:
        super().__init__()
        seen: Any = normalise.obs_rms
        self.register_buffer("mean", torch.from_numpy(seen.mean.astype(np.float32)))
        deviation = np.sqrt(seen.var + normalise.epsilon).astype(np.float32)
        self.register_buffer("deviation", torch.from_numpy(deviation))
        self.limit = float(normalise.clip_obs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return ((features - self.mean) / self.deviation).clip(-self.limit, self.limit)
