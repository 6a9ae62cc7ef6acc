"""What determines a training run, checked before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..envs import Market
from ..envs.adapters.learner_view import RewardFunction
from ..pricing import Policy
from ..scenarios import MarketSpec, floor_market, load_scenario
from .algorithms import algorithm, check_actions
from .base_price import base_of
from .cloning import clone_defaults
from .presets import has_separate_periods
from .run import learner_view_of, shape_of_rows
from .settings import Settings, settings_for

_NEEDED = "product_wise true, actions continuous, variants 0 and risk mean"
_SEEDS = 1 << 32  # torch, numpy and SB3 take no others


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that determines a training run: the same plan gives the same policy.

    Attributes:
        spec: The market.
        algo: A key of `ALGORITHMS`.
        steps: Rows to collect.
        seed: Seed of weights, exploration and customers.
        settings: The training settings.
        teacher: A policy to imitate first, or None.
        assortments: Further markets to train in.
        reward: A function of `info` that is maximised in place of money, or None.
    """

    spec: MarketSpec
    algo: str
    steps: int
    seed: int
    settings: Settings
    teacher: Policy | None = None
    assortments: tuple[MarketSpec, ...] = ()
    reward: RewardFunction | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The plan as JSON, by which a run folder recognises its run."""
        more = {"assortments": [f"{other.name} {other.version}" for other in self.assortments]}
        # None where it is not so: folders of earlier versions lack it.
        return (more if self.assortments else {}) | {
            "reward": None if self.reward is None else getattr(self.reward, "__qualname__", type(self.reward).__name__),
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "algo": self.algo,
            "steps": self.steps,
            "seed": self.seed,
            "settings": self.settings.to_dict(),
            "teacher": None if self.teacher is None else self.teacher.name,
        }


def plan_for(
    spec: MarketSpec,
    algo: str,
    steps: int,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    preset: str | Path | None = None,
    teacher: Policy | None = None,
    assortments: Sequence[MarketSpec | str | Path] = (),
) -> TrainingPlan:
    """The plan of a run.

    Args:
        algo: As for `train`, like the other arguments.
        steps: Rows to collect.
        settings: Values that override the preset.
        teacher: A policy to imitate first.
        assortments: Further markets to train in.

    Raises:
        ValueError: The arguments do not fit the market or one another.
    """
    for name, value in (("steps", steps), ("seed", seed)):
        if not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number; got {value!r}; fix it")
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}; ask for more")
    if not 0 <= seed < _SEEDS:
        raise ValueError(f"seed must be between 0 and {_SEEDS - 1}; got {seed}; choose another")
    options = algorithm(algo).options
    own = dict(settings or {})
    others = tuple(map(load_scenario, assortments))
    chosen = ({} if teacher is None else clone_defaults(algorithm(algo))) | own
    of_all = settings_for(spec, algo, chosen, options, preset, others)
    plan = TrainingPlan(spec, algo, steps, seed, of_all, teacher, others)
    _check_reward(plan)
    rows = plan.settings.num_envs * plan.settings.algorithm.get("n_steps", 2)
    if rows < 2 and not algorithm(algo).off_policy:
        raise ValueError("num_envs times n_steps must be at least 2, to learn from differences; got 1; raise one")
    _check_assortments(plan)
    if plan.settings.risk != "mean" and not batches_of(spec, plan.settings):
        why = "setting draws 0" if spec.num_draws and not plan.settings.draws else "none"
        raise ValueError(f"risk {plan.settings.risk} needs draws of a posterior; got {why} for {spec.name}; use mean")
    base = plan.settings.base_price
    # The best fixed prices need a search, and are allowed wherever the regular ones are.
    around = base_of(spec, "regular" if base == "best-fixed" else base)
    check_actions(algorithm(algo), learner_view_of(Market(spec), plan.settings, *around))
    return plan


def _check_reward(plan: TrainingPlan) -> None:
    """Without a discount, conversion differences add up to the last period's conversion alone; a gain within each
    period does not count what a price leaves behind.
    """
    settings = plan.settings
    lasting = [market.name for market in (plan.spec, *plan.assortments) if not has_separate_periods(market)]
    if settings.reward == "expected-gain" and lasting:
        raise ValueError(
            f"reward expected-gain needs a market without later effects; got {lasting[0]}; set reward to expected"
        )
    if settings.reward == "conversion-difference" and settings.algorithm.get("gamma") == 1:
        raise ValueError("reward conversion-difference needs a gamma below 1; got 1; set gamma to 0.9")


def _check_assortments(plan: TrainingPlan) -> None:
    """Further markets need a network that prices product by product, and that sees the same in all of them."""
    if not plan.assortments:
        return
    settings = plan.settings
    own = _kind(plan.spec)
    given = (settings.product_wise, settings.actions, settings.variants, settings.risk)
    if given != (True, "continuous", 0, "mean"):
        raise ValueError(f"assortments need {_NEEDED}; got {', '.join(map(str, given))}; change them")
    for other in plan.assortments:
        if _kind(other) != own:
            raise ValueError(f"assortments must be like {plan.spec.name}; got {other.name}, which is not; leave it out")


def _kind(spec: MarketSpec) -> tuple[Any, ...]:
    """What further markets must have in common with that of the run."""
    return *shape_of_rows(spec), len(spec.arrivals.segments), floor_market(spec) is None


def batches_of(spec: MarketSpec, settings: Settings, markets: int | None = None) -> int:
    """Number of batches that follow posterior draws; 0 for a training in the mean market.

    Args:
        markets: Number of markets that are split into batches; by default all of the training.
    """
    most = settings.num_envs if markets is None else markets
    return min(settings.draws, most) if spec.num_draws and not settings.variants else 0
