"""The callback between updates: checkpoints, validation, best policy, logs, early stopping."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy

from ..atomic import write_whole
from ..envs import LearnerView, MarketVecEnv, Outcome, seed_for
from ..envs.rollout import markets_of
from ..pricing import FixedPrice, Policy, is_deterministic
from ..scenarios import MarketSpec, floor_market
from .actor import RecurrentActor, learning_actor, learning_policy
from .checkpoint import read_tensors, save_checkpoint
from .classical import truths_of
from .plan import TrainingPlan
from .posterior import current_prices, risk_value, worst_share
from .posterior.best_plan import plan_multiplier
from .run import CHECKPOINT_FILE, POLICY_FILE, PROGRESS_FILE, save_policy

Decide = Callable[[LearnerView], Outcome]
"""Runs one period of the markets of a view."""
TrainingProgress = Callable[[int, int, dict[str, float]], None]
# A gain is significant if it exceeds this multiple of its paired standard error.
_SIGNIFICANT = 1.64
_REPORTS = 200
# Changes of the multiplier's logarithm when profit is off the floor by the whole revenue: over all
# validations together, and at once.
_INTEGRAL = 12.0
_PROPORTIONAL = 4.0
# Share of a profit floor that counts as kept, and what the seed of customers differs by on which learning is confirmed.
_FLOOR_SLACK = 1e-3
_FRESH = 1 << 20


class ValidationMarket(NamedTuple):
    """A market to validate in.

    Attributes:
        truths: Its posterior draws, or the market itself.
        view: The learner view that the policy is trained through; the policy believes in its market.
        fixed: The best fixed prices.
        plan: The plan that the policy is learned around, where it is.
    """

    truths: Sequence[MarketSpec]
    view: LearnerView
    fixed: FixedPrice
    plan: Policy | None = None

    @property
    def assumed(self) -> MarketSpec:
        """The market that policies believe in."""
        return self.view.market.assumed or self.view.market.spec


class Validation(BaseCallback):
    """Validates the policy against the best fixed prices on the same customers; keeps the best one.

    Over several posterior draws, the best one has the highest mean, or with the setting `risk` the
    highest CVaR of the gain over current prices. Over several markets, the money of each counts in
    shares of what its best fixed prices earn.

    A checkpoint is written with each validation, at the start of a rollout. Everything that the
    next update depends on is complete at that point, so a resumed run continues exactly.

    Args:
        markets: The markets to validate in, that of the run first.
        plan: What is trained; what its teacher earns itself is measured, too.
        folder: Where checkpoints are written.
        progress: As for `train`.
    """

    def __init__(
        self,
        markets: Sequence[ValidationMarket],
        plan: TrainingPlan,
        folder: Path | None,
        progress: TrainingProgress | None,
    ) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, torch.Tensor] = {}
        self.confirmed: dict[str, float] | None = None
        self.seconds_before = 0.0
        self.stopped = False
        settings = plan.settings
        teacher = plan.teacher
        self._markets = markets
        self._settings = settings
        self._steps = plan.steps
        self._seed = seed_for("validation", plan.seed)
        self._folder = folder
        self._progress = progress
        self._share = worst_share(settings.risk)
        self._floor = None
        self._weights = np.ones(len(markets))
        self._views = [self._views_of(market, self._seed) for market in markets]
        if len(markets) > 1:
            alone = zip(self._views, markets, strict=True)
            earned = np.array([self._play_in(views, _following(market.fixed))[0].mean() for views, market in alone])
            size = np.where(earned == 0, 1.0, np.abs(earned))
            self._weights = size[0] / size
        self._fixed = self._play(lambda market: _following(market.fixed))[0]
        # Of gains over current prices, where they decide.
        self._current = np.zeros_like(self._fixed)
        if self._share < 1:
            self._current = self._play(lambda market: _following(current_prices(market.assumed)))[0]
        self._planned = None if markets[0].plan is None else self._play_plan(self._seed)
        if floor_market(markets[0].assumed) is not None:
            own = markets[0].assumed
            profit = self._play(lambda market: _following(current_prices(market.assumed)))[1]
            self._floor = ProfitFloor.of(own, float(self._fixed.mean()), profit, settings.evaluations)
            if self._planned is not None:
                multiplier = plan_multiplier(own, settings.risk)
                self._floor.state = multiplier, multiplier
        self._teacher: float | None = None
        if teacher is not None and is_deterministic(teacher) and len(markets) == 1 and self._share == 1:
            self._teacher = float(self._play(lambda _: _following(teacher))[0].mean())
        self._next = 0
        self._next_report = 0
        self._started = time.perf_counter()
        # Objective at the last significant gain, and the number of validations since.
        self._mark = np.full_like(self._fixed, -np.inf)
        self._flat = 0

    def resume(self, facts: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        assert self._folder is not None  # only a run with a folder has a checkpoint
        self.history = facts["history"]
        self.best = facts["best"]
        self._next = facts["next"]
        self.seconds_before = facts["seconds"]
        self._flat = facts["flat"]
        self._mark = facts["mark"].numpy()
        self.stopped = self._on_a_plateau
        self.best_weights = read_tensors(self._folder / POLICY_FILE)[0]
        if self._floor is not None:
            self._floor.state = tuple(facts["multiplier"])

    def finish(self) -> None:
        """Validate after the last update, unless the run has stopped early."""
        if not self.stopped:
            self._validate()
            self._checkpoint()

    def _on_training_start(self) -> None:
        """Let the training markets charge the present shadow cost."""
        if self._floor is not None:
            cast(MarketVecEnv, self.training_env).scale_costs(self._floor.factor)

    def _on_rollout_start(self) -> None:
        if isinstance(self.model, OnPolicyAlgorithm):
            # The figures of the last update, which Stable-Baselines3 would write at the end of the next rollout: a
            # validation in between would write them at a step that has some already, and a kill would lose them.
            self.logger.dump(self.num_timesteps)
        if self.num_timesteps >= self._next:
            self._validate()
            self._next = self.num_timesteps + self._steps // self._settings.evaluations
            self._checkpoint()
        elif self.num_timesteps < self._next_report:
            return
        self._next_report = self.num_timesteps + self._steps // _REPORTS
        if self._progress is not None:
            self._progress(self.num_timesteps, self._steps, self.history[-1])

    def _on_step(self) -> bool:
        return not self.stopped

    def _views_of(self, market: ValidationMarket, seed: int) -> list[LearnerView]:
        """The policy's view of the markets of all validation episodes, draw by draw."""
        count = len(self._markets) * len(market.truths)
        each = max(1, self._settings.validation_episodes // count)
        return [
            market.view.on(batch) for truth in market.truths for batch in markets_of(truth, each, seed, market.assumed)
        ]

    def _play_in(self, views: list[LearnerView], decide: Decide) -> tuple[NDArray[np.float64], float]:
        """(episodes,) expected objective on the validation seeds, draw by draw, and the mean expected profit."""
        played = [_played(view, decide) for view in views]
        objective = np.concatenate([objective for objective, _ in played])
        return objective, float(sum(profit for _, profit in played) / objective.size)

    def _play(self, decide: Callable[[ValidationMarket], Decide]) -> tuple[NDArray[np.float64], float]:
        """As `_play_in`, market by market, in the money of the first one."""
        played = [
            self._play_in(views, decide(market)) for market, views in zip(self._markets, self._views, strict=True)
        ]
        weighted = [weight * objective for weight, (objective, _) in zip(self._weights, played, strict=True)]
        return np.concatenate(weighted), float(np.mean(self._weights * [profit for _, profit in played]))

    def _value(self, policy: BasePolicy) -> tuple[NDArray[np.float64], float]:
        """As `_play`, of a network, with a penalty below a profit floor."""
        objective, profit = self._play(lambda market: _deciding(policy, market.view))
        return objective if self._floor is None else self._floor.value(objective, profit), profit

    def _play_plan(self, seed: int) -> NDArray[np.float64]:
        """(episodes,) expected objective of the plan on some seed's customers."""
        first = self._markets[0]
        assert first.plan is not None, "called where there is one"
        return self._play_in(self._views_of(first, seed), _following(first.plan))[0]

    def confirm(self, policy: BasePolicy) -> dict[str, float]:
        """What a policy adds to the plan on customers that nothing was chosen on: `learning_adds`, a share of what the plan
        earns, with its standard error, and whether it is `ahead` by more than chance and keeps the profit floor.
        """
        first = self._markets[0]
        seed = self._seed + _FRESH
        learned, profit = self._play_in(self._views_of(first, seed), _deciding(policy, first.view))
        planned = self._play_plan(seed)
        gain = learned - planned
        size = abs(float(planned.mean())) or 1.0
        ahead = gain.mean() > _SIGNIFICANT * _standard_error(gain) and self._keeps_floor(profit)
        ahead = ahead and self._keeps_floor_by_all_sales(policy, seed)
        figures = {"learning_adds": float(gain.mean()) / size, "standard_error": _standard_error(gain) / size}
        return figures | {"plan_earns": float(planned.mean()), "ahead": float(ahead)}

    def _keeps_floor(self, profit: float) -> bool:
        return self._floor is None or _keeps(profit, self._floor.profit)

    def _keeps_floor_by_all_sales(self, policy: BasePolicy, seed: int) -> bool:
        """Whether the profit floor is kept by all sales as well: what was learned by half of them stands close to it."""
        first = self._markets[0]
        floor = floor_market(first.assumed)
        if floor is None or first.assumed.searched is first.assumed:
            return True
        # A few draws do not say on which side of its floor a profit lies.
        views = self._views_of(first._replace(truths=truths_of(floor, floor.num_draws)), seed)
        learned = _deciding(policy, first.view)
        own = _following(current_prices(first.assumed))
        return _keeps(self._play_in(views, learned)[1], self._play_in(views, own)[1])

    @property
    def is_behind(self) -> bool:
        """Whether all that was learned earns less than the best fixed prices; these were not asked for where risk decides."""
        return self._share == 1 and self.best["gain"] < 0

    @property
    def teachers_share(self) -> dict[str, float] | None:
        """Gains over the best fixed prices: of the teacher, of its imitation before learning, and of the best after it."""
        if self._teacher is None:
            return None
        fixed = float(self._fixed.mean())
        learned = [row["gain"] for row in self.history if row["steps"] > 0]
        gains = {"teacher": self._teacher - fixed, "imitated": self.history[0]["gain"]}
        return gains | {"learned": max(learned)} if learned else gains

    @property
    def teacher_is_ahead(self) -> bool:
        """Whether the teacher earns more than all that was learned."""
        return self._teacher is not None and self._floor is None and self._teacher > self.best["objective"]

    def keep(self, policy: BasePolicy) -> None:
        """Keep a policy of the run's network whatever else was learned."""
        self._keep(policy, self._row(*self._value(policy)) | {"steps": 0})

    def keep_if_better(self, policy: BasePolicy) -> bool:
        """Keep another policy of the run's network if it earns more than all that was learned.

        Returns:
            Whether it is kept; `best` and `best_weights` are then its own.
        """
        row = self._row(*self._value(policy)) | {"steps": 0}
        if row["objective"] <= self.best["objective"]:
            return False
        self._keep(policy, row)
        return True

    def _row(self, objective: NDArray[np.float64], profit: float) -> dict[str, float]:
        """The figures of a validation."""
        gain = objective - self._fixed
        row = {
            "steps": self.num_timesteps,
            "seconds": self._seconds(),
            "objective": float(objective.mean()),
            "best_fixed": float(self._fixed.mean()),
            "gain": float(gain.mean()),
            "gain_se": _standard_error(gain),
        }
        if self._planned is not None:
            over = objective[: self._planned.size] - self._planned  # of the market that the plan is of
            row |= {"over_plan": float(over.mean()), "over_plan_se": _standard_error(over)}
        if self._share < 1:
            by_draw = (objective - self._current).reshape(len(self._markets[0].truths), -1).mean(axis=1)
            row["worst_gain"] = risk_value(by_draw, self._share)
        if self._floor is not None:
            row |= {"profit": profit, "profit_floor": self._floor.profit, "shadow_cost_factor": self._floor.factor}
        return row

    def _keep(self, policy: BasePolicy, row: dict[str, float]) -> None:
        self.best = row
        self.best_weights = {k: v.detach().cpu().clone() for k, v in policy.state_dict().items()}
        if self._folder is not None:
            save_policy(self._folder, policy, row)

    def _validate(self) -> None:
        aim = "objective" if self._share == 1 else "worst_gain"
        # The price rules would replace the NaN prices of such a policy by base prices.
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.policy.parameters()):
            raise ValueError("weights must be finite; got NaN: the policy diverged; lower learning_rate")
        objective, profit = self._value(self.model.policy)
        row = self._row(objective, profit)
        self.history.append(row)
        for name in ("objective", "gain", "gain_se"):
            self.logger.record(f"validation/{name}", row[name])
        self.logger.dump(self.num_timesteps)
        self._watch_for_a_plateau(objective)
        if not self.best or (row[aim] > self.best[aim] and self._keeps_floor(profit)):
            self._keep(self.model.policy, row)
        if self._floor is not None:
            self._floor.follow(profit)
        self._on_training_start()

    def _watch_for_a_plateau(self, objective: NDArray[np.float64]) -> None:
        ahead = objective - self._mark
        if not np.isfinite(ahead).all() or ahead.mean() > _SIGNIFICANT * _standard_error(ahead):
            self._mark = objective
            self._flat = 0
            return
        self._flat += 1
        self.stopped = self._on_a_plateau

    @property
    def _on_a_plateau(self) -> bool:
        return 0 < self._settings.patience <= self._flat

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self._started

    def _checkpoint(self) -> None:
        if self._folder is None:
            return
        write_whole(self._folder / PROGRESS_FILE, pd.DataFrame(self.history, dtype=object).to_csv(index=False))
        facts = {
            "history": self.history,
            "best": self.best,
            "next": self._next,
            "seconds": self._seconds(),
            "flat": self._flat,
            "mark": self._mark,
            "multiplier": None if self._floor is None else self._floor.state,
        }
        save_checkpoint(self._folder / CHECKPOINT_FILE, self.model, cast(MarketVecEnv, self.training_env), facts)


def _played(view: LearnerView, decide: Decide) -> tuple[NDArray[np.float64], float]:
    """(E,) expected objective of an episode of each market, and the expected profit of all."""
    view.reset()
    market = view.market
    objective = np.zeros(view.market.num_markets)
    profit = 0.0
    for t in range(market.spec.market.horizon_periods):
        outcome = decide(view)
        if callable(view.reward):
            money = (
                view.rewards(outcome).reshape(market.num_markets, -1).sum(axis=1, dtype=np.float64) / view.reward_scale
            )
        else:
            money = market.money(outcome, expected=True).sum(axis=1, dtype=np.float64)
        objective += market.spec.market.discount_factor**t * money
        profit += outcome.expected_profit.sum(dtype=np.float64)
    return objective, profit


def _following(policy: Policy) -> Decide:
    """Run a period under a policy."""
    return lambda view: view.market.step(policy.act(view.market.view))


def _deciding(policy: BasePolicy, view: LearnerView) -> Decide:
    """Run a period under a network, without exploration."""
    actor = learning_actor(policy, view)
    if isinstance(actor, RecurrentActor):
        return _following(learning_policy(policy, view))

    def decide(view: LearnerView) -> Outcome:
        with torch.inference_mode():
            raw = actor(torch.from_numpy(view.observe())).numpy()
        return view.step_raw(raw.reshape(view.market.num_markets, -1), charged=False)

    return decide


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else 0.0


def _keeps(profit: float, floor: float) -> bool:
    """Whether a profit, currency, counts as no less than its floor."""
    return profit >= floor - _FLOOR_SLACK * abs(floor)


# Learning revenue at no less profit than the current prices: a step of the dual problem.
#
# The shadow cost of a fitted market is the Lagrange multiplier of its profit floor for fixed prices. A learned
# policy, which also gives discounts, keeps more profit at that cost than it must. The multiplier therefore follows
# the policy in training: it falls while profit is above the floor and rises while it is below, at once and for good,
# so that it does not swing around its value (Stooke, Achiam and Abbeel 2020, Responsive Safety in Reinforcement
# Learning by PID Lagrangian Methods).


@dataclass
class ProfitFloor:
    """The floor, and the present multiplier.

    Args:
        profit: The floor: mean profit of the current prices, currency per episode.
        revenue: Mean revenue of the best fixed prices, currency per episode.
        share: The shadow cost of the scenario as a share of the unit cost that the floor is held at.
        validations: Number of calls of `follow` in a training.
        state: The multiplier, and the part of it that remembers, as multiples of the scenario's
            shadow cost.

    Example:
        >>> floor = ProfitFloor(profit=10.0, revenue=100.0, share=0.5, validations=12)
        >>> floor.follow(20.0)
        >>> round(floor.factor, 2), floor.value(np.array([100.0]), 8.0).tolist()
        (0.61, [96.0])
    """

    profit: float
    revenue: float
    share: float
    validations: int
    state: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, spec: MarketSpec, revenue: float, profit: float, validations: int) -> ProfitFloor:
        """The floor of a market with a `floor_cost`.

        Args:
            revenue: As for the class, like the other arguments.
            profit: Of the current prices, at the floor's unit costs.
        """
        products = spec.products
        share = float(products.shadow_cost.sum() / products.floor_cost.sum())
        return cls(profit, revenue, min(share, 0.99), validations)

    @property
    def factor(self) -> float:
        """The multiplier as a multiple of the scenario's shadow cost."""
        return self.state[0]

    def value(self, revenue: NDArray[np.float64], profit: float) -> NDArray[np.float64]:
        """(episodes,) revenue, less what is missing of the profit at more than what it can bring in revenue.

        Args:
            revenue: (episodes,) currency.
            profit: Mean profit, currency per episode.
        """
        # At the best prices a unit of profit is worth share / (1 - share) of revenue.
        return revenue - max(0.0, self.profit - profit) / (1 - self.share)

    def follow(self, profit: float) -> None:
        """Move the multiplier to a policy's mean profit, currency per episode."""
        over = (profit - self.profit) / self.revenue
        low = np.log(0.05)
        high = -np.log(self.share)
        integral = float(np.clip(np.log(self.state[1]) - _INTEGRAL / self.validations * over, low, high))
        self.state = float(np.exp(np.clip(integral - _PROPORTIONAL * over, low, high))), float(np.exp(integral))
