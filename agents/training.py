"""Training: one `train` for every algorithm, resumable, validated on paired customers, the best policy kept."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from ..envs import Face, MarketVecEnv, make_sb3_env, rollout, seed_for
from ..pricing import FixedPrice
from ..scenarios import MarketSpec, load_scenario
from .actor import Actor
from .checkpoint import restore_checkpoint
from .classical import best_fixed
from .run import CHECKPOINT_FILE, Run, load_run, network_arguments, open_folder, policy_network, save_result
from .settings import Settings, settings_for
from .validation import Progress, Validation

ALGORITHMS = {"ppo": PPO}
# Below this many weights a GPU's transfers cost more than its arithmetic saves.
_GPU_FROM_WEIGHTS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What fixes a training run: the same plan gives the same policy."""

    spec: MarketSpec
    algo: str
    steps: int
    seed: int
    settings: Settings

    @property
    def identity(self) -> dict[str, Any]:
        """As the run folder holds it, to tell a resumed run from another."""
        return {
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "algo": self.algo,
            "steps": self.steps,
            "seed": self.seed,
            "settings": self.settings.to_dict(),
        }


def choose_device(device: str, weights: int) -> tuple[str, str]:
    """(device, why): `auto` keeps small networks on the CPU. Raises ValueError for an unknown or missing device."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda; got {device!r}; choose one of them")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda needs a GPU that torch can see; got none; use --device auto or cpu")
    if device != "auto":
        return device, "as asked"
    if not torch.cuda.is_available():
        return "cpu", "no GPU here"
    if weights < _GPU_FROM_WEIGHTS:
        return "cpu", f"a network of {weights:,} weights is faster on the CPU"
    return "cuda", f"a network of {weights:,} weights pays for the transfers"


def train(
    scenario: MarketSpec | str | Path,
    *,
    algo: str = "ppo",
    steps: int = 400_000,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Learn prices in a scenario's simulated market.

    steps: network rows collected, as SB3 counts them (a market-period, or product-wise a product-period). out: folder
    of the run; the same call resumes an interrupted run there and returns a finished one at once. settings: values laid
    over the preset. progress: called with (steps done, steps in all, figures of the last validation).

    Raises ValueError for an unknown algorithm, setting or device, and where `out` holds another run.
    """
    if algo not in ALGORITHMS:
        raise ValueError(f"algo must be one of {', '.join(ALGORITHMS)}; got {algo!r}; choose one of them")
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}; ask for more")
    choose_device(device, weights=0)  # a wrong device is refused before anything is written
    spec = load_scenario(scenario)
    plan = Plan(spec, algo, steps, seed, settings_for(spec, algo, settings))
    folder = None if out is None else Path(out)
    state = "new" if folder is None else open_folder(folder, spec, plan.identity)
    if folder is not None and state == "finished":
        return load_run(folder)
    with _one_thread():
        return _learn(plan, device, folder, state == "begun", progress)


def _learn(plan: Plan, device: str, folder: Path | None, resume: bool, progress: Progress | None) -> Run:
    started, spec, settings = time.perf_counter(), plan.spec, plan.settings
    fixed = best_fixed(spec, seed=plan.seed)
    venv = _markets(plan, fixed)
    model = _model(plan, venv)
    weights = sum(p.numel() for p in model.policy.parameters())
    where, why = choose_device(device, weights)
    if where != "cpu":
        model = _model(plan, venv, where)
    validation = Validation(spec, venv.face, fixed, settings, plan.steps, plan.seed, folder, progress)
    if resume and folder is not None:
        validation.resume(restore_checkpoint(folder / CHECKPOINT_FILE, model, venv))
    # A multiple of a rollout, so that SB3 stops where a checkpoint can stand.
    rollout_size = settings.n_steps * venv.num_envs
    target = max(1, round(plan.steps / rollout_size)) * rollout_size
    if model.num_timesteps < target:
        model.learn(target - model.num_timesteps, callback=validation, reset_num_timesteps=False)
        validation.finish()
    facts = plan.identity | {
        "base_price": venv.face.base_price.tolist(),
        "device": f"{where} ({why})",
        "weights": weights,
        "best": validation.best,
        "seconds": validation.seconds_before + time.perf_counter() - started,
        "versions": {name: version(name) for name in ("repricer", "torch", "stable-baselines3", "numpy")},
        "python": platform.python_version(),
    }
    run = _kept(plan, venv.face, validation, facts)
    if folder is not None:
        save_result(folder, run)
    return run


def _markets(plan: Plan, fixed: FixedPrice) -> MarketVecEnv:
    """The training markets, seen as the settings say, with rewards of order one."""
    chosen = fixed.price if plan.settings.base_price == "best-fixed" else plan.spec.products.regular_price
    base_price = np.asarray(chosen, dtype=np.float32)
    venv = make_sb3_env(
        plan.spec,
        num_envs=plan.settings.num_envs,
        seed=seed_for("training", plan.seed),
        product_wise=plan.settings.product_wise,
        reward=plan.settings.reward,
        base_price=base_price,
    )
    venv.face.reward_scale = _reward_scale(plan.spec, base_price, venv.face)
    return venv


def _kept(plan: Plan, face: Face, validation: Validation, facts: dict[str, Any]) -> Run:
    """The run with the weights of its best validation."""
    settings = plan.settings
    network = policy_network(face, list(settings.net_arch), settings.log_std_init)
    network.load_state_dict(validation.best_weights)
    product_wise = settings.product_wise
    return Run(plan.spec, Actor(network), face.layout, face.base_price, product_wise, facts, validation.history)


def _model(plan: Plan, venv: MarketVecEnv, device: str = "cpu") -> PPO:
    settings = plan.settings
    return ALGORITHMS[plan.algo](
        "MlpPolicy",
        venv,
        seed=plan.seed,
        device=device,
        n_steps=settings.n_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.n_epochs,
        learning_rate=linear_to_tenth(settings.learning_rate),
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.ent_coef,
        policy_kwargs=network_arguments(list(settings.net_arch), settings.log_std_init),
    )


def linear_to_tenth(start: float) -> Callable[[float], float]:
    """SB3 schedule: from `start` to a tenth of it, linear in the share of training that is left."""
    return lambda left: start * (0.1 + 0.9 * left)


def _reward_scale(spec: MarketSpec, base_price: NDArray[np.float32], face: Face) -> float:
    """Makes a row's reward of order one: the inverse of what the base price earns a row and period."""
    episodes = rollout(spec, FixedPrice(base_price), episodes=64, seed=seed_for("training"), expected=True)
    per_row = np.abs(episodes.objective.mean()) / (spec.market.horizon_periods * face.rows_per_market)
    return float(1.0 / max(per_row, 1e-9))


class _one_thread(nullcontext):
    """Small networks run faster on one torch thread; the caller's number is put back afterwards."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)
