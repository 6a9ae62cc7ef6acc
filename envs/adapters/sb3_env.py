"""The Stable-Baselines3 vector environments: of a market, joint or product-wise, and of one seller among others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ...scenarios import MarketSpec
from ..seeds import DrawSchedule
from ..simulator import Market
from .learner_view import LearnerView, ViewOptions, checked_actions, checked_count, learner_views
from .multi_seller import MultiSellerMarket, SellerPolicy


class BatchVecEnv(VecEnv):
    """Base of SB3 environments whose rows share batches of markets, not a process each.

    `arrays()` and `restore_arrays()` save and restore the markets in mid-episode.

    Attributes:
        learner_view: The (first) learner's view of the markets.

    Example:
        >>> from repricer.envs import BatchVecEnv, make_sb3_env
        >>> venv = make_sb3_env("stationary-logit", num_envs=2)
        >>> isinstance(venv, BatchVecEnv), venv.get_attr("history")
        (True, [1, 1])
    """

    learner_view: LearnerView
    _actions: NDArray | None = None

    def step_async(self, actions: NDArray) -> None:
        """Store the actions for `step_wait`."""
        self._actions = actions

    @abstractmethod
    def arrays(self) -> dict[str, NDArray]:
        """Everything that changes from period to period, by name."""

    @abstractmethod
    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Continue from the result of `arrays`; returns the observation."""

    def close(self) -> None:
        """Do nothing: there are no processes or files to release."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the first learner view, repeated for each row."""
        # SB3 asks for a render mode, which a batch does not have.
        value = None if attr_name == "render_mode" else getattr(self.learner_view, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: rows share one batch of markets."""
        raise AttributeError(f"{attr_name} cannot be set on one row; rows share markets; make a new environment")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """`action_masks`, as sb3-contrib asks for them; the rest is refused: rows share one batch of markets."""
        if method_name == "action_masks":
            views = getattr(self, "learner_views", (self.learner_view,))
            masks = np.concatenate([view.action_masks() for view in views])
            return [masks[row] for row in self._get_indices(indices)]
        raise AttributeError(f"{method_name} cannot be called on one row; rows share markets; use learner_view.market")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]


def endings(done: NDArray[np.bool_], last: NDArray[np.float32], truncated: bool) -> dict[int, dict[str, Any]]:
    """Row to SB3's info at the end of an episode: last observation, and whether truncated."""
    rows = np.flatnonzero(done)
    return {
        row: {"terminal_observation": seen, "TimeLimit.truncated": truncated}
        for row, seen in zip(rows.tolist(), last[rows], strict=True)
    }


@dataclass(frozen=True)
class Shaping:
    """Rewards relative to a potential f of the state: `scale * (r + gamma f(s') - f(s))`, f = 0 after the end.

    That changes no policy's rank (Ng, Harada and Russell 1999, Policy invariance under reward
    transformations). If f is what the base prices earn from a state on, a critic has to learn only
    what other prices earn beyond that, which is a few percent of the money.

    Attributes:
        potential: Maps (rows, F) features to (rows,) numbers.
        gamma: Discount factor per period.
        scale: Factor of the shaped rewards.
    """

    potential: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    gamma: float
    scale: float = 1.0

    def __call__(
        self, rewards: NDArray[Any], before: NDArray[Any], after: NDArray[Any], ended: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """(rows,) shaped rewards.

        Args:
            rewards: (rows,) rewards of a period.
            before: (rows,) potential before it.
            after: (rows,) potential after it.
            ended: (rows,) whether nothing follows.
        """
        following = np.where(ended, 0.0, after)
        return (self.scale * (rewards + self.gamma * following - before)).astype(np.float32)


class MarketVecEnv(BatchVecEnv):
    """E markets as SB3's `VecEnv`: E rows, or product-wise E * N (market by market).

    Episodes restart automatically, as SB3 expects; the last observation is in the row's info as
    `terminal_observation`.

    Args:
        view: The learner's view of the markets.
        variants: Views of further batches, say with another elasticity or another rival. Their rows
            follow, in this order.
        staggered: Let the first reset, and one after `seed`, spread the markets over the periods of
            an episode, see `LearnerView.stagger`.

    Attributes:
        ends: After the last row of each batch.
        shaping: How rewards are shaped, or None.

    Example:
        >>> from repricer.envs import LearnerView, Market, MarketVecEnv
        >>> venv = MarketVecEnv(LearnerView(Market("stationary-logit", num_markets=4)))
        >>> venv.reset().shape[0]
        4
    """

    def __init__(self, view: LearnerView, variants: Sequence[LearnerView] = (), *, staggered: bool = False) -> None:
        self.learner_view = view
        self.learner_views = (view, *variants)
        self.ends = [int(end) for end in np.cumsum([each.num_rows for each in self.learner_views])]
        self._staggered = staggered
        self._begun = False
        self.shaping: Shaping | None = None
        self._potential = np.empty(0, np.float32)
        # Infos are empty but at ends; a fresh dict for each row of each step takes as long as a
        # step.
        self._no_infos: list[dict[str, Any]] = [{} for _ in range(self.ends[-1])]
        super().__init__(self.ends[-1], view.observation_space, view.action_space)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Set the seed of the next reset, which then starts episode 0."""
        self._begun = False
        return super().seed(seed)

    def reset(self) -> NDArray[np.float32]:
        """Start episode 0 of every market at first and after `seed`, then the next episode."""
        for view in self.learner_views:
            if self._begun:
                view.restart(np.ones(view.market.num_markets, np.bool_))
                continue
            view.reset(seed=self._seeds[0])
            if self._staggered:
                view.stagger()
        self._begun = True
        self._reset_seeds()
        return self._begin()

    def _observe(self) -> NDArray[np.float32]:
        rows = [view.observe() for view in self.learner_views]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def _begin(self) -> NDArray[np.float32]:
        """The observation that an episode, or the rest of it, begins with."""
        observed = self._observe()
        if self.shaping is not None:
            self._potential = self.shaping.potential(observed)
        return observed

    def _shaped(self, rewards: NDArray[Any], observed: NDArray, infos: list[dict], dones: NDArray[np.bool_]) -> NDArray:
        if self.shaping is None:
            return rewards
        before = self._potential
        self._potential = self.shaping.potential(observed)
        after = self._potential
        ended = dones
        cut = [row for row in np.flatnonzero(dones) if infos[row]["TimeLimit.truncated"]]
        if cut:
            last = np.stack([infos[row]["terminal_observation"] for row in cut])
            ended = dones.copy()
            after = after.copy()
            ended[cut] = False
            after[cut] = self.shaping.potential(last)
        return self.shaping(rewards, before, after, ended)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market."""
        assert self._actions is not None, "step_wait comes after step_async"
        actions = self._actions
        if len(self.learner_views) > 1:
            actions = checked_actions(actions, self.num_envs, self.action_space)
        infos = self._no_infos.copy()
        rewards = []
        dones = np.zeros(self.num_envs, np.bool_)
        start = 0
        for view, end in zip(self.learner_views, self.ends, strict=True):
            rows = slice(start, end)
            start = end
            market = view.market
            rewards.append(view.rewards(view.step(actions[rows] if len(self.learner_views) > 1 else actions)))
            if market.over:
                done = market.done
                dones[rows] = np.repeat(done, view.rows_per_market)
                for row, fact in endings(dones[rows], view.observe(), not market.ends).items():
                    infos[rows.start + row] = fact
                view.restart(done)
        observed = self._observe()
        earned = rewards[0] if len(rewards) == 1 else np.concatenate(rewards)
        return observed, self._shaped(earned, observed, infos, dones), dones, infos

    def scale_costs(self, factor: float) -> None:
        """Charge this multiple of the scenario's unit costs from the next step on."""
        for view in self.learner_views:
            view.market.dynamics.scale_costs(factor)

    def arrays(self) -> dict[str, NDArray]:
        """Everything that changes from period to period, by name with the number of the batch."""
        views = enumerate(self.learner_views)
        return {f"{i}.{name}": array for i, view in views for name, array in view.arrays().items()}

    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Continue from the result of `arrays`; returns the observation."""
        for i, view in enumerate(self.learner_views):
            view.restore_arrays({name: arrays[f"{i}.{name}"] for name in view.arrays()})
        return self._begin()


def make_sb3_env(
    scenario: MarketSpec | str,
    *,
    num_envs: int = 64,
    seed: int = 0,
    product_wise: bool = False,
    variants: Sequence[MarketSpec] = (),
    draws: int = 0,
    draw_pool: Sequence[int] = (),
    assumed: MarketSpec | None = None,
    staggered: bool = False,
    **options: Unpack[ViewOptions],
) -> MarketVecEnv:
    """An SB3 environment over `num_envs` markets of a scenario.

    Args:
        scenario: A MarketSpec, a registered name or a path.
        num_envs: E, number of markets.
        seed: Seed of the customers, see `seed_for`.
        product_wise: As for `LearnerView`.
        variants: Further scenarios, with `num_envs` markets each. In them, too, policies believe in
            `scenario`.
        draws: Number of batches that the `num_envs` markets are split into, each following a
            posterior draw of the scenario, another one in each episode; 0 for the scenario itself.
        draw_pool: Numbers of the draws to go through, some of them repeated to come more often;
            each draw once by default.
        assumed: The market that policies believe in; `scenario` by default.
        staggered: As for `MarketVecEnv`.
        options: As for `LearnerView`; `reward_scale="auto"` is what PPO and its kin need.

    Raises:
        ValueError: There are draws and variants, fewer markets than draws, or no posterior.

    Example:
        >>> from repricer.envs import make_sb3_env
        >>> venv = make_sb3_env("stationary-logit", num_envs=8, seed=0, reward="expected")
        >>> venv.num_envs, venv.action_space.shape
        (8, (1,))
    """

    checked_count(num_envs, "num_envs", 1)
    for name, given in (("product_wise", product_wise), ("staggered", staggered)):
        if not isinstance(given, bool | np.bool_):
            raise ValueError(f"{name} must be true or false; got {given!r}; choose one")
    if len(draw_pool) and not draws:
        raise ValueError(f"draw_pool needs draws; got {len(draw_pool)} numbers and draws 0; set draws or leave it out")
    if draws and variants:
        raise ValueError(f"draws need a training without variants; got {len(variants)}; set variants or draws to 0")
    if not 0 <= draws <= num_envs:
        raise ValueError(f"draws must be between 0 and num_envs ({num_envs}); got {draws}; fix one of them")

    def market(spec: MarketSpec | str, numbers: NDArray[np.int64], **kind: Any) -> Market:
        return Market(spec, num_markets=len(numbers), seed=seed, numbers=numbers, **kind)

    numbers = np.arange(num_envs)
    pool = tuple(draw_pool)
    if draws:
        batches = enumerate(np.array_split(numbers, draws))
        turns = ({"assumed": assumed, "draws": DrawSchedule(i, draws, pool)} | {"numbers": own} for i, own in batches)
        markets = [market(scenario, **turn) for turn in turns]
    else:
        first = market(scenario, numbers, assumed=assumed)
        assumed = assumed or first.spec
        others = enumerate(variants, start=1)
        markets = [first, *(market(spec, i * num_envs + numbers, assumed=assumed) for i, spec in others)]
    view, *more = learner_views(markets, product_wise=product_wise, **options)
    return MarketVecEnv(view, more, staggered=staggered)


class SellerVecEnv(BatchVecEnv):
    """E markets as SB3's `VecEnv` in which one seller learns; row e is market e.

    `arrays()` holds the state of the markets but not the policies of the other sellers; set
    `others` again after a restore.

    Args:
        multi_seller: The markets.
        seller: Name of the learning seller.
        others: Policies of other sellers; by default each acts as in the scenario. The attribute
            may be changed between two steps; a `MixedSellerPolicy` gives each market its own
            opponent.
        reward_scale: Factor of all rewards.

    Raises:
        ValueError: For a seller that the market does not have.

    Example:
        >>> from repricer.envs import MultiSellerMarket, SellerVecEnv
        >>> venv = SellerVecEnv(MultiSellerMarket("calvano-duopoly", num_markets=2), "rival")
        >>> venv.reset().shape[0], venv.num_envs
        (2, 2)
    """

    def __init__(
        self,
        multi_seller: MultiSellerMarket,
        seller: str,
        others: Mapping[str, SellerPolicy] | None = None,
        *,
        reward_scale: float = 1.0,
    ) -> None:
        if seller not in multi_seller.names:
            raise ValueError(f"seller must be one of {', '.join(multi_seller.names)}; got '{seller}'; choose one")
        self.multi_seller = multi_seller
        self.seller = seller
        self.reward_scale = reward_scale
        self.learner_view = multi_seller.learner_view
        by_rule = {name: multi_seller.by_rule(name) for name in multi_seller.names if name != seller}
        self.others = by_rule | dict(others or {})
        spaces = multi_seller.observation_spaces[seller], multi_seller.action_spaces[seller]
        super().__init__(multi_seller.market.num_markets, *spaces)

    def reset(self) -> NDArray[np.float32]:
        """Start episode 0 of every market."""
        self.learner_view.reset(seed=self._seeds[0])
        self._reset_seeds()
        return self.multi_seller.observe(self.seller)

    def step_wait(self) -> VecEnvStepReturn:
        """Run one period of every market under the actions of the learner and of the others."""
        assert self._actions is not None, "step_wait comes after step_async"
        learned = checked_actions(self._actions, self.num_envs, self.action_space)
        outcome = self.multi_seller.play(self.others | {self.seller: lambda rows, starts: learned})
        rewards = self.multi_seller.rewards(outcome)[self.seller] * np.float32(self.reward_scale)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = self.multi_seller.market.done
        if done.any():
            last = self.multi_seller.observe(self.seller)
            for row, fact in endings(done, last, not self.multi_seller.market.ends).items():
                infos[row] = fact
            self.learner_view.restart(done)
        return self.multi_seller.observe(self.seller), rewards, done, infos

    def arrays(self) -> dict[str, NDArray]:
        """Everything that changes from period to period, by name."""
        return self.learner_view.arrays()

    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Continue from the result of `arrays`; returns the observation."""
        self.learner_view.restore_arrays(arrays)
        return self.multi_seller.observe(self.seller)
