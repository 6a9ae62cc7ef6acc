"""The PettingZoo environment: the shop and its rivals set prices at the same time."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from ...scenarios import MarketSpec
from ..kernels.outcome import Outcome
from ..seeds import DRAWN_SEEDS
from .multi_seller import OWN, MultiSellerMarket
from .render import MODES, check_render_mode, lines
from .view_options import ViewOptions, checked_actions


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
        self.multi_seller, self.render_mode = MultiSellerMarket(scenario, **options), render_mode
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
        self.agents, self._last, self._seeded = list(self.possible_agents), None, True
        prices = self.learner_view.market.state.rival_price[0]
        return self._observe(), self._infos(self.learner_view.initial_info(), prices)

    def step(self, actions: dict[str, NDArray[np.float32]]) -> tuple[dict, dict, dict, dict, dict]:
        """Run one period in which all sellers set their prices at once."""
        market = self.learner_view.market
        outcome = self.multi_seller.step({name: self._raw(name, action) for name, action in actions.items()})
        self._last = outcome
        rewards = {name: float(earned[0]) for name, earned in self.multi_seller.rewards(outcome).items()}
        over, agents = bool(market.done[0]), list(self.agents)
        observations = self._observe()
        if over:
            self.agents = []
        return (
            observations,
            rewards,
            dict.fromkeys(agents, over and market.ends),
            dict.fromkeys(agents, over and not market.ends),
            self._infos(self.learner_view.info(outcome), outcome.rival_price[0]),
        )

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
