"""A league: every seller of a market learns a best response to the others' newest policies, in turn, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import set_random_seed

from ..envs import (
    OWN,
    ConstantSellerPolicy,
    MixedSellerPolicy,
    MultiSellerMarket,
    Outcome,
    SellerPolicy,
    SellerVecEnv,
    seed_for,
)
from ..envs.adapters.learner_view import Reward
from ..envs.seeds import Purpose
from ..scenarios import MarketSpec, load_scenario
from .actor import Actor, actor_from
from .algorithms import ALGORITHMS, algorithm, make_model
from .classical import best_fixed
from .networks import one_thread, schedule
from .run import RUN_FILE, Run, made_with, open_folder, run_of, save_policy, save_result
from .settings import Settings, settings_for

LeagueProgress = Callable[[int, int, dict[str, float]], None]
"""Called with steps done, steps in all, and what each seller earned a period in the last round."""

# A round starts with at least this log standard deviation of a raw action: opponents have moved,
# and with less exploration the next step of a price ladder would not be reached.
_LEAST_DEVIATION = -2.5
# Log of the initial standard deviation of a raw action, whose range is a factor of 4 either way for
# a rival without bounds.
_DEVIATION = -0.7
_ONLY = {
    "product_wise": False,
    "history": 1,
    "actions": "continuous",
    "price_reach": 0.0,
    "variants": 0,
    "normalise": False,
}
"""Settings that are fixed in a league."""
# Periods with a smaller weight in the discounted objective are not simulated.
_LEAST_WEIGHT = 1e-3
_TUNED_STEPS = 41


@dataclass(frozen=True)
class League:
    """The result of a league of S sellers.

    Attributes:
        run: The shop's final policy as a run, to evaluate or export.
        game: The market in which policies are evaluated against one another.
        actors: The final network of each seller.
        history: One dict for each round: `profit` per period by seller and `price` by offer of the
            newest policies among themselves.
        responses: The best response found for each seller.

    Example:
        >>> few = {"num_envs": 2, "n_steps": 8, "validation_episodes": 2, "base_price": "regular"}
        >>> result = league("calvano-duopoly", rounds=1, steps=16, settings=few)
        >>> result.sellers, len(result.history)
        (('own', 'rival'), 1)
        >>> result.responses["rival"].gain >= 0
        True
    """

    run: Run
    game: Game
    actors: dict[str, Actor]
    history: list[dict[str, Any]]
    responses: dict[str, BestResponse]

    @property
    def sellers(self) -> tuple[str, ...]:
        """The sellers, the shop first."""
        return tuple(self.actors)

    def profile(self) -> dict[str, SellerPolicy]:
        """The final policy of every seller, to be played in a `MultiSellerMarket`."""
        return {seller: frozen(actor) for seller, actor in self.actors.items()}


def league(
    scenario: MarketSpec | str | Path,
    *,
    algo: str = "ppo",
    rounds: int = 8,
    steps: int = 40_000,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: LeagueProgress | None = None,
) -> League:
    """Let every seller of a scenario learn its prices against the others.

    In each round, every seller in turn learns in markets where the others play their newest policies; before a seller's
    first turn that is the scenario's own rule. Training runs on the CPU.

    Args:
        scenario: A spec with competitors, a registered name or the path of a scenario file.
        algo: A key of `ALGORITHMS` that supports continuous actions, without an LSTM.
        rounds: Number of rounds.
        steps: Market periods of a seller in a round.
        seed: Seed of weights, exploration and customers.
        out: Run folder of the shop's policy, which must be new.
        settings: Values that override the preset. The defaults of a league differ from it in
            log_std_init, -0.7, and validation_episodes, 64.
        progress: Called with the steps done, all steps and the last profit of each seller.

    Returns:
        The league; see `League` for an example.

    Raises:
        ValueError: The scenario has no competitors, the algorithm or a setting is unknown, or
            `out` holds something else.
        OSError: The folder cannot be written.

    Example:
        >>> result = league("calvano-duopoly", rounds=4, steps=20_000)  # doctest: +SKIP
    """
    for name, count in (("rounds", rounds), ("steps", steps)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}; ask for more")
    spec = load_scenario(scenario)
    if algorithm(algo).decides == "discrete" or algorithm(algo).recurrent:
        allowed = (name for name, facts in ALGORITHMS.items() if facts.decides != "discrete" and not facts.recurrent)
        raise ValueError(f"algo must be one of {', '.join(allowed)} in a league; got {algo}; choose one of them")
    MultiSellerMarket(spec)  # rejects a market without rivals before anything is written
    merged = _settings(spec, algo, settings)
    folder = None if out is None else Path(out)
    if folder is not None and (folder / RUN_FILE).exists():
        raise ValueError(f"the folder of a league must be new; got {folder}, which holds a run; choose another --out")
    identity = {"scenario": spec.name, "scenario_version": spec.version, "algo": algo, "settings": merged.to_dict()}
    identity |= {"rounds": rounds, "steps": steps, "seed": seed}
    started = time.perf_counter()
    with one_thread():
        play = _Play(spec, merged, identity, progress)
        history = [play.round(turn) for turn in range(rounds)]
        responses = {seller: play.respond(seller) for seller in play.sellers}
    facts = identity | {
        "base_price": play.game.base_price.tolist(),
        "responses": {seller: response.to_dict() for seller, response in responses.items()},
        "seconds": time.perf_counter() - started,
        **made_with(),
    }
    policy = play.models[OWN].policy
    run = run_of(policy, play.venv(OWN).learner_view, facts, [])
    if folder is not None:
        open_folder(folder, spec, identity)
        save_policy(folder, policy, {})
        save_result(folder, run)
    return League(run, play.game, {seller: play.actor(seller) for seller in play.sellers}, history, responses)


def _settings(spec: MarketSpec, algo: str, given: Mapping[str, Any] | None) -> Settings:
    """The preset with the defaults of a league."""
    wanted: dict[str, Any] = {"validation_episodes": 64, **_ONLY}
    if "log_std_init" in algorithm(algo).options:
        wanted["log_std_init"] = _DEVIATION
    settings = settings_for(spec, algo, wanted | dict(given or {}), algorithm(algo).options)
    for name, only in _ONLY.items():
        if getattr(settings, name) != only:
            raise ValueError(f"{name} must be {only} in a league; got {getattr(settings, name)}; leave it out")
    if settings.reward not in ("drawn", "expected"):
        raise ValueError(f"reward must be drawn or expected in a league; got {settings.reward}; choose one")
    return settings


class _Play:
    """A running league: a model and markets for each seller; `facts` are its arguments."""

    def __init__(
        self, spec: MarketSpec, settings: Settings, facts: dict[str, Any], progress: LeagueProgress | None
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.facts = facts
        self._progress = progress
        self._turns = 0
        best = settings.base_price == "best-fixed"
        base = np.asarray(
            best_fixed(spec, seed=facts["seed"]).price if best else spec.products.regular_price, np.float32
        )
        self.game = Game(spec, settings.reward, base, facts["seed"], settings.validation_episodes)
        self.sellers, self.scale = self._markets().names, reward_scales(self.game)
        self.models = {
            seller: self._model(SellerVecEnv(self._markets(), seller, reward_scale=self.scale[seller]), seller)
            for seller in self.sellers
        }
        self.profit: dict[str, float] = {}

    def _markets(self) -> MultiSellerMarket:
        return self.game.markets("training", self.settings.num_envs)

    def _seed(self, seller: str, *further: int) -> int:
        """Seed of what one seller draws: its initial network, or one of its rounds."""
        words = np.random.SeedSequence([self.facts["seed"], self.sellers.index(seller), *further])
        return int(words.generate_state(1)[0])

    def _model(self, venv: SellerVecEnv, seller: str, *further: int) -> BaseAlgorithm:
        model = make_model(algorithm(self.facts["algo"]), venv, self.settings, self._seed(seller, *further))
        # SB3 has seeded the markets with the model's seed, which may belong to another purpose.
        venv.seed(seed_for("training", self.facts["seed"]))
        model.set_logger(Logger(None, []))
        fall = schedule(self.settings.schedule, self.settings.learning_rate)
        total = self.facts["rounds"] * self._rows(model)
        # The schedule spans the whole league, not a single round.
        cast(Any, model).lr_schedule = lambda _: fall(max(0.0, 1 - model.num_timesteps / total))
        return model

    def _rows(self, model: BaseAlgorithm) -> int:
        """Steps of a round, rounded to complete rollouts."""
        rollout = model.n_envs * getattr(model, "n_steps", 1)
        return max(1, round(self.facts["steps"] / rollout)) * rollout

    def venv(self, seller: str) -> SellerVecEnv:
        """The markets in which a seller learns."""
        return cast(SellerVecEnv, self.models[seller].get_env())

    def actor(self, seller: str) -> Actor:
        """The network of a seller, as it is now."""
        return actor_from(self.models[seller].policy, self.venv(seller).multi_seller.columns[seller])

    def _newest(self) -> dict[str, SellerPolicy]:
        """The policy of each seller, the scenario's rule before its first turn; no other seller learns while it is in use."""
        rules = self.venv(OWN).multi_seller.by_rule
        return {
            seller: frozen(self.actor(seller)) if model.num_timesteps else rules(seller)
            for seller, model in self.models.items()
        }

    def round(self, turn: int) -> dict[str, Any]:
        """A turn of every seller; prices and profits among the new policies, on the validation seeds."""
        for seller, model in self.models.items():
            self.venv(seller).others = self._newest()
            set_random_seed(self._seed(seller, turn))
            if isinstance(model.policy, ActorCriticPolicy):
                cast(torch.nn.Parameter, model.policy.log_std).data.clamp_(min=_LEAST_DEVIATION)
            model.learn(self._rows(model), reset_num_timesteps=False, log_interval=cast(int, None))
            self._tell(1)
        seen: list[Outcome] = []
        money = seller_profits(self.game.sellers("validation")[0], self._newest(), watch=seen.append)
        self.profit = {seller: float(values.mean()) for seller, values in money.items()}
        rivals = self.spec.competitors
        assert rivals is not None, "a market of several sellers has some"
        prices = [np.concatenate([each.list_price.mean(axis=0), each.rival_price.mean(axis=0)]) for each in seen]
        offers = (*self.spec.products.names, *rivals.names)
        mean = np.stack(prices).mean(axis=0, dtype=np.float64).tolist()
        return {"round": turn + 1, "profit": self.profit, "price": dict(zip(offers, mean, strict=True))}

    def _tell(self, turns: int) -> None:
        self._turns += turns
        if self._progress is not None:
            steps = self.facts["steps"]
            total = 2 * self.facts["rounds"] * len(self.sellers)
            self._progress(self._turns * steps, total * steps, self.profit)

    def respond(self, seller: str) -> BestResponse:
        """The best response of a seller to the others' final policies.

        The candidates are the best constant price and a new learner with the budget of the whole
        league.
        """
        rounds = self.facts["rounds"]
        venv = SellerVecEnv(self._markets(), seller, self._newest(), reward_scale=self.scale[seller])
        model = self._model(venv, seller, rounds)
        model.learn(rounds * self._rows(model), log_interval=cast(int, None))
        learned = frozen(actor_from(model.policy, venv.multi_seller.columns[seller]))
        self._tell(rounds)
        return best_response(self.game, seller, self._newest(), learned)


# Best responses: what a seller could gain by deviating from a profile of policies.


def frozen(actor: Actor) -> SellerPolicy:
    """The network of a seller at one point of its training, without exploration: from its observations (E, F), and whether a
    market is in the first period of an episode (E,), to raw actions (E, A).

    Example:
        >>> actor = Actor(torch.nn.Linear(3, 1), None, 1)
        >>> frozen(actor)(np.ones((2, 3), np.float32), np.ones(2, bool)).shape
        (2, 1)
    """
    actor.eval()

    def act(rows: NDArray[np.float32], starts: NDArray[np.bool_]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return actor(torch.from_numpy(rows)).numpy()

    return act


@dataclass(frozen=True)
class Game:
    """The market in which profiles of policies are evaluated.

    Attributes:
        spec: The market.
        reward: The reward of the sellers.
        base_price: (N,) currency per unit, which the shop's raw price multiplies.
        seed: Seed of the customers.
        episodes: Number of markets for each profile.
    """

    spec: MarketSpec
    reward: Reward
    base_price: NDArray[np.float32]
    seed: int
    episodes: int

    def markets(self, purpose: Purpose, count: int, numbers: NDArray[np.int64] | None = None) -> MultiSellerMarket:
        """So many markets with the customers of a purpose."""
        seed = seed_for(purpose, self.seed)
        options = {"reward": self.reward, "base_price": self.base_price}
        return MultiSellerMarket(self.spec, num_markets=count, seed=seed, numbers=numbers, **options)

    def sellers(self, purpose: Purpose, profiles: int = 1) -> tuple[MultiSellerMarket, NDArray[np.intp]]:
        """Markets for several profiles side by side, with the same customers.

        Args:
            purpose: Which seeds to use.

        Returns:
            The markets, and the profile (E,) that each belongs to.
        """
        sellers = self.markets(purpose, profiles * self.episodes, np.tile(np.arange(self.episodes), profiles))
        return sellers, np.repeat(np.arange(profiles), self.episodes)


def seller_profits(
    sellers: MultiSellerMarket, profile: Mapping[str, SellerPolicy], *, watch: Callable[[Outcome], None] | None = None
) -> dict[str, NDArray[np.float64]]:
    """What each seller earns in one episode under these policies.

    Periods are weighted by the scenario's discount; those with a weight below a thousandth are left
    out.

    Args:
        sellers: The markets, which are reset first.
        watch: Called with the outcome of each period.

    Returns:
        (E,) currency per period for each seller.
    """
    weights = sellers.market.spec.market.discount_factor ** np.arange(sellers.market.catalogue.horizon)
    weights = weights[weights >= _LEAST_WEIGHT]
    total = {seller: np.zeros(sellers.market.num_markets) for seller in sellers.names}
    sellers.learner_view.reset()
    for weight in weights:
        outcome = sellers.play(profile)
        for seller, reward in sellers.rewards(outcome).items():
            total[seller] += weight * reward
        if watch is not None:
            watch(outcome)
    return {seller: sums / weights.sum() for seller, sums in total.items()}


def reward_scales(game: Game) -> dict[str, float]:
    """The factors that bring each seller's reward to order one.

    They are the inverse of its profit per period if all sellers charge their middle price.
    """
    sellers, _ = game.sellers("training")
    middle = {seller: ConstantSellerPolicy(np.zeros(count, np.float32)) for seller, count in sellers.columns.items()}
    earned = seller_profits(sellers, middle)
    return {seller: float(1 / max(abs(money.mean()), 1e-9)) for seller, money in earned.items()}


@dataclass(frozen=True)
class BestResponse:
    """The best deviation found for one seller against the others' final policies, a lower bound.

    Attributes:
        profit: Profit of the seller's own final policy, currency per period.
        gain: Gain of the better deviation over it, at least zero.
        constant_gain: Gain of the best constant price.
        learner_gain: Gain of a policy that was learned against the others.
    """

    profit: float
    gain: float
    constant_gain: float
    learner_gain: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def best_response(game: Game, seller: str, profile: Mapping[str, SellerPolicy], learned: SellerPolicy) -> BestResponse:
    """Compare a seller's policy with its best constant raw price and with a learned deviation.

    The constant is chosen on other customers than those of the comparison.

    Args:
        profile: The policies of all sellers.
    """
    constant = _best_constant(game, seller, profile)
    sellers, own = game.sellers("validation", 3)
    tried: list[SellerPolicy] = [profile[seller], _constant(sellers, seller, constant), learned]
    money = seller_profits(sellers, {**profile, seller: MixedSellerPolicy(tried, own)})[seller]
    profit, *others = money.reshape(3, -1).mean(axis=1).tolist()
    gains = [other - profit for other in others]
    return BestResponse(profit, max(*gains, 0.0), *gains)


def _best_constant(game: Game, seller: str, profile: Mapping[str, SellerPolicy]) -> float:
    """The best constant raw price, the same for all offers: from a grid, then from a finer one."""
    sellers, own = game.sellers("tuning", _TUNED_STEPS)

    def best(low: float, high: float) -> float:
        grid = np.linspace(low, high, _TUNED_STEPS)
        candidates = [_constant(sellers, seller, raw) for raw in grid]
        money = seller_profits(sellers, {**profile, seller: MixedSellerPolicy(candidates, own)})[seller]
        return float(grid[money.reshape(_TUNED_STEPS, -1).mean(axis=1).argmax()])

    coarse = best(-1.0, 1.0)
    step = 2.0 / (_TUNED_STEPS - 1)
    return best(max(-1.0, coarse - step), min(1.0, coarse + step))


def _constant(sellers: MultiSellerMarket, seller: str, raw: float) -> ConstantSellerPolicy:
    """A policy with this raw price for every offer of the seller, and zero in all other columns."""
    columns = np.zeros(sellers.columns[seller], np.float32)
    columns[:: sellers.learner_view.layout.size if seller == OWN else 1] = raw
    return ConstantSellerPolicy(columns)
