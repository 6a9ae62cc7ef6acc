"""The Gymnasium environment: one market, which is a batch of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from ...scenarios import MarketSpec
from ..kernels.state import Outcome
from ..seeds import DRAWN_SEEDS, checked_seed
from ..simulator import Market
from .learner_view import LearnerView, ViewOptions

MODES = ("ansi",)


def check_render_mode(mode: str | None) -> None:
    """Refuse a mode that is neither None nor one of `MODES`."""
    if mode not in (None, *MODES):
        raise ValueError(f"render_mode must be None, or 'ansi' for lines of text; got {mode!r}; choose one of them")


def lines(market: Market, last: Outcome | None) -> str:
    """Text: the period, and the price, stock and last sales of each product, in the first market."""
    state = market.state
    spec = market.spec
    head = f"{spec.name}, {spec.market.period} {state.period[0]} of {market.catalogue.horizon}"
    if market.catalogue.regimes:
        head += f", {market.catalogue.regimes[int(state.regime[0])]}"
    text = [head]
    for n, name in enumerate(market.catalogue.products):
        units = "initial state" if last is None else f"{last.units[0, n]:.0f} sold"
        text.append(f"  {name}: price {state.list_price[0, n]:.2f}, {state.on_hand[0, n]:g} on hand, {units}")
    if spec.competitors is not None:
        for name, price in zip(spec.competitors.names, state.rival_price[0], strict=True):
            text.append(f"  {name} (rival): price {price:.2f}")
    return "\n".join(text)


class MarketEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One market as `gymnasium.Env`; actions are a flat Box in [-1, 1], see
    `ActionLayout`, or discrete.

    An episode lasts the scenario's horizon and ends `terminated`, or `truncated` where the market
    continues. Rewards are the scenario's objective in currency. `info` holds, as arrays over
    products, the list price, price paid, units, lost sales, revenue and profit (drawn and
    expected), the product shown to each segment, which price rules changed the price and the
    propensity that a logging policy stated; the expected reward; and with discrete actions `action_mask`. After a
    reset it has the same keys.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        render_mode: None or `ansi`.
        options: `reward`, `reward_scale`, `actions`, `price_levels`, `price_reach`, `history`,
            `base_price` and `base`, as for `LearnerView`.

    Raises:
        ValueError: For an unknown render mode.

    Example:
        >>> from repricer.envs import MarketEnv
        >>> env = MarketEnv("stationary-logit", reward="expected")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        >>> info["list_price"].shape, terminated
        ((1,), False)
    """

    metadata = {"render_modes": list(MODES), "render_fps": 4}  # noqa: RUF012  Gymnasium's own name and type

    def __init__(
        self, scenario: MarketSpec | str, *, render_mode: str | None = None, **options: Unpack[ViewOptions]
    ) -> None:
        self.learner_view = view = LearnerView(Market(scenario), **options)
        self.observation_space = view.observation_space
        self.action_space = view.action_space
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._last: Outcome | None = None
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's, with the horizon as `max_episode_steps`; the market ends by itself, without a wrapper."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        horizon = self.learner_view.market.spec.market.horizon_periods
        self._spec = None if value is None else replace(value, max_episode_steps=horizon)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; without a seed, the next one of the same stream of customers.

        An environment that never had a seed draws one.
        """
        unseeded = seed is None and self._np_random is None
        seed = None if seed is None else checked_seed(seed)
        super().reset(seed=seed)
        if seed is not None or unseeded:
            self.learner_view.reset(seed=int(self.np_random.integers(DRAWN_SEEDS)) if seed is None else seed)
        else:
            self.learner_view.restart(np.ones(1, dtype=bool))
        self._last = None
        return self.learner_view.observe()[0], _single(self.learner_view.initial_info())

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Run one period."""
        market = self.learner_view.market
        outcome = self._last = self.learner_view.step(np.asarray(action)[None])
        info = _single(self.learner_view.info(outcome))
        reward = float(self.learner_view.rewards(outcome)[0])
        over = bool(market.done[0])
        return self.learner_view.observe()[0], reward, over and market.ends, over and not market.ends, info

    def action_masks(self) -> NDArray[np.bool_]:
        """(choices,) which discrete actions the price rules allow now; see `LearnerView.action_masks`."""
        return self.learner_view.action_masks()[0]

    def render(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Mode `ansi`: period, prices, stock and last sales as lines of text."""
        return lines(self.learner_view.market, self._last) if self.render_mode == "ansi" else None


def _single(info: dict[str, NDArray]) -> dict[str, Any]:
    return {name: values[0] for name, values in info.items()}
