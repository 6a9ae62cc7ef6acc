"""Training: one `train` for all algorithms, resumable, validated; the best policy is kept."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]

from ..envs import LearnerView, Market, MarketVecEnv, expected_units, make_sb3_env, rollout, seed_for
from ..envs.adapters.learner_view import RewardFunction
from ..optimum import certainty_equivalent
from ..pricing import Action, FixedPrice, MarketView, Policy, RandomPrice, checked_policy, orders_up_to
from ..scenarios import MarketSpec, floor_market, goal_market, load_scenario, sample_variants
from .actor import hold_base_price
from .algorithms import algorithm, make_model, make_policy
from .base_price import base_of, imitate_opening, longer, recommended
from .checkpoint import restore_checkpoint
from .classical import best_fixed, myopic, time_only, truths_of
from .cloning import clone
from .networks import normalise_features, one_thread
from .opening import open_at_rule, open_relative
from .plan import TrainingPlan, batches_of, plan_for
from .posterior import draw_pool, worst_share
from .posterior.best_plan import PLAN, best_plan
from .run import (
    CHECKPOINT_FILE,
    Run,
    keep_fit_report,
    kept_fit_record,
    learner_view_of,
    load_run,
    made_with,
    open_folder,
    plan_facts,
    run_of,
    save_result,
)
from .settings import STEADY, rows_of
from .validation import TrainingProgress, Validation, ValidationMarket

# Below this number of weights, transfers to a GPU cost more than its arithmetic saves.
_GPU_FROM_WEIGHTS = 1_000_000
# Posterior draws of a validation; a tail needs more of them than a mean.
_VALIDATION_DRAWS = 16
_VALIDATION_DRAWS_OF_RISK = 40
# Episodes in which candidates are compared, over all posterior draws.
_CANDIDATE_EPISODES = 128
# A teacher must earn so much more than the best fixed prices, as a share of their money, to be worth imitating.
_LEAST_GAIN = 0.002
# Periods up to which a path of prices is searched: what customers remember at first matters less in a longer episode, and
# the search takes the longer.
_LONGEST_PATH = 26
# Where stock is ordered, prices over the best fixed ones, safety stock in square roots of the mean demand until the
# delivery, and by how much prices rise as the shelf empties: searched one after the other, twice.
_SHELF_PRICES = (0.88, 0.94, 1.0, 1.06)
_SAFETY = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_RISES = (0.0, 0.2, 0.4, 0.6)
# How far variants of a market differ from it: largest relative errors of elasticity and demand, and the probability of a
# new rival.
_VARIED = {"elasticity": 0.3, "demand": 0.5, "rival": 0.2}
TENSORBOARD_FOLDER = "tensorboard"


def choose_device(device: str, weights: int) -> tuple[str, str]:
    """The device to train on, and why.

    Args:
        device: "cpu", "cuda" or "auto", which trains small networks on the CPU.
        weights: Number of weights of the network.

    Raises:
        ValueError: The device is unknown or missing.

    Example:
        >>> choose_device("cpu", 1_000)
        ('cpu', 'as asked')
    """
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
    preset: str | Path | None = None,
    progress: TrainingProgress | None = None,
    teacher: Policy | None = None,
    risk: str | None = None,
    assortments: Sequence[MarketSpec | str | Path] = (),
    reward: RewardFunction | None = None,
) -> Run:
    """Train a pricing policy in a scenario's simulated market.

    In a market with a posterior, the training markets follow its draws, other ones in each episode,
    and the kept policy is the best over a fixed set of draws. Where the market has `halves`, all these
    are draws of the first, so that the other one can score what was learned. The setting `draws` says how many are
    simulated side by side; 0 trains in the mean market alone.

    Args:
        scenario: A spec, a registered name or the path of a scenario file.
        algo: A key of `ALGORITHMS`.
        steps: Number of rows to collect, as Stable-Baselines3 counts steps: periods of a market, or
            product-wise, periods of a product.
        seed: Seed of weights, exploration and customers.
        device: "auto", "cpu" or "cuda"; "auto" trains small networks on the CPU.
        out: Run folder. The same call resumes an interrupted run there, and returns a finished one.
        settings: Values that override the preset; see `Settings`.
        preset: A file of settings, as `tune` writes it. It overrides the installed preset, and
            `settings` override it.
        progress: Called with the steps done, all steps and the figures of the last validation.
        teacher: A policy that is imitated before learning starts; see `cloning.clone`. Without one, the
            policy of `teachers.best_teacher` is imitated, where there is one and the setting `opening` asks for it, or
            the recommender's choices and the orders that belong to the base prices, where these are decided.
        risk: What is to be good over the posterior draws: `mean`, or `cvar:0.1`, the mean gain over
            current prices in the worst tenth of the draws. The validation then keeps the policy by
            it, learning starts at the fixed prices that are best by it, and half of the training
            episodes follow the draws in which these gain least; see `posterior.risk` for the
            papers. None leaves it to the settings.
        assortments: Further markets to train in, such as other assortments or other stores of the
            shop, each around its own base prices. The training markets are split evenly between
            the scenario and these. Product-wise policies only; `Run.policy_for` gives the policy
            for any of them, and for assortments that it has never seen.
        reward: What to maximise in place of money: a function of `info`, see `LearnerView.info`, that gives the reward
            of each market, (E,), or of each product, (E, N). The kept policy is the best by it.

    Returns:
        The run, with the policy of its best validation.

    Raises:
        ValueError: The algorithm, a setting or the device is unknown, the algorithm does not
            support the actions of the market, or `out` holds another run.
        OSError: The folder cannot be written.

    Example:
        >>> run = train("stationary-logit", algo="ppo", steps=2_000, settings={"validation_episodes": 64})
        >>> run.policy.name
        'ppo:0'
    """
    choose_device(device, weights=0)  # rejects a wrong device before anything is written
    if teacher is not None:
        checked_policy(teacher, "teacher")
    spec = load_scenario(scenario)
    settings = dict(settings or {}) | ({} if risk is None else {"risk": risk})
    plan = plan_for(spec, algo, steps, seed, settings, preset, teacher, assortments)
    if teacher is None and reward is None:  # teachers are after money
        teacher = teacher_of(plan)
        plan = plan if teacher is None else plan_for(spec, algo, steps, seed, settings, preset, teacher)
    plan = replace(plan, reward=reward)
    folder = None if out is None else Path(out)
    state = "new" if folder is None else open_folder(folder, spec, plan.identity)
    if folder is not None and state == "finished":
        return load_run(folder)
    if folder is not None and not isinstance(scenario, MarketSpec):
        keep_fit_report(Path(scenario), folder)
    with one_thread():
        logger = make_logger(folder)
        try:
            return _learn(plan, device, folder, state == "begun", progress, logger)
        finally:
            logger.close()


def _learn(
    plan: TrainingPlan,
    device: str,
    folder: Path | None,
    resume: bool,
    progress: TrainingProgress | None,
    logger: Logger,
) -> Run:
    started = time.perf_counter()
    spec = plan.spec
    settings = plan.settings
    fixed = best_fixed(spec, seed=plan.seed)
    venv = _markets(plan)
    model, chosen = _model(plan, venv, device)
    model.set_logger(logger)
    view = venv.learner_view
    validation = Validation(_validated_in(plan, venv), plan, folder, progress)
    if settings.shaped_scale and not (view.layout.recommend or view.layout.order):
        # Also where a run is resumed: the same seed gives the same potential, the checkpoint the rest.
        open_relative(model, venv, settings, plan.seed, plan.teacher)
    if resume and folder is not None:
        validation.resume(restore_checkpoint(folder / CHECKPOINT_FILE, model, venv))
        forget_after(model.num_timesteps, logger)
    else:
        _prepare(plan, venv, model, fixed)
    off_policy = algorithm(plan.algo).off_policy
    # A multiple of a rollout, so that training ends where a checkpoint can be written.
    rows = venv.num_envs * (1 if off_policy else cast(Any, model).n_steps)
    left = max(1, round(plan.steps / rows)) * rows - model.num_timesteps
    if left > 0:
        interval = None if off_policy or folder is None else 1
        model.learn(left, callback=validation, reset_num_timesteps=False, log_interval=cast(int, interval))
        validation.finish()
    kept = _kept(plan, venv, model, validation, fixed)
    policy = make_policy(algorithm(plan.algo), view, settings)
    policy.load_state_dict(validation.best_weights)
    facts = plan.identity | {
        "base_price": view.base_price.tolist(),
        **chosen,
        "kept": kept,
        "beside_plan": validation.confirmed,
        **plan_facts(view.base),
        "rows": rows_of(spec)[1] if settings.product_wise == rows_of(spec)[0] else "as the settings say",
        "teachers_share": validation.teachers_share,
        "best": validation.best,
        "stopped_early": validation.stopped,
        "seconds": validation.seconds_before + time.perf_counter() - started,
        **made_with(),
    }
    if goal_market(spec.searched) is not spec:
        view = learner_view_of(Market(spec), settings, view.base_price, view.base)
    run = run_of(policy, view, facts, validation.history)
    if folder is not None:
        save_result(folder, run)
        run = replace(run, refit=kept_fit_record(folder))
    return run


def _prepare(plan: TrainingPlan, venv: MarketVecEnv, model: BaseAlgorithm, fixed: FixedPrice) -> None:
    """Set the networks' normalisation, and imitate what learning opens with."""
    settings = plan.settings
    view = venv.learner_view
    if settings.normalise:
        normalise_features(model.policy, _features(view, plan))
    if plan.teacher is not None:
        clone(model, venv, plan.teacher, settings, plan.seed)
    elif not imitate_opening(model, venv, plan.spec, settings, plan.seed, fixed):
        open_at_rule(model.policy, view)


def _kept(
    plan: TrainingPlan, venv: MarketVecEnv, model: BaseAlgorithm, validation: Validation, fixed: FixedPrice
) -> str:
    """What the run keeps: what was learned, or what earns more than all of it, the base price rule, the best fixed prices
    with their orders, or a close imitation of the teacher. Learned around a plan, it must be ahead of it by more than
    chance.
    """
    if plan.settings.base_price == PLAN:
        return _kept_beside_plan(plan, venv, model, validation, fixed)
    kept = "learned"
    view = venv.learner_view
    # Best fixed prices are what validation compares with; what a rule earns is not known yet.
    rule = view.base is not None and plan.settings.risk == "mean"
    if rule or validation.is_behind:
        if not imitate_opening(model, venv, plan.spec, plan.settings, plan.seed, fixed, closely=True):
            hold_base_price(model.policy, view)
        if validation.keep_if_better(model.policy):
            kept = "base-price" if rule else "best-fixed"
    if plan.teacher is not None and validation.teacher_is_ahead:
        clone(model, venv, plan.teacher, longer(plan.settings), plan.seed)
        kept = "teacher" if validation.keep_if_better(model.policy) else kept
    return kept


def _kept_beside_plan(
    plan: TrainingPlan, venv: MarketVecEnv, model: BaseAlgorithm, validation: Validation, fixed: FixedPrice
) -> str:
    model.policy.load_state_dict(validation.best_weights)
    validation.confirmed = validation.confirm(model.policy)
    if validation.confirmed["ahead"]:
        return "learned"
    imitate_opening(model, venv, plan.spec, plan.settings, plan.seed, fixed, closely=True)
    hold_base_price(model.policy, venv.learner_view, prices_alone=True)
    validation.keep(model.policy)
    return PLAN


def _model(plan: TrainingPlan, venv: MarketVecEnv, device: str) -> tuple[BaseAlgorithm, dict[str, Any]]:
    """The model on the device that suits its size, and what a run says about both."""
    algo = algorithm(plan.algo)
    model = make_model(algo, venv, plan.settings, plan.seed)
    weights = sum(p.numel() for p in model.policy.parameters())
    where, why = choose_device(device, weights)
    if where != "cpu":
        model = make_model(algo, venv, plan.settings, plan.seed, where)
    # SB3 has seeded the markets with the run's seed, which may belong to another purpose.
    venv.seed(seed_for("training", plan.seed))
    return model, {"device": f"{where} ({why})", "weights": weights}


def _validated_in(plan: TrainingPlan, venv: MarketVecEnv) -> list[ValidationMarket]:
    """The markets that the policy is validated in, that of the run first."""
    markets = []
    for spec in (plan.spec, *plan.assortments):
        view = next(view for view in venv.learner_views if view.market.assumed is spec)
        truths = [floor_market(spec.searched) or goal_market(spec.searched)]
        if batches_of(truths[0], plan.settings):
            risk = plan.settings.risk
            truths = truths_of(truths[0], _VALIDATION_DRAWS if risk == "mean" else _VALIDATION_DRAWS_OF_RISK)
        planned = best_plan(spec, plan.settings.risk) if plan.settings.base_price == PLAN and not markets else None
        markets.append(ValidationMarket(truths, view, best_fixed(spec, seed=plan.seed), planned))
    return markets


def _markets(plan: TrainingPlan) -> MarketVecEnv:
    """The training markets, seen as the settings say, with rewards of order one."""
    settings = plan.settings
    goal = goal_market(plan.spec.searched)
    base_price, base = base_of(plan.spec, settings.base_price, plan.seed, settings.risk)
    markets = max(1, settings.num_envs // (1 + settings.variants + len(plan.assortments)))
    draws = batches_of(plan.spec, settings, markets)
    share = worst_share(settings.risk)
    pool = None
    if draws and share < 1:
        best = settings.base_price == "best-fixed"
        fixed = base_price if best else base_of(plan.spec, "best-fixed", plan.seed, settings.risk)[0]
        pool = draw_pool(goal, fixed, share)
    variants = sample_variants(goal, settings.variants, seed=seed_for("training", plan.seed), **_VARIED)
    options: dict[str, Any] = settings.view_options | {"num_envs": markets, "seed": seed_for("training", plan.seed)}
    options["reward"] = plan.reward or settings.reward
    venv = make_sb3_env(
        goal,
        base_price=base_price,
        base=base,
        variants=variants,
        draws=draws,
        draw_pool=pool or (),
        assumed=plan.spec,
        reward_scale="auto",
        **options,
    )
    return _with_assortments(venv, plan, options) if plan.assortments else venv


def _with_assortments(venv: MarketVecEnv, plan: TrainingPlan, options: dict[str, Any]) -> MarketVecEnv:
    """The training markets, and those of further assortments around their own base prices.

    An action means the same in all of them, and each has a reward scale of its own, since one
    assortment may earn many times what another earns.
    """
    first = venv.learner_view
    more = []
    for other in plan.assortments:
        base_price, base = base_of(other, plan.settings.base_price, plan.seed)
        draws = batches_of(other, plan.settings, options["num_envs"])
        own: dict[str, Any] = {"base_price": base_price, "base": base, "assumed": other, "draws": draws}
        own |= {"layout": first.layout, "reward_scale": "auto"}
        more += make_sb3_env(goal_market(other.searched), **own, **options).learner_views
    return MarketVecEnv(first, [*venv.learner_views[1:], *more])


def _features(learner_view: LearnerView, plan: TrainingPlan) -> NDArray[np.float32]:
    """(R, history * F) features at random prices on the training seeds."""
    rules = plan.spec.guardrails
    watched = []
    market = Market(plan.spec, num_markets=64, seed=seed_for("training", plan.seed))
    one_period = LearnerView(market, product_wise=learner_view.product_wise)
    policy = RandomPrice(rules.low, rules.high, seed=plan.seed)
    for _ in range(plan.spec.market.horizon_periods):
        watched.append(one_period.observe())
        market.step(policy.act(market.view))
    return np.concatenate(watched)


# What learning starts from: of the policies that need no learning, the one that earns most in a market.


@dataclass(frozen=True)
class OrderAhead:
    """Orders up to the mean demand until the next delivery and a safety stock; prices rise as the shelf empties.

    Attributes:
        price: (N,) currency per unit.
        units: (T, N) mean demand of each period at these prices.
        level: (T, N) units on hand plus on order after ordering.
        rise: Exponent of a period's mean demand over the units on hand, by which a price rises above `price`.
        name: Name in tables.
    """

    price: NDArray[np.float32]
    units: NDArray[np.float32]
    level: NDArray[np.float32]
    rise: float
    name: str = "order-ahead"

    @classmethod
    def of(cls, spec: MarketSpec, price: NDArray[np.float32], safety: float, rise: float) -> OrderAhead:
        """The policy of a market.

        Args:
            price: (N,) currency per unit.
            safety: Safety stock, in square roots of the mean demand until the next delivery.
            rise: As of the class.
        """
        periods = spec.market.horizon_periods
        units = spec.visits * expected_units(spec, np.arange(periods), np.tile(price, (periods, 1))).sum(axis=1)
        # Orders that would come after the end are not placed; a market that goes on begins anew.
        more = units if spec.market.ending == "truncated" else np.zeros_like(units)
        lead = np.broadcast_to(spec.stock.lead_time_periods, price.shape).astype(np.intp)
        total = np.vstack([np.zeros_like(price), np.concatenate([units, more]).cumsum(axis=0)])
        until = np.arange(periods)[:, None] + lead + 1
        window = np.take_along_axis(total, np.minimum(until, 2 * periods), axis=0) - total[:periods]
        level = np.maximum(window + safety * np.sqrt(window), 0)
        level[(until > periods) & (spec.market.ending != "truncated")] = 0
        return cls(price, units.astype(np.float32), np.round(level).astype(np.float32), rise)

    def act(self, view: MarketView) -> Action:
        """The prices and orders of each market's period."""
        row = np.minimum(view.period, len(self.units) - 1)
        scarce = np.maximum(self.units[row] / np.maximum(view.on_hand, np.float32(0.5)), 1)
        return Action(self.price * scarce ** np.float32(self.rise), **orders_up_to(self.level[row], None, view))


def teacher_of(plan: TrainingPlan) -> Policy | None:
    """The policy to imitate first in a run without a teacher of the caller's, or None.

    What answers the nominal market is what training in variants is to unlearn; what earns most on average, what a risk
    measure is not after. A rule that is the base price is what a raw action of zero means already; see `open_at_rule`.
    """
    settings = plan.settings
    if settings.opening == "base-price" or settings.variants or plan.assortments or settings.risk != "mean":
        return None
    return best_teacher(plan.spec, plan.seed) if settings.base_price in STEADY else None


@functools.lru_cache(maxsize=16)
def best_teacher(spec: MarketSpec, seed: int = 0) -> Policy | None:
    """The candidate that earns most on the tuning seeds, or None where none earns more than the best fixed prices.

    The candidate is the certainty-equivalent policy, where there is one. Without it, where stock is ordered,
    `OrderAhead` near the best fixed prices; elsewhere the myopic prices and, where customers remember prices over few
    periods, the best path of prices over time. A market that goes on after its last period has none of these two where
    customers remember prices.

    Args:
        spec: The market.
        seed: Seed of the search for prices, and of the markets that candidates are tried in.

    Example:
        >>> from repricer import load_scenario
        >>> best_teacher(load_scenario("scarce")).name
        'certainty-equivalent'
    """
    candidates = _candidates(spec, seed)
    fixed = _earned(spec, best_fixed(spec, seed=seed), seed) if candidates else 0.0
    best = None
    most = fixed + _LEAST_GAIN * abs(fixed)
    for policy in candidates:
        earned = _earned(spec, policy, seed)
        if earned > most:
            best = policy
            most = earned
    return None if best is None else recommended(spec, best)


def _candidates(spec: MarketSpec, seed: int) -> list[Policy]:
    """The policies to choose from."""
    aware_of_stock = certainty_equivalent(spec)
    if aware_of_stock is not None:
        return [aware_of_stock]
    if spec.stock.replenishment == "action":
        return [_best_orders(spec, seed)] if spec.express is None else []
    if spec.reference_price is not None and spec.market.ending == "truncated":
        # Deals in the last periods would earn what the periods after them pay for.
        return []
    few = spec.market.horizon_periods <= _LONGEST_PATH
    return [myopic(spec), *([time_only(spec, seed=seed)] if few and spec.reference_price is not None else [])]


def _best_orders(spec: MarketSpec, seed: int) -> OrderAhead:
    """The best orders and prices near the best fixed ones, by coordinate search over the arguments of `policy`."""
    price = np.asarray(best_fixed(spec, seed=seed).price, np.float32)

    def policy(price_factor: float, safety: float, rise: float) -> OrderAhead:
        return OrderAhead.of(spec, price * np.float32(price_factor), safety, rise)

    grids = (_SHELF_PRICES, _SAFETY, _RISES)
    best = [1.0, 1.0, 0.0]
    # The safety stock first, then the rise, then the factor of the prices; twice.
    for argument in (1, 2, 0) * 2:
        candidates = [[*best[:argument], value, *best[argument + 1 :]] for value in grids[argument]]
        best = max(candidates, key=lambda arguments: _earned(spec, policy(*arguments), seed))
    return policy(*best)


def _earned(spec: MarketSpec, policy: Policy, seed: int) -> float:
    """The mean expected objective of an episode, over draws of the posterior where there is one."""
    goal = goal_market(spec.searched)
    markets = truths_of(goal)
    episodes = -(-_CANDIDATE_EPISODES // len(markets))
    runs = [
        rollout(market, policy, episodes=episodes, seed=seed_for("tuning", seed), expected=True, assumed=goal)
        for market in markets
    ]
    return float(np.mean([run.objective.mean() for run in runs]))


def make_logger(folder: Path | None) -> Logger:
    """Stable-Baselines3's logger of a run folder, as files for TensorBoard; without a folder, one that writes nothing."""
    return Logger(None, [] if folder is None else [TensorBoardOutputFormat(str(folder / TENSORBOARD_FOLDER))])


def forget_after(step: int, logger: Logger) -> None:
    """Let TensorBoard drop what an interrupted run wrote after a step: a resumed run writes it again.

    Args:
        step: Step of the checkpoint.
        logger: As `make_logger` gives it.
    """
    session = Event(session_log=SessionLog(status=SessionLog.START))
    for output in logger.output_formats:
        cast(Any, output).writer.file_writer.add_event(session, step + 1)
