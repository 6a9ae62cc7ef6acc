"""PettingZoo's parallel API: the shop and its rivals, each an agent that sets its own prices at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from ..pricing import FEATURE_LIMIT, feature_rows, row_width
from ..pricing.layout import price_multiplier
from ..scenarios import MarketSpec, ScenarioError
from .expected import rival_catalogue
from .face import Face, Reward
from .market import Market
from .picture import Seen, draw, lines
from .state import LIST_PRICE

OWN = "own"
_WIDEST = 4.0


class MarketParallelEnv(ParallelEnv[str, NDArray[np.float32], NDArray[np.float32]]):
    """One market in which every seller learns.

    Agents: `own`, the shop, whose observation and action are those of `MarketEnv`; and each seller of the scenario's
    `competitors`, whose observation is the features of its own offers (the shop's prices are its rival's) and whose action is
    a raw price in [-1, 1] an offer: 0 is the regular price, and the log price is linear on either side up to the offer's
    floor and ceiling, at most a factor 4 away. Rewards are currency: the scenario's objective for each seller.
    """

    metadata = {"name": "repricer_market_v0", "render_modes": ["ansi", "rgb_array"]}  # noqa: RUF012  PettingZoo's own name

    def __init__(self, scenario: MarketSpec | str, *, reward: Reward = "drawn", render_mode: str | None = None) -> None:
        market = Market(scenario, draw_rivals=reward == "drawn")
        rivals = market.spec.competitors
        if rivals is None:
            raise ScenarioError(
                f"a market of several sellers needs a [competitors] section; got {market.spec.name} without one; add it"
            )
        self.face, self.render_mode = Face(market, reward=reward), render_mode
        names = rivals.seller or rivals.names
        self._offers = {name: np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)}
        self._reach = _reach(rivals.floor, rivals.ceiling, rivals.regular_price)
        self.possible_agents = [OWN, *self._offers]
        self.agents = list(self.possible_agents)
        self.observation_spaces: dict[str, Space] = {
            name: self._observation_space(name) for name in self.possible_agents
        }
        self.action_spaces: dict[str, Space] = {name: self._action_space(name) for name in self.possible_agents}
        self._path: list[Seen] = []

    def observation_space(self, agent: str) -> Space[NDArray[np.float32]]:
        """The agent's observation space."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[NDArray[np.float32]]:
        """The agent's action space."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict]]:
        """Open an episode; without a seed, the next one of the same stream of customers."""
        if seed is not None:
            self.face.reset(seed=seed)
        else:
            self.face.restart(np.ones(1, dtype=bool))
        self.agents, self._path = list(self.possible_agents), []
        return self._observe(), {name: {} for name in self.agents}

    def step(self, actions: dict[str, NDArray[np.float32]]) -> tuple[dict, dict, dict, dict, dict]:
        """One period in which all sellers set their prices at once."""
        market = self.face.market
        prices = np.full((1, market.spec.sizes["R"]), np.nan, np.float32)
        for name, offers in self._offers.items():
            assert market.spec.competitors is not None, "checked when it was made"
            raw = np.clip(np.nan_to_num(np.asarray(actions[name], np.float32)), -1.0, 1.0)
            multiplier = price_multiplier(raw, *(logs[offers] for logs in self._reach))
            prices[0, offers] = market.spec.competitors.regular_price[offers] * multiplier
        outcome = self.face.step(actions[OWN], rival_price=prices)
        self._path.append((outcome, market.state.on_hand[0]))
        rewards = {OWN: float(self.face.rewards(outcome)[0])}
        theirs = outcome.rival_profit
        if market.spec.market.objective == "revenue":
            theirs = outcome.rival_price * outcome.rival_units
        rewards |= {name: float(theirs[0, offers].sum()) for name, offers in self._offers.items()}
        over, agents = bool(market.done[0]), list(self.agents)
        infos: dict[str, dict] = {name: {"price": outcome.rival_price[0, o]} for name, o in self._offers.items()}
        infos[OWN] = {name: values[0] for name, values in self.face.info(outcome).items()}
        observations = self._observe()
        if over:
            self.agents = []
        return (
            observations,
            rewards,
            dict.fromkeys(agents, over and market.ends),
            dict.fromkeys(agents, over and not market.ends),
            infos,
        )

    def render(self) -> str | NDArray[np.uint8] | None:
        """As `MarketEnv.render`."""
        if self.render_mode == "ansi":
            return lines(self.face.market, self._path)
        return draw(self.face.market, self._path) if self.render_mode == "rgb_array" else None

    def _observe(self) -> dict[str, NDArray[np.float32]]:
        market = self.face.market
        price = market.state.lanes[LIST_PRICE]
        views = {name: market.rivals.view(market.state, offers, price) for name, offers in self._offers.items()}
        theirs = {name: feature_rows(view, product_wise=False)[0] for name, view in views.items()}
        return {OWN: self.face.observe()[0]} | theirs

    def _observation_space(self, agent: str) -> Space:
        if agent == OWN:
            return self.face.observation_space
        width = row_width(rival_catalogue(self.face.market.spec, self._offers[agent]), product_wise=False)
        return Box(-FEATURE_LIMIT, FEATURE_LIMIT, (width,), np.float32)

    def _action_space(self, agent: str) -> Space:
        if agent == OWN:
            return self.face.action_space
        return Box(-1.0, 1.0, (len(self._offers[agent]),), np.float32)


def _reach(floor: NDArray, ceiling: NDArray, regular: NDArray) -> tuple[NDArray, NDArray]:
    """(R,) logarithms of the highest and the lowest multiplier of each offer's regular price."""
    return np.log(np.clip(ceiling / regular, 1.0, _WIDEST)), np.log(np.clip(floor / regular, 1 / _WIDEST, 1.0))
