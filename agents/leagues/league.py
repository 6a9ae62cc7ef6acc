"""A league: every seller of a market learns against a pool of the others' policies, round by round.

Fictitious self-play (Heinrich and Silver 2016, Deep Reinforcement Learning from Self-Play in
Imperfect-Information Games, arXiv 1603.01121): a best response is learned against a mixture of the
opponents' newest and earlier policies, so that learning does not cycle. Earlier policies against
which the learner earns least are drawn more often (Vinyals et al. 2019, Grandmaster level in
StarCraft II using multi-agent reinforcement learning, Nature 575, methods, prioritised fictitious
self-play).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import set_random_seed

from ...atomic import write_json
from ...envs import OWN, MixedSellerPolicy, MultiSellerMarket, Outcome, SellerPolicy, SellerVecEnv, seed_for
from ...scenarios import MarketSpec, load_scenario
from ..actor import Actor, actor_from
from ..algorithms import ALGORITHMS, algorithm, make_model, make_policy
from ..checkpoint import read_tensors, restore_checkpoint, save_checkpoint, write_tensors
from ..classical import best_fixed
from ..networks import one_thread, schedule
from ..run import RUN_FILE, Run, made_with, open_folder, run_of, save_policy
from .best_response import BestResponse, FrozenPolicy, Game, best_response, reward_scales, seller_profits
from .plan import LeaguePlan, check_symmetric, league_settings

LeagueProgress = Callable[[int, int, dict[str, float]], None]
"""Called with steps done, steps in all, and what each seller earned a period in the last round."""

# Share of markets in which an opponent plays its newest policy, and the exponent of the priorities
# of the others.
_NEWEST, _HARDNESS = 0.5, 2
# A round starts with at least this log standard deviation of a raw action: opponents have moved,
# and with less exploration the next step of a price ladder would not be reached.
_LEAST_DEVIATION = -2.5
_SELLERS_FOLDER = "seats"


@dataclass(frozen=True)
class League:
    """The result of a league of S sellers whose pool has P entries.

    Attributes:
        run: The shop's final policy as a run, to evaluate or export.
        game: The market in which policies are evaluated against one another.
        actors: The final network of each seller.
        history: One dict for each round: `profit` per period by seller and `price` by offer of the
            newest policies among themselves, and the profit of each seller `against_pool`.
        payoff: (S, P) currency per period of each seller's final policy if the others play one
            entry of the pool: first the scenario's own rules, then the policies of each round.
        responses: The best response found for each seller.

    Example:
        >>> few = {"num_envs": 2, "n_steps": 8, "validation_episodes": 2, "base_price": "regular"}
        >>> result = league("calvano-duopoly", rounds=1, steps=16, settings=few)
        >>> result.sellers, result.payoff.shape
        (('own', 'rival'), (2, 2))
        >>> result.responses["rival"].gain >= 0
        True
    """

    run: Run
    game: Game
    actors: dict[str, Actor]
    history: list[dict[str, Any]]
    payoff: NDArray[np.float64]
    responses: dict[str, BestResponse]

    @property
    def sellers(self) -> tuple[str, ...]:
        """The sellers, the shop first."""
        return tuple(self.actors)

    def profile(self) -> dict[str, SellerPolicy]:
        """The final policy of every seller, to be played in a `MultiSellerMarket`.

        The policies are new objects, because recurrent ones keep a state.
        """
        return {seller: FrozenPolicy(actor) for seller, actor in self.actors.items()}


def league(
    scenario: MarketSpec | str | Path,
    *,
    algo: str = "ppo",
    rounds: int = 8,
    steps: int = 40_000,
    seed: int = 0,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    shared: bool = False,
    progress: LeagueProgress | None = None,
) -> League:
    """Let every seller of a scenario learn its prices against the others.

    In each round, every seller learns in markets where the others play policies of the pool: their
    newest policy in half of the markets, otherwise earlier policies or the scenario's own rules.
    Its policy then joins the pool. Training runs on the CPU.

    Args:
        scenario: A spec with competitors, a registered name or the path of a scenario file.
        algo: A key of `ALGORITHMS` that supports continuous actions.
        rounds: Number of rounds.
        steps: Market periods of a seller in a round.
        seed: Seed of weights, exploration and customers.
        out: Folder of the league and run folder of the shop's policy. The same call resumes an
            interrupted league.
        settings: Values that override the preset. The defaults of a league differ from it in
            log_std_init, -0.7, and validation_episodes, 64.
        shared: Whether one network learns for all sellers (self-play); they must be symmetric.
        progress: Called with the steps done, all steps and the last profit of each seller.

    Returns:
        The league; see `League` for an example.

    Raises:
        ValueError: The scenario has no competitors, the algorithm or a setting is unknown, the
            sellers are too different to share a network, or `out` holds something else.
        OSError: The folder cannot be written.

    Example:
        >>> result = league("calvano-duopoly", rounds=4, steps=20_000)  # doctest: +SKIP
    """
    for name, count in (("rounds", rounds), ("steps", steps)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}; ask for more")
    spec = load_scenario(scenario)
    if algorithm(algo).decides == "discrete":
        able = ", ".join(name for name, each in ALGORITHMS.items() if each.decides != "discrete")
        raise ValueError(f"algo must support continuous actions in a league: {able}; got {algo}; choose one of them")
    MultiSellerMarket(spec)  # rejects a market without rivals before anything is written
    plan = LeaguePlan(spec, algo, rounds, steps, seed, shared, league_settings(spec, algo, settings, shared))
    folder = None if out is None else Path(out)
    with one_thread():
        play = _Play(plan, folder, progress)
        for turn in range(rounds):
            for seller in play.learning:
                play.learn(seller, turn)
            play.note(turn)
        return play.result()


class _Play:
    """A running league: a model and markets for each learning seller, the pool and the folder."""

    def __init__(self, plan: LeaguePlan, folder: Path | None, progress: LeagueProgress | None) -> None:
        self.plan, self.folder, self._progress, self._started = plan, folder, progress, time.perf_counter()
        spec, settings = plan.spec, plan.settings
        base = spec.products.regular_price
        if settings.base_price == "best-fixed":
            base = best_fixed(spec, seed=plan.seed).price
        base = np.asarray(base, dtype=np.float32)
        self.game = Game(spec, settings.reward, base, plan.seed, settings.validation_episodes)
        first = self._markets()
        self.sellers = first.names
        if plan.shared:
            check_symmetric(first)
        self.learning = (OWN,) if plan.shared else self.sellers
        self.history: list[dict[str, Any]] = []
        self.known: dict[str, Any] = {}
        if folder is not None:
            open_folder(folder, spec, plan.identity)
            (folder / _SELLERS_FOLDER).mkdir(exist_ok=True)
            self.known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
            self.history = self.known.get("played", [])
        self.scale = reward_scales(self.game)
        self.models: dict[str, BaseAlgorithm] = {}
        self.pool: dict[str, list[Actor]] = {}
        for seller in self.learning:
            venv = SellerVecEnv(self._markets(), seller, reward_scale=self.scale[seller])
            self.models[seller], self.pool[seller] = self._model(venv, self._seed(seller)), []
            self._resume(seller)

    def _markets(self) -> MultiSellerMarket:
        plan = self.plan
        return MultiSellerMarket(
            plan.spec,
            num_markets=plan.settings.num_envs,
            seed=seed_for("training", plan.seed),
            reward=plan.settings.reward,
            base_price=self.game.base_price,
        )

    def _seed(self, seller: str, *further: int) -> int:
        """Seed of what one seller draws: its initial network, or one of its rounds."""
        return int(np.random.SeedSequence([self.plan.seed, self.sellers.index(seller), *further]).generate_state(1)[0])

    def _model(self, venv: SellerVecEnv, seed: int) -> BaseAlgorithm:
        plan = self.plan
        model = make_model(algorithm(plan.algo), venv, plan.settings, seed)
        # SB3 has seeded the markets with the model's seed, which may belong to another purpose.
        venv.seed(seed_for("training", plan.seed))
        model.set_logger(Logger(None, []))
        fall = schedule(plan.settings.schedule, plan.settings.learning_rate)
        total = plan.rounds * self._rows(model)
        # The schedule spans the whole league, not a single round.
        cast(Any, model).lr_schedule = lambda _: fall(max(0.0, 1 - model.num_timesteps / total))
        return model

    def _rows(self, model: BaseAlgorithm) -> int:
        """Steps of a round, rounded to complete rollouts."""
        rollout = model.n_envs * getattr(model, "n_steps", 1)
        return max(1, round(self.plan.steps / rollout)) * rollout

    def _venv(self, seller: str) -> SellerVecEnv:
        return cast(SellerVecEnv, self.models[seller].get_env())

    # Rounds

    def learn(self, seller: str, turn: int) -> None:
        """One round of a seller, unless it has been played.

        It depends on the plan, the pool and the seller's checkpoint alone.
        """
        if len(self.pool[seller]) > turn:
            return
        model, seed = self.models[seller], self._seed(seller, turn)
        others = self._opponents(seller, turn, np.random.default_rng(seed))
        self._venv(seller).others = others
        set_random_seed(seed)
        if isinstance(model.policy, ActorCriticPolicy):
            cast(torch.nn.Parameter, model.policy.log_std).data.clamp_(min=_LEAST_DEVIATION)
        model.learn(self._rows(model), reset_num_timesteps=False, log_interval=cast(int, None))
        self.pool[seller].append(self._frozen(self._venv(seller), model.policy.state_dict()))
        if self.folder is not None:
            write_tensors(self._file(seller, turn + 1), model.policy.state_dict(), {})
            save_checkpoint(self._file(seller), model, self._venv(seller), {"rounds": turn + 1}, {})
        self._tell(turn * len(self.learning) + self.learning.index(seller) + 1)

    def _opponents(self, seller: str, turn: int, generator: np.random.Generator) -> dict[str, SellerPolicy]:
        """For each other seller, a policy of the pool in every market, drawn at random."""
        share = np.ones(1)
        if turn:
            share = _priorities(np.array(self.history[turn - 1]["against_pool"][seller]))
        markets = self.plan.settings.num_envs
        return {
            other: MixedSellerPolicy(self._policies(other, turn), generator.choice(turn + 1, size=markets, p=share))
            for other in self.sellers
            if other != seller
        }

    def _policies(self, seller: str, turn: int) -> list[SellerPolicy]:
        """The pool of a seller after so many rounds: the scenario's rule, then its policies."""
        frozen = [FrozenPolicy(actor) for actor in self.pool[self._learner(seller)][:turn]]
        return [self._venv(self.learning[0]).multi_seller.by_rule(seller), *frozen]

    def _learner(self, seller: str) -> str:
        return OWN if self.plan.shared else seller

    def _newest(self) -> dict[str, SellerPolicy]:
        return {seller: FrozenPolicy(self.pool[self._learner(seller)][-1]) for seller in self.sellers}

    def note(self, turn: int) -> None:
        """Record prices and profits of the round's policies on the validation seeds.

        They play among themselves and against the pool.
        """
        if len(self.history) > turn:
            return
        prices: list[NDArray] = []

        def watch(outcome: Outcome) -> None:
            prices.append(np.concatenate([outcome.list_price.mean(axis=0), outcome.rival_price.mean(axis=0)]))

        money = seller_profits(self.game.sellers("validation")[0], self._newest(), watch=watch)
        sellers, entry = self.game.sellers("validation", turn + 2)
        pool = {seller: MixedSellerPolicy(self._policies(seller, turn + 1), entry) for seller in self.sellers}
        against = {}
        for seller in self.sellers:
            found = seller_profits(sellers, pool | {seller: self._newest()[seller]})[seller]
            against[seller] = found.reshape(turn + 2, -1).mean(axis=1).tolist()
        row = {
            "round": turn + 1,
            "profit": {seller: float(values.mean()) for seller, values in money.items()},
            "price": dict(zip(self._offers(), np.stack(prices).mean(axis=0, dtype=np.float64).tolist(), strict=True)),
            "against_pool": against,
        }
        self.history.append(row)
        if self.folder is not None:
            self._write()

    def _offers(self) -> tuple[str, ...]:
        rivals = self.plan.spec.competitors
        assert rivals is not None, "a market of several sellers has some"
        return (*self.plan.spec.products.names, *rivals.names)

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            rounds = self.plan.rounds * (len(self.learning) + len(self.sellers))
            figures = self.history[-1]["profit"] if self.history else {}
            self._progress(done * self.plan.steps, rounds * self.plan.steps, figures)

    # The folder

    def _file(self, seller: str, turn: int | None = None) -> Path:
        """The file of a seller's checkpoint or policy; by number, because names may be anything."""
        assert self.folder is not None, "only a league with a folder writes files"
        index = self.sellers.index(seller)
        return (
            self.folder / _SELLERS_FOLDER / (f"{index}.safetensors" if turn is None else f"{index}-{turn}.safetensors")
        )

    def _write(self, **more: Any) -> None:
        """Write the rounds played, in the format in which `load_run` reads the shop's policy."""
        assert self.folder is not None, "only a league with a folder writes files"
        document = {"identity": self.plan.identity, **more, "history": [], "played": self.history}
        write_json(self.folder / RUN_FILE, document)

    def _resume(self, seller: str) -> None:
        if self.folder is None or not self._file(seller).is_file():
            return
        facts, _ = restore_checkpoint(self._file(seller), self.models[seller], self._venv(seller))
        for turn in range(facts["rounds"]):
            self.pool[seller].append(self._frozen(self._venv(seller), read_tensors(self._file(seller, turn + 1))[0]))

    def _frozen(self, venv: SellerVecEnv, weights: Mapping[str, Any]) -> Actor:
        policy = make_policy(algorithm(self.plan.algo), venv, self.plan.settings)
        policy.load_state_dict(weights)
        return actor_from(policy, venv.multi_seller.columns[venv.seller])

    # The end

    def result(self) -> League:
        """Find best responses and store the result."""
        finished = self.known.get("facts", {}).get("responses")
        responses = {seller: BestResponse(**values) for seller, values in (finished or {}).items()}
        if not responses:
            responses = {seller: self._respond(seller) for seller in self.sellers}
        facts = self.known.get("facts") or self.plan.identity | {
            "base_price": self.game.base_price.tolist(),
            "seats": list(self.sellers),
            "responses": {seller: response.to_dict() for seller, response in responses.items()},
            "seconds": time.perf_counter() - self._started,
            **made_with(),
        }
        policy = self.models[OWN].policy
        run = run_of(policy, self._venv(OWN).learner_view, facts, [])
        if self.folder is not None and not finished:
            save_policy(self.folder, policy, {})
            self._write(facts=facts)
        payoff = np.array([self.history[-1]["against_pool"][seller] for seller in self.sellers])
        actors = {seller: self.pool[self._learner(seller)][-1] for seller in self.sellers}
        return League(run, self.game, actors, self.history, payoff, responses)

    def _respond(self, seller: str) -> BestResponse:
        """The best response of a seller to the others' final policies.

        The candidates are the best constant price and a new learner with the budget of the whole
        league.
        """
        others = {other: policy for other, policy in self._newest().items() if other != seller}
        venv = SellerVecEnv(self._markets(), seller, others, reward_scale=self.scale[seller])
        model = self._model(venv, self._seed(seller, self.plan.rounds))
        model.learn(self.plan.rounds * self._rows(model), log_interval=cast(int, None))
        learned = FrozenPolicy(self._frozen(venv, model.policy.state_dict()))
        self._tell(self.plan.rounds * (len(self.learning) + self.sellers.index(seller) + 1))
        return best_response(self.game, seller, self._newest, learned)


def _priorities(payoff: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) probabilities of the pool's entries, half for the newest, which is the last.

    The less the learner earns against an earlier one, the more probable it is.
    """
    share, older = np.zeros(len(payoff)), payoff[:-1]
    spread = older.max() - older.min()
    hard = ((older.max() - older) / spread) ** _HARDNESS if spread > 0 else np.ones(len(older))
    share[:-1], share[-1] = (1 - _NEWEST) * hard / hard.sum(), _NEWEST
    return share
