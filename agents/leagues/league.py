"""A league: every seller of a market learns a best response to the others' newest policies, in turn, round by round."""

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
from ...envs import OWN, MultiSellerMarket, Outcome, SellerPolicy, SellerVecEnv, seed_for
from ...scenarios import MarketSpec, load_scenario
from ..actor import Actor, actor_from
from ..algorithms import ALGORITHMS, algorithm, make_model
from ..checkpoint import restore_checkpoint, save_checkpoint
from ..classical import best_fixed
from ..networks import one_thread, schedule
from ..run import RUN_FILE, Run, made_with, open_folder, run_of, save_policy
from ..settings import Settings, settings_for
from .best_response import BestResponse, FrozenPolicy, Game, best_response, reward_scales, seller_profits

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
    "networks": 1,
}
"""Settings that are fixed in a league."""
_SELLERS_FOLDER = "seats"


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
    progress: LeagueProgress | None = None,
) -> League:
    """Let every seller of a scenario learn its prices against the others.

    In each round, every seller in turn learns in markets where the others play their newest policies; before a seller's
    first turn that is the scenario's own rule. Training runs on the CPU.

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
    if algorithm(algo).decides == "discrete":
        able = ", ".join(name for name, each in ALGORITHMS.items() if each.decides != "discrete")
        raise ValueError(f"algo must support continuous actions in a league: {able}; got {algo}; choose one of them")
    MultiSellerMarket(spec)  # rejects a market without rivals before anything is written
    own = _settings(spec, algo, settings)
    facts = {
        "scenario": spec.name,
        "scenario_version": spec.version,
        "algo": algo,
        "rounds": rounds,
        "steps": steps,
        "seed": seed,
        "settings": own.to_dict(),
    }
    with one_thread():
        play = _Play(spec, own, facts, None if out is None else Path(out), progress)
        for turn in range(rounds):
            for seller in play.sellers:
                play.learn(seller, turn)
            play.note(turn)
        return play.result()


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
    """A running league: a model and markets for each seller, and the folder.

    `identity` is what determines the league, by which a folder recognises it.
    """

    def __init__(
        self,
        spec: MarketSpec,
        settings: Settings,
        identity: dict[str, Any],
        folder: Path | None,
        progress: LeagueProgress | None,
    ) -> None:
        self.spec, self.settings, self.identity, self.folder = spec, settings, identity, folder
        self.seed, self.rounds = identity["seed"], identity["rounds"]
        self._progress, self._started = progress, time.perf_counter()
        base = spec.products.regular_price
        if settings.base_price == "best-fixed":
            base = best_fixed(spec, seed=self.seed).price
        self.game = Game(
            spec, settings.reward, np.asarray(base, dtype=np.float32), self.seed, settings.validation_episodes
        )
        self.sellers = self._markets().names
        self.history: list[dict[str, Any]] = []
        self.known: dict[str, Any] = {}
        if folder is not None:
            open_folder(folder, spec, identity)
            (folder / _SELLERS_FOLDER).mkdir(exist_ok=True)
            self.known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
            self.history = self.known.get("played", [])
        self.scale, self.models, self.done = reward_scales(self.game), {}, {}
        for seller in self.sellers:
            venv = SellerVecEnv(self._markets(), seller, reward_scale=self.scale[seller])
            self.models[seller], self.done[seller] = self._model(venv, self._seed(seller)), 0
            if folder is not None and self._file(seller).is_file():
                facts, _ = restore_checkpoint(self._file(seller), self.models[seller], venv)
                self.done[seller] = facts["rounds"]

    def _markets(self) -> MultiSellerMarket:
        return MultiSellerMarket(
            self.spec,
            num_markets=self.settings.num_envs,
            seed=seed_for("training", self.seed),
            reward=self.settings.reward,
            base_price=self.game.base_price,
        )

    def _seed(self, seller: str, *further: int) -> int:
        """Seed of what one seller draws: its initial network, or one of its rounds."""
        return int(np.random.SeedSequence([self.seed, self.sellers.index(seller), *further]).generate_state(1)[0])

    def _model(self, venv: SellerVecEnv, seed: int) -> BaseAlgorithm:
        model = make_model(algorithm(self.identity["algo"]), venv, self.settings, seed)
        # SB3 has seeded the markets with the model's seed, which may belong to another purpose.
        venv.seed(seed_for("training", self.seed))
        model.set_logger(Logger(None, []))
        fall = schedule(self.settings.schedule, self.settings.learning_rate)
        total = self.rounds * self._rows(model)
        # The schedule spans the whole league, not a single round.
        cast(Any, model).lr_schedule = lambda _: fall(max(0.0, 1 - model.num_timesteps / total))
        return model

    def _rows(self, model: BaseAlgorithm) -> int:
        """Steps of a round, rounded to complete rollouts."""
        rollout = model.n_envs * getattr(model, "n_steps", 1)
        return max(1, round(self.identity["steps"] / rollout)) * rollout

    def _venv(self, seller: str) -> SellerVecEnv:
        return cast(SellerVecEnv, self.models[seller].get_env())

    def learn(self, seller: str, turn: int) -> None:
        """One round of a seller, unless it has been played; it depends on the checkpoints of all sellers alone."""
        if self.done[seller] > turn:
            return
        model, seed = self.models[seller], self._seed(seller, turn)
        self._venv(seller).others = {other: policy for other, policy in self._newest().items() if other != seller}
        set_random_seed(seed)
        if isinstance(model.policy, ActorCriticPolicy):
            cast(torch.nn.Parameter, model.policy.log_std).data.clamp_(min=_LEAST_DEVIATION)
        model.learn(self._rows(model), reset_num_timesteps=False, log_interval=cast(int, None))
        self.done[seller] = turn + 1
        if self.folder is not None:
            save_checkpoint(self._file(seller), model, self._venv(seller), {"rounds": turn + 1}, {})
        self._tell(turn * len(self.sellers) + self.sellers.index(seller) + 1)

    def _newest(self) -> dict[str, SellerPolicy]:
        """The policy of each seller, the scenario's rule before its first turn; nobody else learns while it is in use."""
        rules = self._venv(OWN).multi_seller.by_rule
        return {
            seller: FrozenPolicy(self._actor(seller)) if self.done[seller] else rules(seller) for seller in self.sellers
        }

    def _actor(self, seller: str) -> Actor:
        return actor_from(self.models[seller].policy, self._venv(seller).multi_seller.columns[seller])

    def note(self, turn: int) -> None:
        """Record prices and profits of the round's policies among themselves, on the validation seeds."""
        if len(self.history) > turn:
            return
        prices: list[NDArray] = []

        def watch(outcome: Outcome) -> None:
            prices.append(np.concatenate([outcome.list_price.mean(axis=0), outcome.rival_price.mean(axis=0)]))

        money = seller_profits(self.game.sellers("validation")[0], self._newest(), watch=watch)
        rivals = self.spec.competitors
        assert rivals is not None, "a market of several sellers has some"
        mean = np.stack(prices).mean(axis=0, dtype=np.float64).tolist()
        self.history.append(
            {
                "round": turn + 1,
                "profit": {seller: float(values.mean()) for seller, values in money.items()},
                "price": dict(zip((*self.spec.products.names, *rivals.names), mean, strict=True)),
            }
        )
        self._write()

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            figures, steps = self.history[-1]["profit"] if self.history else {}, self.identity["steps"]
            self._progress(done * steps, 2 * self.rounds * len(self.sellers) * steps, figures)

    def _file(self, seller: str) -> Path:
        """The file of a seller's checkpoint; by number, because names may be anything."""
        assert self.folder is not None, "only a league with a folder writes files"
        return self.folder / _SELLERS_FOLDER / f"{self.sellers.index(seller)}.safetensors"

    def _write(self, **more: Any) -> None:
        """Write the rounds played, in the format in which `load_run` reads the shop's policy."""
        if self.folder is not None:
            document = {"identity": self.identity, **more, "history": [], "played": self.history}
            write_json(self.folder / RUN_FILE, document)

    def result(self) -> League:
        """Find best responses and store the result."""
        finished = self.known.get("facts", {}).get("responses")
        responses = {seller: BestResponse(**values) for seller, values in (finished or {}).items()}
        if not responses:
            responses = {seller: self._respond(seller) for seller in self.sellers}
        facts = self.known.get("facts") or self.identity | {
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
        return League(run, self.game, {seller: self._actor(seller) for seller in self.sellers}, self.history, responses)

    def _respond(self, seller: str) -> BestResponse:
        """The best response of a seller to the others' final policies.

        The candidates are the best constant price and a new learner with the budget of the whole
        league.
        """
        others = {other: policy for other, policy in self._newest().items() if other != seller}
        venv = SellerVecEnv(self._markets(), seller, others, reward_scale=self.scale[seller])
        model = self._model(venv, self._seed(seller, self.rounds))
        model.learn(self.rounds * self._rows(model), log_interval=cast(int, None))
        learned = FrozenPolicy(actor_from(model.policy, venv.multi_seller.columns[seller]))
        self._tell(self.rounds * (len(self.sellers) + self.sellers.index(seller) + 1))
        return best_response(self.game, seller, self._newest, learned)
