"""Profiles of seat policies: a policy for each seller of a market, what they earn together, and how well each could answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs import OWN, ConstantSellerPolicy, MixedSellerPolicy, MultiSellerMarket, Outcome, SellerPolicy, seed_for
from ...envs.adapters.learner_view import Reward
from ...envs.seeds import Purpose
from ...pricing import RecurrentState, initial_recurrent_state, restarted_state
from ...scenarios import MarketSpec
from ..actor import Actor, RecurrentActor

# Periods whose weight in the discounted objective is smaller are not played.
_LEAST_WEIGHT = 1e-3
_GRID = 41


class FrozenPolicy:
    """The network of a seller at one point of its training, without exploration.

    A recurrent network keeps its state between calls: they must always concern the same markets.

    Args:
        actor: The network.

    Example:
        >>> actor = Actor(torch.nn.Linear(3, 1), None, 1)
        >>> FrozenPolicy(actor)(np.ones((2, 3), np.float32), np.ones(2, bool)).shape
        (2, 1)
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor.eval()
        self._state: RecurrentState = ()

    def __call__(self, rows: NDArray[np.float32], starts: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The raw actions (E, A).

        Args:
            rows: (E, F) observations of the seller.
            starts: (E,) whether the market is in the first period of an episode.
        """
        with torch.inference_mode():
            if not isinstance(self._actor, RecurrentActor):
                return self._actor(torch.from_numpy(rows)).numpy()
            initial = initial_recurrent_state(rows, self._actor.state_shapes)
            state = restarted_state(self._state or initial, starts, initial)
            raw, *states = self._actor(torch.from_numpy(rows), *map(torch.from_numpy, state))
            self._state = tuple(part.numpy() for part in states)
            return raw.numpy()


@dataclass(frozen=True)
class Game:
    """The market in which profiles are judged: so many markets of a purpose's customers for each profile."""

    spec: MarketSpec
    reward: Reward
    base_price: NDArray[np.float32]
    seed: int
    episodes: int

    def sellers(self, purpose: Purpose, profiles: int = 1) -> tuple[MultiSellerMarket, NDArray[np.intp]]:
        """Markets for several profiles side by side, on the same customers, and the profile (E,) that each belongs to."""
        sellers = MultiSellerMarket(
            self.spec,
            num_markets=profiles * self.episodes,
            seed=seed_for(purpose, self.seed),
            numbers=np.tile(np.arange(self.episodes), profiles),
            reward=self.reward,
            base_price=self.base_price,
        )
        return sellers, np.repeat(np.arange(profiles), self.episodes)


def seller_profits(
    sellers: MultiSellerMarket, profile: Mapping[str, SellerPolicy], *, watch: Callable[[Outcome], None] | None = None
) -> dict[str, NDArray[np.float64]]:
    """(E,) what each seat earns a period under these policies, weighted as the scenario discounts; an episode each.

    watch: called with the outcome of each period. Periods whose weight is below a thousandth are left out.
    """
    weights = sellers.market.spec.market.discount_factor ** np.arange(sellers.market.catalogue.horizon)
    weights = weights[weights >= _LEAST_WEIGHT]
    total = {seat: np.zeros(sellers.market.num_markets) for seat in sellers.names}
    sellers.learner_view.reset()
    for weight in weights:
        outcome = sellers.play(profile)
        for seat, reward in sellers.rewards(outcome).items():
            total[seat] += weight * reward
        if watch is not None:
            watch(outcome)
    return {seat: sums / weights.sum() for seat, sums in total.items()}


def reward_scales(game: Game) -> dict[str, float]:
    """Makes a reward of order one: the inverse of what each seat earns a period where all stand at their middle price."""
    sellers, _ = game.sellers("training")
    middle = {seat: ConstantSellerPolicy(np.zeros(count, np.float32)) for seat, count in sellers.columns.items()}
    return {seat: float(1 / max(abs(money.mean()), 1e-9)) for seat, money in seller_profits(sellers, middle).items()}


@dataclass(frozen=True)
class BestResponse:
    """The best that one seller was found to do against the others' final policies; a lower bound of what there is.

    profit: of the final policy itself, currency a period. gain: of the better of both responses over it, not below zero.
    constant_gain, learner_gain: of the best constant price, and of a policy that learned anew; *_se: paired standard
    errors. constant_raw: the raw price.
    """

    profit: float
    gain: float
    constant_gain: float
    constant_gain_se: float
    constant_raw: float
    learner_gain: float
    learner_gain_se: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def best_response(
    game: Game, seat: str, profile: Callable[[], dict[str, SellerPolicy]], learned: SellerPolicy
) -> BestResponse:
    """Hold a seat's policy in the profile against its best constant raw price, chosen on other customers, and `learned`.

    profile: makes the policies anew, since they may keep notes.
    """
    raw = _best_constant(game, seat, profile)
    sellers, own = game.sellers("validation", 3)
    others = {name: policy for name, policy in profile().items() if name != seat}
    tried: list[SellerPolicy] = [profile()[seat], _constant(sellers, seat, raw), learned]
    money = seller_profits(sellers, others | {seat: MixedSellerPolicy(tried, own)})[seat].reshape(3, -1)
    gains = money[1:] - money[0]
    errors = gains.std(axis=1, ddof=1) / np.sqrt(gains.shape[1]) if gains.shape[1] > 1 else np.zeros(2)
    constant, learner = gains.mean(axis=1)
    return BestResponse(
        profit=float(money[0].mean()),
        gain=float(max(constant, learner, 0.0)),
        constant_gain=float(constant),
        constant_gain_se=float(errors[0]),
        constant_raw=float(raw),
        learner_gain=float(learner),
        learner_gain_se=float(errors[1]),
    )


def _best_constant(game: Game, seat: str, profile: Callable[[], dict[str, SellerPolicy]]) -> float:
    """The raw price, the same for all offers of the seat, that earns most: from a grid, then from a finer one around it."""
    sellers, own = game.sellers("tuning", _GRID)

    def best(low: float, high: float) -> float:
        grid = np.linspace(low, high, _GRID)
        candidates: Sequence[SellerPolicy] = [_constant(sellers, seat, raw) for raw in grid]
        money = seller_profits(sellers, profile() | {seat: MixedSellerPolicy(candidates, own)})[seat]
        return float(grid[money.reshape(_GRID, -1).mean(axis=1).argmax()])

    coarse, step = best(-1.0, 1.0), 2.0 / (_GRID - 1)
    return best(max(-1.0, coarse - step), min(1.0, coarse + step))


def _constant(sellers: MultiSellerMarket, seat: str, raw: float) -> ConstantSellerPolicy:
    """This raw price for every offer of the seat, and nothing else that it may decide."""
    columns = np.zeros(sellers.columns[seat], np.float32)
    columns[:: sellers.learner_view.layout.size if seat == OWN else 1] = raw
    return ConstantSellerPolicy(columns)
