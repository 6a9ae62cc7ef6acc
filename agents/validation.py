"""What happens between updates: checkpoints, paired validation, the best policy, the log."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy

from ..envs import Face, MarketVecEnv, rollout, seed_for
from ..pricing import FixedPrice
from ..scenarios import MarketSpec
from .actor import Actor, network_policy
from .checkpoint import read_tensors, save_checkpoint
from .run import CHECKPOINT_FILE, POLICY_FILE, PROGRESS_FILE, save_policy
from .settings import Settings

Progress = Callable[[int, int, dict[str, float]], None]


class Validation(BaseCallback):
    """Validates the policy against the best fixed price on the same customers, a few times a run, and keeps the best.

    A checkpoint is written beside each validation, at the start of a rollout: all that the next update depends on is
    then settled, so that a resumed run goes on exactly where it stood.
    """

    def __init__(
        self,
        spec: MarketSpec,
        face: Face,
        fixed: FixedPrice,
        settings: Settings,
        steps: int,
        seed: int,
        folder: Path | None,
        progress: Progress | None,
    ) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, torch.Tensor] = {}
        self.seconds_before = 0.0
        self._spec, self._face, self._settings, self._steps = spec, face, settings, steps
        self._seed, self._folder, self._progress = seed_for("validation", seed), folder, progress
        self._fixed = self._objective(fixed)
        self._next, self._started = 0, time.perf_counter()

    def resume(self, facts: dict[str, Any]) -> None:
        """Go on from what a checkpoint's facts say."""
        assert self._folder is not None  # only a run with a folder has a checkpoint
        self.history, self.best, self._next = facts["history"], facts["best"], facts["next"]
        self.seconds_before = facts["seconds"]
        self.best_weights = read_tensors(self._folder / POLICY_FILE)[0]

    def finish(self) -> None:
        """The last validation, after the last update."""
        self._validate()
        self._checkpoint()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._validate()
            self._next = self.num_timesteps + self._steps // self._settings.evaluations
            self._checkpoint()
        if self._progress is not None:
            self._progress(self.num_timesteps, self._steps, self.history[-1])

    def _on_step(self) -> bool:
        return True

    def _objective(self, policy: Any) -> np.ndarray:
        """(episodes,) expected objective on the validation customers."""
        count = self._settings.validation_episodes
        return rollout(self._spec, policy, episodes=count, seed=self._seed, expected=True).objective

    def _validate(self) -> None:
        network = cast(ActorCriticPolicy, self.model.policy.cpu())
        face = self._face
        policy = network_policy(
            Actor(network), face.layout, face.base_price, product_wise=face.product_wise, name="learning"
        )
        objective = self._objective(policy)
        self.model.policy.to(self.model.device)
        gain = objective - self._fixed
        row = {
            "steps": self.num_timesteps,
            "seconds": self.seconds_before + time.perf_counter() - self._started,
            "objective": float(objective.mean()),
            "best_fixed": float(self._fixed.mean()),
            "gain": float(gain.mean()),
            "gain_se": float(gain.std(ddof=1) / np.sqrt(gain.size)) if gain.size > 1 else 0.0,
        }
        self.history.append(row)
        if not self.best or row["objective"] > self.best["objective"]:
            self.best = row
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.model.policy.state_dict().items()}
            if self._folder is not None:
                save_policy(self._folder, network, row)

    def _checkpoint(self) -> None:
        if self._folder is None:
            return
        with (self._folder / PROGRESS_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)
        facts = {
            "history": self.history,
            "best": self.best,
            "next": self._next,
            "seconds": self.seconds_before + time.perf_counter() - self._started,
        }
        save_checkpoint(self._folder / CHECKPOINT_FILE, self.model, cast(MarketVecEnv, self.training_env), facts)
