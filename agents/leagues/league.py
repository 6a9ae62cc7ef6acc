"""A league: every seller of a market learns against a pool of what the others have become, round by round.

Fictitious self-play (Heinrich and Silver 2016, Deep Reinforcement Learning from Self-Play in Imperfect-Information Games,
arXiv 1603.01121): a best response is learned against a mixture of the opponents' newest and past policies, so that it
does not run in circles after the newest alone. Past ones are drawn with priority for those that leave the learner least
(Vinyals et al. 2019, Grandmaster level in StarCraft II using multi-agent reinforcement learning, Nature 575, methods,
prioritised fictitious self-play).
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
from ..settings import Settings, settings_for
from .best_response import BestResponse, FrozenPolicy, Game, best_response, reward_scales, seller_profits

LeagueProgress = Callable[[int, int, dict[str, float]], None]
"""Called with steps done, steps in all, and what each seller earned a period in the last round."""

# Share of a learner's markets in which an opponent plays its newest policy, and how steeply the others are prioritised.
_NEWEST, _HARDNESS = 0.5, 2
# Log of the initial deviation of a raw action: a rival without bounds of its own may go up or down by a factor 4.
# A round begins with no less than the second: opponents have moved, and less would not reach the next step of a price list.
_DEVIATION, _LEAST_DEVIATION = -1.5, -2.5
_SEATS_FOLDER = "seats"
# What a league does in one way only.
_ONLY = {
    "product_wise": False,
    "history": 1,
    "actions": "continuous",
    "price_reach": 0.0,
    "variants": 0,
    "normalise": False,
}


@dataclass(frozen=True)
class League:
    """What a league ended in. S sellers, P entries of the pool.

    run: the shop's final policy as a run, to evaluate or export. actors: each seat's final network. history: one dict a
    round: what the newest policies earned a period, `profit` by seat, what they charged, `price` by offer, and what each
    earned `against_pool`. payoff: (S, P) currency a period of each seat's final policy where the others play one entry of
    the pool: first the scenario's own rules, then the policies of each round. responses: by seat, see `BestResponse`.
    """

    run: Run
    game: Game
    actors: dict[str, Actor]
    history: list[dict[str, Any]]
    payoff: NDArray[np.float64]
    responses: dict[str, BestResponse]

    @property
    def seats(self) -> tuple[str, ...]:
        """The sellers, the shop first."""
        return tuple(self.actors)

    def profile(self) -> dict[str, SellerPolicy]:
        """The final policy of every seat, to be played in `MultiSellerMarket`; made anew, since a recurrent one keeps notes."""
        return {seat: FrozenPolicy(actor) for seat, actor in self.actors.items()}


@dataclass(frozen=True)
class _Plan:
    spec: MarketSpec
    algo: str
    rounds: int
    steps: int
    seed: int
    shared: bool
    settings: Settings

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "scenario": self.spec.name,
            "scenario_version": self.spec.version,
            "algo": self.algo,
            "rounds": self.rounds,
            "steps": self.steps,
            "seed": self.seed,
            "shared": self.shared,
            "settings": self.settings.to_dict(),
        }


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

    In each of `rounds`, every seat learns for `steps` market-periods in markets where the others play policies of the pool:
    their newest in half of them, else past ones or the scenario's own rules; then its policy joins the pool. algo: a name
    of `ALGORITHMS` that decides continuous actions. settings: values laid over its preset, from which a league differs in
    log_std_init, -1.5, and in validation_episodes, 64. shared: one network for all seats, self-play, where sellers are
    symmetric. out: folder of the league, which is also the run folder of the shop's policy; the same call goes on where
    an interrupted one stopped. Trained on the CPU.

    Raises ValueError for a scenario without competitors, an unknown algorithm or setting, sellers too unlike to share a
    network, and where `out` holds something else; OSError where the folder cannot be written.
    """
    for name, count in (("rounds", rounds), ("steps", steps)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}; ask for more")
    spec = load_scenario(scenario)
    if algorithm(algo).decides == "discrete":
        able = ", ".join(name for name, each in ALGORITHMS.items() if each.decides != "discrete")
        raise ValueError(f"algo must decide continuous actions in a league: {able}; got {algo}; choose one of them")
    MultiSellerMarket(spec)  # a market without rivals is refused before anything is written
    plan = _Plan(spec, algo, rounds, steps, seed, shared, _settings(spec, algo, settings, shared))
    folder = None if out is None else Path(out)
    with one_thread():
        play = _Play(plan, folder, progress)
        for turn in range(rounds):
            for seat in play.learning:
                play.learn(seat, turn)
            play.note(turn)
        return play.result()


def _settings(spec: MarketSpec, algo: str, given: Mapping[str, Any] | None, shared: bool) -> Settings:
    """The preset with what a league wants otherwise; ValueError for what it cannot do."""
    wanted: dict[str, Any] = {"validation_episodes": 64, **_ONLY}
    if "log_std_init" in algorithm(algo).options:
        wanted["log_std_init"] = _DEVIATION
    if shared:
        wanted["base_price"] = "regular"
    settings = settings_for(spec, algo, wanted | dict(given or {}), algorithm(algo).options)
    for name, only in _ONLY.items():
        if getattr(settings, name) != only:
            raise ValueError(f"{name} must be {only} in a league; got {getattr(settings, name)}; leave it out")
    if settings.reward not in ("drawn", "expected"):
        raise ValueError(f"reward must be drawn or expected in a league; got {settings.reward}; choose one")
    if shared and settings.base_price != "regular":
        raise ValueError(
            f"base_price must be regular where sellers share a network; got {settings.base_price}; leave it out"
        )
    return settings


class _Play:
    """The league while it runs: a model and markets for each seat that learns, the pool, the folder."""

    def __init__(self, plan: _Plan, folder: Path | None, progress: LeagueProgress | None) -> None:
        self.plan, self.folder, self._progress, self._started = plan, folder, progress, time.perf_counter()
        spec, settings = plan.spec, plan.settings
        base = spec.products.regular_price
        if settings.base_price == "best-fixed":
            base = best_fixed(spec, seed=plan.seed).price
        base = np.asarray(base, dtype=np.float32)
        self.game = Game(spec, settings.reward, base, plan.seed, settings.validation_episodes)
        first = self._markets()
        self.seats = first.names
        if plan.shared:
            _check_symmetric(first)
        self.learning = (OWN,) if plan.shared else self.seats
        self.history: list[dict[str, Any]] = []
        self.known: dict[str, Any] = {}
        if folder is not None:
            open_folder(folder, spec, plan.identity)
            (folder / _SEATS_FOLDER).mkdir(exist_ok=True)
            self.known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
            self.history = self.known.get("played", [])
        self.scale = reward_scales(self.game)
        self.models: dict[str, BaseAlgorithm] = {}
        self.pool: dict[str, list[Actor]] = {}
        for seat in self.learning:
            venv = SellerVecEnv(self._markets(), seat, reward_scale=self.scale[seat])
            self.models[seat], self.pool[seat] = self._model(venv, self._seed(seat)), []
            self._resume(seat)

    def _markets(self) -> MultiSellerMarket:
        plan = self.plan
        return MultiSellerMarket(
            plan.spec,
            num_markets=plan.settings.num_envs,
            seed=seed_for("training", plan.seed),
            reward=plan.settings.reward,
            base_price=self.game.base_price,
        )

    def _seed(self, seat: str, *further: int) -> int:
        """Of what one seat draws, in the making of its network or in one of its rounds."""
        return int(np.random.SeedSequence([self.plan.seed, self.seats.index(seat), *further]).generate_state(1)[0])

    def _model(self, venv: SellerVecEnv, seed: int) -> BaseAlgorithm:
        plan = self.plan
        model = make_model(algorithm(plan.algo), venv, plan.settings, seed)
        # SB3 has seeded the markets with the model's own number, which another purpose may have.
        venv.seed(seed_for("training", plan.seed))
        model.set_logger(Logger(None, []))
        fall = schedule(plan.settings.schedule, plan.settings.learning_rate)
        total = plan.rounds * self._rows(model)
        # Over the whole league, not over each of its rounds.
        cast(Any, model).lr_schedule = lambda _: fall(max(0.0, 1 - model.num_timesteps / total))
        return model

    def _rows(self, model: BaseAlgorithm) -> int:
        """Steps of a round: whole rollouts."""
        rollout = model.n_envs * getattr(model, "n_steps", 1)
        return max(1, round(self.plan.steps / rollout)) * rollout

    def _venv(self, seat: str) -> SellerVecEnv:
        return cast(SellerVecEnv, self.models[seat].get_env())

    # Rounds

    def learn(self, seat: str, turn: int) -> None:
        """One round of a seat, unless it has been played: it depends on the plan, the pool and this seat's checkpoint alone."""
        if len(self.pool[seat]) > turn:
            return
        model, seed = self.models[seat], self._seed(seat, turn)
        others = self._opponents(seat, turn, np.random.default_rng(seed))
        self._venv(seat).others = others
        set_random_seed(seed)
        if isinstance(model.policy, ActorCriticPolicy):
            cast(torch.nn.Parameter, model.policy.log_std).data.clamp_(min=_LEAST_DEVIATION)
        model.learn(self._rows(model), reset_num_timesteps=False, log_interval=cast(int, None))
        self.pool[seat].append(self._frozen(self._venv(seat), model.policy.state_dict()))
        if self.folder is not None:
            write_tensors(self._file(seat, turn + 1), model.policy.state_dict(), {})
            save_checkpoint(self._file(seat), model, self._venv(seat), {"rounds": turn + 1}, {})
        self._tell(turn * len(self.learning) + self.learning.index(seat) + 1)

    def _opponents(self, seat: str, turn: int, generator: np.random.Generator) -> dict[str, SellerPolicy]:
        """For each other seat a policy of the pool a market, drawn."""
        share = np.ones(1)
        if turn:
            share = _priorities(np.array(self.history[turn - 1]["against_pool"][seat]))
        markets = self.plan.settings.num_envs
        return {
            other: MixedSellerPolicy(self._policies(other, turn), generator.choice(turn + 1, size=markets, p=share))
            for other in self.seats
            if other != seat
        }

    def _policies(self, seat: str, turn: int) -> list[SellerPolicy]:
        """The entries of the pool for a seat after so many rounds: the scenario's rule, then its policies."""
        frozen = [FrozenPolicy(actor) for actor in self.pool[self._learner(seat)][:turn]]
        return [self._venv(self.learning[0]).multi_seller.by_rule(seat), *frozen]

    def _learner(self, seat: str) -> str:
        return OWN if self.plan.shared else seat

    def _newest(self) -> dict[str, SellerPolicy]:
        return {seat: FrozenPolicy(self.pool[self._learner(seat)][-1]) for seat in self.seats}

    def note(self, turn: int) -> None:
        """What the round's policies charge and earn on the validation customers, among themselves and against the pool."""
        if len(self.history) > turn:
            return
        prices: list[NDArray] = []

        def watch(outcome: Outcome) -> None:
            prices.append(np.concatenate([outcome.list_price.mean(axis=0), outcome.rival_price.mean(axis=0)]))

        money = seller_profits(self.game.sellers("validation")[0], self._newest(), watch=watch)
        sellers, entry = self.game.sellers("validation", turn + 2)
        pool = {seat: MixedSellerPolicy(self._policies(seat, turn + 1), entry) for seat in self.seats}
        against = {}
        for seat in self.seats:
            found = seller_profits(sellers, pool | {seat: self._newest()[seat]})[seat]
            against[seat] = found.reshape(turn + 2, -1).mean(axis=1).tolist()
        row = {
            "round": turn + 1,
            "profit": {seat: float(values.mean()) for seat, values in money.items()},
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
            rounds = self.plan.rounds * (len(self.learning) + len(self.seats))
            figures = self.history[-1]["profit"] if self.history else {}
            self._progress(done * self.plan.steps, rounds * self.plan.steps, figures)

    # The folder

    def _file(self, seat: str, turn: int | None = None) -> Path:
        """Of a seat's checkpoint, or of its policy after a round; by number, since a name may hold anything."""
        assert self.folder is not None, "only a league with a folder writes files"
        index = self.seats.index(seat)
        return self.folder / _SEATS_FOLDER / (f"{index}.safetensors" if turn is None else f"{index}-{turn}.safetensors")

    def _write(self, **more: Any) -> None:
        """What `load_run` reads of the shop's policy, which has no validations of its own, and the rounds played."""
        assert self.folder is not None, "only a league with a folder writes files"
        document = {"identity": self.plan.identity, **more, "history": [], "played": self.history}
        write_json(self.folder / RUN_FILE, document)

    def _resume(self, seat: str) -> None:
        if self.folder is None or not self._file(seat).is_file():
            return
        facts, _ = restore_checkpoint(self._file(seat), self.models[seat], self._venv(seat))
        for turn in range(facts["rounds"]):
            self.pool[seat].append(self._frozen(self._venv(seat), read_tensors(self._file(seat, turn + 1))[0]))

    def _frozen(self, venv: SellerVecEnv, weights: Mapping[str, Any]) -> Actor:
        policy = make_policy(algorithm(self.plan.algo), venv, self.plan.settings)
        policy.load_state_dict(weights)
        return actor_from(policy, venv.multi_seller.columns[venv.seller])

    # The end

    def result(self) -> League:
        """Look for best responses, and keep what there is."""
        finished = self.known.get("facts", {}).get("responses")
        responses = {seat: BestResponse(**values) for seat, values in (finished or {}).items()}
        if not responses:
            responses = {seat: self._respond(seat) for seat in self.seats}
        facts = self.known.get("facts") or self.plan.identity | {
            "base_price": self.game.base_price.tolist(),
            "seats": list(self.seats),
            "responses": {seat: response.to_dict() for seat, response in responses.items()},
            "seconds": time.perf_counter() - self._started,
            **made_with(),
        }
        policy = self.models[OWN].policy
        run = run_of(policy, self._venv(OWN).learner_view, facts, [])
        if self.folder is not None and not finished:
            save_policy(self.folder, policy, {})
            self._write(facts=facts)
        payoff = np.array([self.history[-1]["against_pool"][seat] for seat in self.seats])
        actors = {seat: self.pool[self._learner(seat)][-1] for seat in self.seats}
        return League(run, self.game, actors, self.history, payoff, responses)

    def _respond(self, seat: str) -> BestResponse:
        """A new learner with the budget of the whole league against the others' final policies, and the best constant."""
        others = {other: policy for other, policy in self._newest().items() if other != seat}
        venv = SellerVecEnv(self._markets(), seat, others, reward_scale=self.scale[seat])
        model = self._model(venv, self._seed(seat, self.plan.rounds))
        model.learn(self.plan.rounds * self._rows(model), log_interval=cast(int, None))
        learned = FrozenPolicy(self._frozen(venv, model.policy.state_dict()))
        self._tell(self.plan.rounds * (len(self.learning) + self.seats.index(seat) + 1))
        return best_response(self.game, seat, self._newest, learned)


def _priorities(payoff: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P,) probabilities of the pool's entries: half for the newest, the last; the less an older one leaves, the more."""
    share, older = np.zeros(len(payoff)), payoff[:-1]
    spread = older.max() - older.min()
    hard = ((older.max() - older) / spread) ** _HARDNESS if spread > 0 else np.ones(len(older))
    share[:-1], share[-1] = (1 - _NEWEST) * hard / hard.sum(), _NEWEST
    return share


def _check_symmetric(sellers: MultiSellerMarket) -> None:
    """ValueError, one line, unless the same raw price means the same to every seller."""
    own = np.array(sellers.learner_view.layout.logs)
    for seat, offers in sellers.offers.items():
        alike = sellers.columns[seat] == sellers.columns[OWN] and (
            sellers.observation_spaces[seat] == sellers.observation_spaces[OWN]
        )
        if not alike or not np.allclose([log[offers] for log in sellers.reach], own[:, None], atol=1e-4):
            raise ValueError(
                f"sellers that share a network must see and decide alike, within the same price bounds; got {seat}, "
                "which differs from own; leave shared out, or give both the same offers, floor and ceiling"
            )
