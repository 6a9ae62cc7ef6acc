"""The PettingZoo environment: the shop and its rivals set prices at the same time."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from ...scenarios import MarketSpec
from .learner_view import Reward
from .multi_seller import OWN, MultiSellerMarket
from .render import Seen, draw, lines


class MarketParallelEnv(ParallelEnv[str, NDArray[np.float32], NDArray[np.float32]]):
    """One market in which every seller is an agent: `MultiSellerMarket` with a batch of one.

    Args:
        scenario: A MarketSpec, a registered name or a path; it must have competitors.
        reward: As for `MultiSellerMarket`.
        render_mode: None, `ansi` or `rgb_array`.

    Example:
        >>> from repricer.envs import MarketParallelEnv
        >>> env = MarketParallelEnv("calvano-duopoly")
        >>> observations, infos = env.reset(seed=0)
        >>> env.agents
        ['own', 'rival']
    """

    metadata = {"name": "repricer_market_v0", "render_modes": ["ansi", "rgb_array"]}  # noqa: RUF012  PettingZoo's own name

    def __init__(self, scenario: MarketSpec | str, *, reward: Reward = "drawn", render_mode: str | None = None) -> None:
        self.multi_seller, self.render_mode = MultiSellerMarket(scenario, reward=reward), render_mode
        self.learner_view = self.multi_seller.learner_view
        self.possible_agents = list(self.multi_seller.names)
        self.agents = list(self.possible_agents)
        self.observation_spaces: dict[str, Space] = dict(self.multi_seller.observation_spaces)
        self.action_spaces: dict[str, Space] = dict(self.multi_seller.action_spaces)
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
        """Start an episode; without a seed, the next one of the same stream of customers."""
        if seed is not None:
            self.learner_view.reset(seed=seed)
        else:
            self.learner_view.restart(np.ones(1, dtype=bool))
        self.agents, self._path = list(self.possible_agents), []
        return self._observe(), {name: {} for name in self.agents}

    def step(self, actions: dict[str, NDArray[np.float32]]) -> tuple[dict, dict, dict, dict, dict]:
        """Run one period in which all sellers set their prices at once."""
        market = self.learner_view.market
        chosen = {name: np.asarray(actions[name], np.float32)[None] for name in self.multi_seller.names}
        # NaN counts as the regular price: here no rival follows the scenario's rule.
        chosen |= {name: np.nan_to_num(chosen[name]) for name in self.multi_seller.offers}
        outcome = self.multi_seller.step(chosen)
        self._path.append((outcome, market.state.on_hand[0]))
        rewards = {name: float(earned[0]) for name, earned in self.multi_seller.rewards(outcome).items()}
        over, agents = bool(market.done[0]), list(self.agents)
        infos: dict[str, dict] = {
            name: {"price": outcome.rival_price[0, o]} for name, o in self.multi_seller.offers.items()
        }
        infos[OWN] = {name: values[0] for name, values in self.learner_view.info(outcome).items()}
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
            return lines(self.learner_view.market, self._path)
        return draw(self.learner_view.market, self._path) if self.render_mode == "rgb_array" else None

    def _observe(self) -> dict[str, NDArray[np.float32]]:
        return {name: self.multi_seller.observe(name)[0] for name in self.possible_agents}
