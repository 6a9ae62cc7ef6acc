"""Markets in which every seller sets its own prices: what each one observes, decides and earns; in PettingZoo's terms too."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Unpack

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from ...pricing import FEATURE_LIMIT, Catalogue, feature_rows, row_width
from ...pricing.action_layout import price_multiplier
from ...scenarios import MarketSpec, ScenarioError
from ..kernels.expected_demand import rival_catalogue
from ..kernels.state import LIST_PRICE, Floats, Outcome
from ..rivals import offer_view
from ..seeds import DRAWN_SEEDS
from ..simulator import Market
from .gym_env import MODES, check_render_mode, lines
from .learner_view import LearnerView, ViewOptions, checked_actions

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
                f"several sellers need a section [competitors]; got {market.spec.name} without one; add it"
            )
        self.learner_view = LearnerView(market, **options)
        self.market = market
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
        state = self.market.state
        offers = self.offers[seller]
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
            raise ValueError(f"actions must name {', '.join(self.names)}; got {', '.join(actions) or 'none'}; give all")
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


class MarketParallelEnv(ParallelEnv[str, NDArray[np.float32], NDArray[np.float32]]):
    """One market in which every seller is an agent: `MultiSellerMarket` with a batch of one.

    Args:
        scenario: A MarketSpec, a registered name or a path; it must have competitors.
        render_mode: None or `ansi`.
        options: As for `MultiSellerMarket`. With `actions="discrete"` a rival's price has
            `price_levels` levels.

    Raises:
        ValueError: For an unknown render mode or an option out of range, and in `step` for a
            missing or wrong action.

    Example:
        >>> from repricer.envs import MarketParallelEnv
        >>> env = MarketParallelEnv("calvano-duopoly")
        >>> observations, infos = env.reset(seed=0)
        >>> env.agents
        ['own', 'rival']
    """

    metadata = {"name": "repricer_market_v0", "render_modes": list(MODES)}  # noqa: RUF012  PettingZoo's own name

    def __init__(
        self, scenario: MarketSpec | str, *, render_mode: str | None = None, **options: Unpack[ViewOptions]
    ) -> None:
        check_render_mode(render_mode)
        self.multi_seller = MultiSellerMarket(scenario, **options)
        self.render_mode = render_mode
        self.learner_view = self.multi_seller.learner_view
        self.possible_agents = list(self.multi_seller.names)
        self.agents = list(self.possible_agents)
        self.observation_spaces: dict[str, Space] = dict(self.multi_seller.observation_spaces)
        self.action_spaces: dict[str, Space] = dict(self.multi_seller.action_spaces)
        # Raw prices of a rival's levels.
        self._levels = np.linspace(-1, 1, options.get("price_levels", 21), dtype=np.float32)
        if self.learner_view.levels is not None:
            self.action_spaces[OWN], count = self.learner_view.action_space, len(self._levels)
            for name, offers in self.multi_seller.offers.items():
                columns = len(offers)
                self.action_spaces[name] = Discrete(count) if columns == 1 else MultiDiscrete([count] * columns)
        self._seeded = False
        self._last: Outcome | None = None

    def observation_space(self, agent: str) -> Space[NDArray[np.float32]]:
        """The agent's observation space."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[NDArray[np.float32]]:
        """The agent's action space."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict]]:
        """Start an episode; without a seed, the next one of the same stream of customers.

        An environment that never had a seed draws one.
        """
        if seed is not None or not self._seeded:
            self.learner_view.reset(seed=int(np.random.default_rng().integers(DRAWN_SEEDS)) if seed is None else seed)
        else:
            self.learner_view.restart(np.ones(1, dtype=bool))
        self.agents = list(self.possible_agents)
        self._last = None
        self._seeded = True
        prices = self.learner_view.market.state.rival_price[0]
        return self._observe(), self._infos(self.learner_view.initial_info(), prices)

    def step(self, actions: dict[str, NDArray[np.float32]]) -> tuple[dict, dict, dict, dict, dict]:
        """Run one period in which all sellers set their prices at once."""
        market = self.learner_view.market
        outcome = self._last = self.multi_seller.step({name: self._raw(name, one) for name, one in actions.items()})
        rewards = {name: float(earned[0]) for name, earned in self.multi_seller.rewards(outcome).items()}
        over = bool(market.done[0])
        agents = list(self.agents)
        observations = self._observe()
        if over:
            self.agents = []
        ended, cut = (dict.fromkeys(agents, over and market.ends is ends) for ends in (True, False))
        return observations, rewards, ended, cut, self._infos(self.learner_view.info(outcome), outcome.rival_price[0])

    def _raw(self, name: str, action: Any) -> NDArray[np.float32]:
        """(1, A) the raw action of a seller; a name that is none is left to `MultiSellerMarket`."""
        if name not in self.action_spaces:
            return action
        checked = checked_actions(np.asarray(action)[None], 1, self.action_spaces[name], f"action of {name}")
        if self.learner_view.levels is None:
            return checked
        return self.learner_view.raw(checked).reshape(1, -1) if name == OWN else self._levels[checked].reshape(1, -1)

    def _infos(self, own: dict[str, NDArray], rival_price: NDArray[np.float32]) -> dict[str, dict]:
        infos: dict[str, dict] = {OWN: {name: values[0] for name, values in own.items()}}
        return infos | {name: {"price": rival_price[o]} for name, o in self.multi_seller.offers.items()}

    def render(self) -> str | None:
        """As `MarketEnv.render`."""
        return lines(self.learner_view.market, self._last) if self.render_mode == "ansi" else None

    def _observe(self) -> dict[str, NDArray[np.float32]]:
        return {name: self.multi_seller.observe(name)[0] for name in self.possible_agents}
