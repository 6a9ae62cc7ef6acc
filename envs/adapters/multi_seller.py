"""Markets in which every seller sets its own prices: what each one observes, decides and earns."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Unpack

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from ...pricing import FEATURE_LIMIT, Catalogue, feature_rows, row_width
from ...pricing.action_layout import price_multiplier
from ...scenarios import MarketSpec, ScenarioError
from ..kernels.expected.demand import rival_catalogue
from ..kernels.outcome import Outcome
from ..kernels.state import LIST_PRICE, Floats
from ..rivals import offer_view
from ..simulator import Market
from .learner_view import LearnerView
from .view_options import ViewOptions

OWN = "own"
_WIDEST = 4.0


class SellerPolicy(Protocol):
    """A policy of one seller: a frozen network, a rule, a mixture.

    Any function with these arguments will do.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import SellerPolicy
        >>> def base_price(rows, starts):
        ...     return np.zeros((len(rows), 1), np.float32)
        >>> policy: SellerPolicy = base_price
    """

    def __call__(self, rows: Floats, starts: NDArray[np.bool_], /) -> Floats:
        """Decide in E markets.

        Args:
            rows: (E, F) observations.
            starts: (E,) whether the market is in the first period of its episode.

        Returns:
            (E, A) raw actions in [-1, 1].
        """
        ...


@dataclass(frozen=True)
class ConstantSellerPolicy:
    """The same raw action in every period.

    Attributes:
        raw: (A,) raw action; NaN leaves a rival's price to the scenario's own rule.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import ConstantSellerPolicy
        >>> ConstantSellerPolicy(np.array([0.5]))(np.zeros((2, 3)), np.array([True, True])).tolist()
        [[0.5], [0.5]]
    """

    raw: Floats

    def __call__(self, rows: Floats, starts: NDArray[np.bool_]) -> Floats:
        """(E, A) the raw action in each market."""
        return np.tile(self.raw, (len(rows), 1))


@dataclass(frozen=True)
class MixedSellerPolicy:
    """One policy per market, from a pool.

    Attributes:
        policies: The pool.
        chosen: (E,) index of the policy that decides in each market.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import ConstantSellerPolicy, MixedSellerPolicy
        >>> low, high = (ConstantSellerPolicy(np.array([raw])) for raw in (-0.5, 0.5))
        >>> mixed = MixedSellerPolicy([low, high], np.array([1, 0]))
        >>> mixed(np.zeros((2, 3)), np.array([True, True])).tolist()
        [[0.5], [-0.5]]
    """

    policies: Sequence[SellerPolicy]
    chosen: NDArray[np.intp]

    def __call__(self, rows: Floats, starts: NDArray[np.bool_]) -> Floats:
        """(E, A) raw actions, each row from the policy chosen for its market."""
        members = [(i, np.flatnonzero(self.chosen == i)) for i in np.unique(self.chosen)]
        parts = [(where, self.policies[i](rows[where], starts[where])) for i, where in members]
        raw = np.empty((len(rows), parts[0][1].shape[1]), np.float32)
        for where, part in parts:
            raw[where] = part
        return raw


@functools.lru_cache(maxsize=64)
def _catalogue(spec: MarketSpec, offers: tuple[int, ...]) -> Catalogue:
    """One catalogue object for all batches: the constants of its features are cached with it."""
    return rival_catalogue(spec, np.array(offers))


class MultiSellerMarket:
    """E markets of one scenario in which every seller decides, not the shop alone.

    The seller `own` is the shop: it observes and decides as a joint `LearnerView` does. The others
    are the sellers of the scenario's `[competitors]`. Each observes the features of its own offers,
    with the shop's prices as its competitor's, and decides one raw price in [-1, 1] per offer: 0 is
    the regular price, and the log price is linear on either side up to the offer's floor and
    ceiling, at most a factor of 4 away. Rewards are the scenario's objective for each seller,
    currency.

    Args:
        scenario: A MarketSpec, a registered name or a path; it must have competitors.
        num_markets: E.
        seed: As for `Market`.
        numbers: As for `Market`.
        options: As for `LearnerView`, of the shop. The kind of reward holds for all sellers, but
            for `conversion-difference`; so do `reward_scale` and `price_reach`.

    Attributes:
        learner_view: The shop's `LearnerView`.
        market: The `Market` that all sellers share.
        names: Names of the sellers, `own` first.
        offers: Rival's name to the (R',) indices of its offers.
        columns: Seller's name to A, the length of its raw action.
        observation_spaces: Seller's name to Gymnasium space.
        action_spaces: Seller's name to Gymnasium space.

    Raises:
        ScenarioError: If the scenario has no competitors.

    Example:
        >>> from repricer.envs import MultiSellerMarket
        >>> sellers = MultiSellerMarket("calvano-duopoly", num_markets=2, reward="expected")
        >>> sellers.names
        ('own', 'rival')
        >>> outcome = sellers.play({name: sellers.by_rule(name) for name in sellers.names})
        >>> sellers.rewards(outcome)["rival"].shape
        (2,)
    """

    def __init__(
        self,
        scenario: MarketSpec | str,
        *,
        num_markets: int = 1,
        seed: int = 0,
        numbers: NDArray[np.int64] | None = None,
        **options: Unpack[ViewOptions],
    ) -> None:
        drawn = options.get("reward", "drawn") == "drawn"
        market = Market(scenario, num_markets=num_markets, seed=seed, numbers=numbers, draw_rivals=drawn)
        rivals = market.spec.competitors
        if rivals is None:
            raise ScenarioError(
                f"a market of several sellers needs a [competitors] section; got {market.spec.name} without one; add it"
            )
        self.learner_view, self.market = LearnerView(market, **options), market
        names = rivals.seller or rivals.names
        self.offers = {name: np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)}
        self.names = (OWN, *self.offers)
        self.regular_price = rivals.regular_price
        # (R,) logarithms of the highest and the lowest multiple of each offer's regular price.
        widest = min(self.learner_view.price_reach or _WIDEST, _WIDEST)
        self.reach = (
            np.log(np.clip(rivals.ceiling / rivals.regular_price, 1.0, widest)),
            np.log(np.clip(rivals.floor / rivals.regular_price, 1 / widest, 1.0)),
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
        """(E, F) observations of this seller."""
        if seller == OWN:
            return self.learner_view.observe()
        state, offers = self.market.state, self.offers[seller]
        ours = state.lanes[LIST_PRICE][self.market.spec.competitor_product[offers]].T
        view = offer_view(self._catalogues[seller], state, offers, ours, memory=False)
        return feature_rows(view, product_wise=False)

    def by_rule(self, seller: str) -> ConstantSellerPolicy:
        """The seller's policy in the scenario: a rival's rule, or the shop's base price."""
        return ConstantSellerPolicy(np.full(self.columns[seller], 0.0 if seller == OWN else np.nan, np.float32))

    def step(self, actions: Mapping[str, Floats]) -> Outcome:
        """Run one period; actions: seller's name to (E, A) raw, NaN where a rival's rule decides.

        Raises:
            ValueError: A seller's action is missing or has another shape, or a name is no seller's.
        """
        if actions.keys() != set(self.names):
            raise ValueError(
                f"actions must hold one for each of {', '.join(self.names)}; got {', '.join(actions) or 'none'}; give all"
            )
        prices = np.empty((self.market.num_markets, self.regular_price.size), np.float32)
        for name, offers in self.offers.items():
            raw = np.clip(self._shaped(name, actions[name]), -1.0, 1.0)
            prices[:, offers] = self.regular_price[offers] * price_multiplier(raw, *(log[offers] for log in self.reach))
        return self.learner_view.step_raw(self._shaped(OWN, actions[OWN]), rival_price=prices)

    def _shaped(self, name: str, raw: Floats) -> Floats:
        shape = (self.market.num_markets, self.columns[name])
        if np.shape(raw) != shape:
            raise ValueError(f"the action of {name} must have shape {shape}; got {np.shape(raw)}; see columns")
        return np.ascontiguousarray(raw, np.float32)

    def play(self, profile: Mapping[str, SellerPolicy]) -> Outcome:
        """Run one period in which every seller follows its policy; profile: name to policy."""
        starts = self.market.state.period == 0
        return self.step({seller: profile[seller](self.observe(seller), starts) for seller in self.names})

    def rewards(self, outcome: Outcome) -> dict[str, Floats]:
        """Name to (E,) what the seller earned in a period, currency times `reward_scale`."""
        theirs = outcome.rival_profit
        if self.market.spec.market.objective == "revenue":
            theirs = outcome.rival_price * outcome.rival_units
        # Numpy chooses the order of a sum by the size of the batch; in double precision the order
        # does not show.
        scale = self.learner_view.reward_scale
        sums = {name: scale * theirs[:, offers].sum(axis=1, dtype=np.float64) for name, offers in self.offers.items()}
        return {OWN: self.learner_view.rewards(outcome)} | {
            name: earned.astype(np.float32) for name, earned in sums.items()
        }
