"""Markets in which every seller sets its prices: what each sees, decides and earns. All faces of several sellers share this."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from ...pricing import FEATURE_LIMIT, Catalogue, feature_rows, row_width
from ...pricing.action_layout import price_multiplier
from ...scenarios import MarketSpec, ScenarioError
from ..kernels.expected_demand import rival_catalogue
from ..kernels.state import LIST_PRICE, Floats, Outcome
from ..rivals import offer_view
from ..simulator import Market
from .learner_view import LearnerView, Reward

OWN = "own"
_WIDEST = 4.0


class SellerPolicy(Protocol):
    """Anything that decides for one seller: a frozen network, a rule, a mixture of both."""

    def __call__(self, rows: Floats, starts: NDArray[np.bool_]) -> Floats:
        """(E, A) raw actions for observations (E, F). starts: (E,) whether the market is in its episode's first period."""
        ...


@dataclass(frozen=True)
class ConstantSellerPolicy:
    """The same raw action (A,) in every period. NaN leaves a rival's price to the scenario's own rule."""

    raw: Floats

    def __call__(self, rows: Floats, starts: NDArray[np.bool_]) -> Floats:
        """(E, A) of it."""
        return np.tile(self.raw, (len(rows), 1))


@dataclass(frozen=True)
class MixedSellerPolicy:
    """A policy a market, from a pool. chosen: (E,) index of the policy that acts in each market."""

    policies: Sequence[SellerPolicy]
    chosen: NDArray[np.intp]

    def __call__(self, rows: Floats, starts: NDArray[np.bool_]) -> Floats:
        """(E, A), each row by the policy that was chosen for it."""
        parts = [(where, self.policies[i](rows[where], starts[where])) for i, where in self._members()]
        raw = np.empty((len(rows), parts[0][1].shape[1]), np.float32)
        for where, part in parts:
            raw[where] = part
        return raw

    def _members(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        return ((int(i), np.flatnonzero(self.chosen == i)) for i in np.unique(self.chosen))


@functools.lru_cache(maxsize=64)
def _catalogue(spec: MarketSpec, offers: tuple[int, ...]) -> Catalogue:
    """One for all batches of a market: what features need of a catalogue is worked out once for each."""
    return rival_catalogue(spec, np.array(offers))


class MultiSellerMarket:
    """E markets of one scenario with a seller for each seller.

    Seats: `own`, the shop, which sees and decides what `LearnerView` says, jointly; and each seller of the scenario's
    `competitors`, which sees the features of its own offers (the shop's prices are its rival's) and decides a raw price in
    [-1, 1] an offer: 0 is the regular price, and the log price is linear on either side up to the offer's floor and ceiling,
    at most a factor 4 away. Rewards are currency, the scenario's objective for each seller: drawn or expected for all,
    conversion-difference for the shop alone. seed, numbers: as `Market` has them. base_price: as `LearnerView` has it. columns: A
    of each seller, numbers of its raw action.
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        num_markets: int = 1,
        seed: int = 0,
        numbers: NDArray[np.int64] | None = None,
        reward: Reward = "drawn",
        base_price: ArrayLike | None = None,
    ) -> None:
        market = Market(scenario, num_markets=num_markets, seed=seed, numbers=numbers, draw_rivals=reward == "drawn")
        rivals = market.spec.competitors
        if rivals is None:
            raise ScenarioError(
                f"a market of several sellers needs a [competitors] section; got {market.spec.name} without one; add it"
            )
        self.learner_view, self.market = LearnerView(market, reward=reward, base_price=base_price), market
        names = rivals.seller or rivals.names
        self.offers = {name: np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)}
        self.names = (OWN, *self.offers)
        self.regular_price = rivals.regular_price
        # (R,) logarithms of the highest and the lowest multiplier of each offer's regular price.
        self.reach = (
            np.log(np.clip(rivals.ceiling / rivals.regular_price, 1.0, _WIDEST)),
            np.log(np.clip(rivals.floor / rivals.regular_price, 1 / _WIDEST, 1.0)),
        )
        self._catalogues = {name: _catalogue(market.spec, tuple(offers)) for name, offers in self.offers.items()}
        self.observation_spaces = {OWN: self.learner_view.observation_space} | {
            name: Box(-FEATURE_LIMIT, FEATURE_LIMIT, (row_width(catalogue, product_wise=False),), np.float32)
            for name, catalogue in self._catalogues.items()
        }
        own = {OWN: self.learner_view.base_price.size * self.learner_view.layout.size}
        self.columns = own | {name: len(offers) for name, offers in self.offers.items()}
        self.action_spaces = {name: Box(-1.0, 1.0, (count,), np.float32) for name, count in self.columns.items()}

    def observe(self, seller: str) -> Floats:
        """(E, F) what this seller sees."""
        if seller == OWN:
            return self.learner_view.observe()
        state, offers = self.market.state, self.offers[seller]
        ours = state.lanes[LIST_PRICE][self.market.spec.competitor_product[offers]].T
        view = offer_view(self._catalogues[seller], state, offers, ours, memory=False)
        return feature_rows(view, product_wise=False)

    def by_rule(self, seller: str) -> ConstantSellerPolicy:
        """The seller as the scenario has it: a rival by its rule, the shop at its base price."""
        return ConstantSellerPolicy(np.full(self.columns[seller], 0.0 if seller == OWN else np.nan, np.float32))

    def step(self, actions: Mapping[str, Floats]) -> Outcome:
        """One period in which all sellers set their prices at once, (E, A) a seller; NaN: the rival's rule decides."""
        prices = np.empty((self.market.num_markets, self.regular_price.size), np.float32)
        for name, offers in self.offers.items():
            raw = np.clip(actions[name], -1.0, 1.0)
            prices[:, offers] = self.regular_price[offers] * price_multiplier(raw, *(log[offers] for log in self.reach))
        return self.learner_view.step(actions[OWN], rival_price=prices)

    def play(self, profile: Mapping[str, SellerPolicy]) -> Outcome:
        """One period in which every seller does what its policy says."""
        starts = self.market.state.period == 0
        return self.step({seller: profile[seller](self.observe(seller), starts) for seller in self.names})

    def rewards(self, outcome: Outcome) -> dict[str, Floats]:
        """(E,) what each seller earned in a period."""
        theirs = outcome.rival_profit
        if self.market.spec.market.objective == "revenue":
            theirs = outcome.rival_price * outcome.rival_units
        # In double precision the sum does not depend on the order, which numpy chooses by the size of the batch.
        sums = {name: theirs[:, offers].sum(axis=1, dtype=np.float64) for name, offers in self.offers.items()}
        return {OWN: self.learner_view.rewards(outcome)} | {
            name: earned.astype(np.float32) for name, earned in sums.items()
        }
