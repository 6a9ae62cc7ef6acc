"""Best responses: what a seller could gain by deviating from a profile of policies."""

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

# Periods with a smaller weight in the discounted objective are not simulated.
_LEAST_WEIGHT = 1e-3
_GRID = 41


class FrozenPolicy:
    """The network of a seller at one point of its training, without exploration.

    A recurrent network keeps its state between calls: they must always concern the same markets.

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

    def sellers(self, purpose: Purpose, profiles: int = 1) -> tuple[MultiSellerMarket, NDArray[np.intp]]:
        """Markets for several profiles side by side, with the same customers.

        Args:
            purpose: Which seeds to use.

        Returns:
            The markets, and the profile (E,) that each belongs to.
        """
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
    return {
        seller: float(1 / max(abs(money.mean()), 1e-9)) for seller, money in seller_profits(sellers, middle).items()
    }


@dataclass(frozen=True)
class BestResponse:
    """The best deviation found for one seller against the others' final policies, a lower bound.

    Attributes:
        profit: Profit of the seller's own final policy, currency per period.
        gain: Gain of the better deviation over it, at least zero.
        constant_gain: Gain of the best constant price.
        constant_gain_se: Its paired standard error.
        constant_raw: That price as a raw action.
        learner_gain: Gain of a policy that was learned against the others.
        learner_gain_se: Its paired standard error.
    """

    profit: float
    gain: float
    constant_gain: float
    constant_gain_se: float
    constant_raw: float
    learner_gain: float
    learner_gain_se: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def best_response(
    game: Game, seller: str, profile: Callable[[], dict[str, SellerPolicy]], learned: SellerPolicy
) -> BestResponse:
    """Compare a seller's policy with its best constant raw price and with a learned deviation.

    The constant is chosen on other customers than those of the comparison.

    Args:
        profile: Makes the policies of all sellers anew, because they may keep a state.
    """
    raw = _best_constant(game, seller, profile)
    sellers, own = game.sellers("validation", 3)
    others = {name: policy for name, policy in profile().items() if name != seller}
    tried: list[SellerPolicy] = [profile()[seller], _constant(sellers, seller, raw), learned]
    money = seller_profits(sellers, others | {seller: MixedSellerPolicy(tried, own)})[seller].reshape(3, -1)
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


def _best_constant(game: Game, seller: str, profile: Callable[[], dict[str, SellerPolicy]]) -> float:
    """The best constant raw price, the same for all offers: from a grid, then from a finer one."""
    sellers, own = game.sellers("tuning", _GRID)

    def best(low: float, high: float) -> float:
        grid = np.linspace(low, high, _GRID)
        candidates: Sequence[SellerPolicy] = [_constant(sellers, seller, raw) for raw in grid]
        money = seller_profits(sellers, profile() | {seller: MixedSellerPolicy(candidates, own)})[seller]
        return float(grid[money.reshape(_GRID, -1).mean(axis=1).argmax()])

    coarse, step = best(-1.0, 1.0), 2.0 / (_GRID - 1)
    return best(max(-1.0, coarse - step), min(1.0, coarse + step))


def _constant(sellers: MultiSellerMarket, seller: str, raw: float) -> ConstantSellerPolicy:
    """A policy with this raw price for every offer of the seller, and zero in all other columns."""
    columns = np.zeros(sellers.columns[seller], np.float32)
    columns[:: sellers.learner_view.layout.size if seller == OWN else 1] = raw
    return ConstantSellerPolicy(columns)
