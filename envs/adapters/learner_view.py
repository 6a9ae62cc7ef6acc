"""The learner's view of a batch of markets: observations, actions and rewards.

Every adapter for a learning library uses it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import ArrayLike, NDArray

from ...pricing import FEATURE_LIMIT, Action, ActionLayout, Policy, checked_policy, row_width
from ..kernels.outcome import Outcome
from ..kernels.sales import total_by_market
from ..kernels.state import MarketState
from ..seeds import seed_for
from ..simulator import Market
from .view_options import (
    Actions,
    LevelsAround,
    Reward,
    RewardFunction,
    action_levels,
    allowed_levels,
    check_options,
    checked_actions,
    price_per_product,
)

_TRIAL_PERIODS = 64
_INFO = (
    *("list_price", "paid", "units", "lost", "trail", "shown", "revenue", "profit"),
    *("expected_revenue", "expected_profit", "expected_reward", "propensity"),
)
"""The keys of `info`, in their order."""


class LearnerView:
    """Observations, actions and rewards of E markets, one row per market or one row per product.

    Args:
        market: The markets, which the view steps.
        product_wise: A row is one product of one market with its own reward (E * N rows); otherwise
            a row is a market and its reward is the sum over its products.
        reward: `drawn` money; its `expected` value given the action, which has less noise;
            product-wise, `expected-gain`, that value less what the product would have earned at its
            base price, which has the least noise, but counts what an action does in its own period
            alone; or `conversion-difference`, the change of the expected money per customer from one period
            to the next, which does not credit the price with a busy week (Liu et al. 2019, Dynamic
            Pricing on E-commerce Platform with Deep Reinforcement Learning, section 3.4). Or a function of `info`
            that gives the reward of each market, (E,), or of each product, (E, N).
        base_price: (N,) the price that a raw price of zero means, currency per unit; the regular
            price by default.
        base: A policy whose price takes that role period by period; base_price then serves the
            difference rewards only.
        reward_scale: Factor of all rewards; `auto` for the one that brings them to order one, as
            learning algorithms expect them.
        history: Number of periods in an observation, oldest first; before the first period they
            repeat it.
        actions: `continuous`, a flat Box in [-1, 1], or `discrete`, the levels of `action_levels`.
        price_levels: Number of levels of a price without a ladder.
        price_reach: Factor between a price and its base price within which most raw prices lie; the others go on to
            the bounds of the price rules. 0 for no such factor.
        levels_around: With discrete actions and a base policy, whether all levels but that of its own price multiply
            its price or `base_price`, the `regular` one.
        layout: What the numbers of a raw action mean; the market's own by default.

    Raises:
        ValueError: For an option out of range, or a base price of the wrong shape.

    Example:
        >>> import numpy as np
        >>> from repricer.envs import LearnerView, Market
        >>> view = LearnerView(Market("stationary-logit", num_markets=3), reward="expected")
        >>> outcome = view.step(np.zeros((3, 1)))
        >>> view.observe().shape[0], view.rewards(outcome).shape
        (3, (3,))
    """

    def __init__(
        self,
        market: Market,
        *,
        product_wise: bool = False,
        reward: Reward | RewardFunction = "drawn",
        base_price: ArrayLike | None = None,
        base: Policy | None = None,
        reward_scale: float | Literal["auto"] = 1.0,
        history: int = 1,
        actions: Actions = "continuous",
        price_levels: int = 21,
        price_reach: float = 0.0,
        levels_around: LevelsAround = "base-price",
        layout: ActionLayout | None = None,
    ) -> None:
        check_options(reward, reward_scale, history, actions, price_levels, price_reach, levels_around, layout)
        regular, base = market.catalogue.regular_price, None if base is None else checked_policy(base, "base")
        if reward == "expected-gain" and not product_wise:
            raise ValueError(
                "reward expected-gain needs product_wise; got rows of whole markets; set reward to expected"
            )
        self.market, self.product_wise = market, product_wise
        self.reward: Reward | RewardFunction = reward
        self.base_price = price_per_product(regular if base_price is None else base_price, regular.shape)
        self.base, self.price_reach = base, price_reach
        apart = levels_around == "regular"
        if apart and (base is None or actions != "discrete"):
            raise ValueError(
                f"levels_around regular needs discrete actions and a rule as base price; got {actions} actions and "
                f"{'no rule' if base is None else 'a rule'}; set levels_around to base-price"
            )
        around = self.base_price if base is None or apart else None
        self.layout = layout or market.spec.action_layout(around, reach=price_reach, rule_at_zero=apart)
        columns = 1 if product_wise else regular.size
        features = row_width(market.catalogue, product_wise=product_wise)
        self.rows_per_market = regular.size if product_wise else 1
        self.observation_space = Box(-FEATURE_LIMIT, FEATURE_LIMIT, (history * features,), np.float32)
        self.levels = None
        if actions == "discrete":
            self.levels = action_levels(market.spec, self.layout, around, price_levels)
        self.action_space = self._action_space(columns)
        self.history = history
        self._window = np.repeat(self._present()[:, None], history, axis=1) if history > 1 else None
        # Money per customer in the last period but one and in the last period.
        self._rates = np.zeros((2, *market.state.list_price.shape)) if reward == "conversion-difference" else None
        self.reward_scale = self._automatic_scale() if reward_scale == "auto" else reward_scale

    def _action_space(self, columns: int) -> Space:
        if self.levels is None:
            return Box(-1.0, 1.0, (columns * self.layout.size,), np.float32)
        counts = [len(level) for level in self.levels] * columns
        return Discrete(counts[0]) if len(counts) == 1 else MultiDiscrete(counts)

    def _automatic_scale(self) -> float:
        """The inverse of what base prices, or random actions around them, earn per row and period.

        The base prices alone may earn almost nothing, for example if a rival undercuts them or no
        orders are placed. For the conversion reward, it is also per customer.
        """
        spec, generator = self.market.scenario, np.random.default_rng(seed_for("training"))
        market = Market(spec, num_markets=64, seed=seed_for("training"))
        trial = LearnerView(market, base_price=self.base_price, base=self.base)
        own = self.on(market) if callable(self.reward) else None
        periods = min(spec.market.horizon_periods, _TRIAL_PERIODS)
        columns, earned = (trial.num_rows, trial.layout.size * trial.base_price.size), []
        for deviation in (0.0, 0.5):
            trial.reset()
            raws = deviation * generator.standard_normal((periods, *columns), dtype=np.float32)
            outcomes = [trial.step(raw) for raw in raws]
            if own is not None:
                earned.append(np.mean([np.abs(own._own_rewards(each)).sum(axis=1).mean() for each in outcomes]))
                continue
            money = [market.money(each, expected=True) for each in outcomes]
            earned.append(np.abs(money).mean() * trial.base_price.size)
        per_row = max(earned) / self.rows_per_market
        if self.reward == "conversion-difference":
            per_row /= max(float(spec.arrivals.rate.mean()), 1e-9)
        return float(1.0 / max(per_row, 1e-9))

    def on(self, market: Market) -> LearnerView:
        """The same view, of other markets with the same products.

        Args:
            market: The markets.
        """
        other = copy.copy(self)
        other.market = market
        if self._window is not None:
            other._window = np.repeat(other._present()[:, None], self.history, axis=1)
        if self._rates is not None:
            other._rates = np.zeros((2, *market.state.list_price.shape))
        return other

    @property
    def num_rows(self) -> int:
        """Number of rows of an observation: E, or E * N product-wise."""
        return self.market.num_markets * self.rows_per_market

    def _present(self) -> NDArray[np.float32]:
        return self.market.features(fixed=self.product_wise).reshape(self.num_rows, -1)

    def observe(self) -> NDArray[np.float32]:
        """(rows, history * features) observations, the current period last."""
        return self._present() if self._window is None else self._window.reshape(self.num_rows, -1).copy()

    def reset(self, *, seed: int | None = None) -> None:
        """Start episode 0 of every market; a seed gives the markets other customers."""
        self.market.reset(seed=seed)
        self._refill(np.ones(self.market.num_markets, dtype=bool))

    def restart(self, done: NDArray[np.bool_]) -> None:
        """Start the next episode of the markets in the (E,) mask; the others continue."""
        self.market.restart(done)
        self._refill(done)

    def stagger(self) -> None:
        """Spread the markets evenly over the periods of an episode, at base prices so far.

        Batches of rows that are all in the same period are correlated; these are not.
        """
        horizon = self.market.spec.market.horizon_periods
        start = np.arange(self.market.num_markets) * horizon // self.market.num_markets
        still = np.zeros((self.market.num_markets, self.layout.size * self.base_price.size), np.float32)
        for period in range(1, horizon):
            self.step_raw(still)
            if (start == period).any():
                self.restart(start == period)

    def restore(self, state: MarketState, *, where: NDArray[np.bool_] | None = None) -> None:
        """Restore a saved state, in all markets or those of the (E,) mask, with an empty history."""
        self.market.restore(state, where=where)
        self._refill(np.ones(self.market.num_markets, dtype=bool) if where is None else where)

    def _refill(self, markets: NDArray[np.bool_]) -> None:
        if self._window is not None:
            rows = np.repeat(markets, self.rows_per_market)
            self._window[rows] = self._present()[rows, None]
        if self._rates is not None:
            self._rates[:, markets] = 0.0

    def arrays(self) -> dict[str, NDArray]:
        """Everything that changes from period to period, by name: state, history, last money."""
        own = {"window": self._window, "rates": self._rates}
        return self.market.state.arrays() | {name: array for name, array in own.items() if array is not None}

    def restore_arrays(self, arrays: Mapping[str, NDArray]) -> None:
        """Continue from the result of `arrays`."""
        state = {name: arrays[name] for name in self.market.state.arrays()}
        self.market.restore(replace(self.market.state, **state))
        if self._window is not None:
            self._window = arrays["window"].copy()
        if self._rates is not None:
            self._rates = arrays["rates"].copy()

    def raw(self, actions: ArrayLike) -> NDArray[np.float32]:
        """(rows, columns) raw actions in [-1, 1] for elements of the action space."""
        if self.levels is None:
            return np.ascontiguousarray(actions, dtype=np.float32)
        chosen = np.asarray(actions).reshape(-1, len(self.levels))
        return np.stack([level[chosen[:, i]] for i, level in enumerate(self.levels)], axis=1)

    def chosen(self, raw: NDArray[np.float32]) -> NDArray:
        """(rows, columns) nearest elements of the action space to raw actions; inverse of `raw`."""
        if self.levels is None:
            return raw
        columns = raw.reshape(-1, len(self.levels))
        near = [np.abs(columns[:, i, None] - level).argmin(axis=1) for i, level in enumerate(self.levels)]
        return np.stack(near, axis=1).reshape(len(raw), -1)

    def step(self, actions: ArrayLike) -> Outcome:
        """Run one period.

        Args:
            actions: (rows, …) elements of the action space.

        Returns:
            The outcome, with the charges that product-wise rewards need.

        Raises:
            ValueError: The actions have another shape, or are not finite.
        """
        raw = self.raw(checked_actions(actions, self.num_rows, self.action_space))
        return self.step_raw(raw.reshape(self.market.num_markets, -1))

    def step_raw(
        self, raw: NDArray[np.float32], *, charged: bool = True, rival_price: ArrayLike | None = None
    ) -> Outcome:
        """As `step`, from raw actions of the right shape.

        Args:
            raw: (E, N * A) numbers in [-1, 1].
            charged: Whether product-wise rewards will be asked for, which need the charges.
            rival_price: (E, R) prices of the rival offers, NaN where the scenario's rule decides;
                all by rule by default.
        """
        credit, base = self._credit_price if charged else None, self.base_now
        if self.layout.rule_at_zero:
            base = self.layout.around(base, self.base_price, raw[:, :: self.layout.size] == 0)
        return self._seen(self.market.step_raw(raw, self.layout, base, credit_price=credit, rival_price=rival_price))

    def follow(self, action: Action) -> Outcome:
        """Run one period under another policy's action; the rest is as in `step`."""
        return self._seen(self.market.step(action, credit_price=self._credit_price))

    @property
    def base_now(self) -> NDArray[np.float32]:
        """(N,), or (E, N) with a base policy: the price that a raw price of zero means now."""
        return self.base_price if self.base is None else self.base.act(self.market.view).price

    @property
    def _credit_price(self) -> NDArray[np.float32] | None:
        return self.base_price if self.product_wise else None

    def _seen(self, outcome: Outcome) -> Outcome:
        """Update the history and the last money."""
        if self._window is not None:
            self._window = np.concatenate([self._window[:, 1:], self._present()[:, None]], axis=1)
        if self._rates is not None:
            self._rates = np.stack([self._rates[1], self._money_per_customer(outcome)])
        return outcome

    def _money_per_customer(self, outcome: Outcome) -> NDArray[np.float64]:
        """(E, N) expected money over the believed arrival rate."""
        spec = self.market.believed or self.market.spec
        customers = spec.arrivals.rate[outcome.period][:, spec.category_index]
        money = self.market.money(outcome, expected=True)
        return np.divide(money, customers, out=np.zeros_like(customers), where=customers > 0)

    def rewards(self, outcome: Outcome) -> NDArray[np.float32]:
        """(rows,) reward of a period; product-wise see `kernels/difference_rewards.py`."""
        if callable(self.reward):
            own = self._own_rewards(outcome)
            own = own.reshape(-1) if self.product_wise else own.sum(axis=1)
            return (own * self.reward_scale).astype(np.float32)
        if self._rates is not None:
            own = self._rates[1] - self._rates[0]
        else:
            own = self.market.money(outcome, expected=self.reward != "drawn")
        if not self.product_wise:
            if own.shape[1] == 1 and self.reward_scale == 1.0:
                return own.flatten()
            return total_by_market(own.T, self.reward_scale)
        if self._rates is None:
            own = own - outcome.charge
        if self.reward == "expected-gain":
            own = own - outcome.baseline
        return (own.reshape(-1) * self.reward_scale).astype(np.float32)

    def _own_rewards(self, outcome: Outcome) -> NDArray[np.float64]:
        """(E, 1) or (E, N) rewards by the caller's function."""
        assert callable(self.reward), "called for such a function"
        own, markets = np.asarray(self.reward(self.info(outcome)), np.float64), self.market.num_markets
        shapes = [(markets, self.base_price.size)] + ([] if self.product_wise else [(markets,)])
        if own.shape not in shapes or not np.isfinite(own).all():
            raise ValueError(
                f"reward must give finite numbers of shape {' or '.join(map(str, shapes))}; got shape {own.shape}; fix it"
            )
        return own.reshape(markets, -1)

    def action_masks(self) -> NDArray[np.bool_]:
        """(rows, choices) which of the discrete actions' levels the price rules allow now, column by column, as
        `MaskablePPO` of sb3-contrib takes them; the rules charge another price for the others.

        Raises:
            ValueError: Actions are continuous.
        """
        if self.levels is None:
            raise ValueError('action masks need discrete actions; got continuous ones; set actions="discrete"')
        market, level = self.market, self.levels[0]
        base = np.broadcast_to(self.base_now, market.state.list_price.shape)[:, None]
        if self.layout.rule_at_zero:
            base = self.layout.around(base, self.base_price, level[:, None] == 0)
        raw = np.pad(level[:, None], ((0, 0), (0, self.layout.size - 1)))
        price = base * np.asarray(self.layout.decode(raw).price_multiplier)[:, None]
        allowed = allowed_levels(market.spec.guardrails, market.view, price)
        others = np.ones((*allowed.shape[:2], sum(map(len, self.levels[1:]))), np.bool_)
        return np.concatenate([allowed, others], axis=2).reshape(self.num_rows, -1)

    def _masks(self) -> dict[str, NDArray]:
        """The mask in `info`, (E, …) int8, where actions are discrete."""
        none = self.levels is None
        return {} if none else {"action_mask": self.action_masks().reshape(self.market.num_markets, -1).astype(np.int8)}

    def info(self, outcome: Outcome) -> dict[str, NDArray]:
        """The outcome as arrays for Gymnasium's `info`: (E, N), in currency or units.

        Exceptions are `shown`, (E, K) product numbers; `propensity`, (E, N) the probability or
        density that a logging policy stated, 0 if none did; `expected_reward`, (E,) currency, the
        expected objective of the period given the action; `trail`, (E, N) int32, in which bit i
        is set where the i-th price rule changed the price; and with discrete actions `action_mask`, (E, choices) int8,
        those allowed next.
        """
        stated, money = outcome.propensity, outcome.expected_money
        expected = money[int(self.market.spec.market.objective == "profit")]
        return {
            "list_price": outcome.list_price,
            "paid": outcome.paid,
            "units": outcome.units,
            "lost": outcome.lost,
            "trail": outcome.trail.astype(np.int32),
            "shown": outcome.shown,
            "revenue": outcome.revenue,
            "profit": outcome.profit,
            "expected_revenue": money[0].T,
            "expected_profit": money[1].T,
            "expected_reward": expected[0] if len(expected) == 1 else total_by_market(expected, 1.0),
            "propensity": np.zeros(outcome.units.shape, np.float32) if stated is None else stated,
            **self._masks(),
        }

    def initial_info(self) -> dict[str, NDArray]:
        """The keys and shapes of `info` before the first period: the present prices, and zeros."""
        spec, markets = self.market.spec, self.market.num_markets
        products, slots = spec.sizes["N"], 0 if spec.recommendation is None else spec.sizes["K"]
        facts = {name: np.zeros((markets, products), np.float32) for name in _INFO}
        facts |= {
            "list_price": self.market.state.list_price.copy(),
            "trail": np.zeros((markets, products), np.int32),
            "shown": np.full((markets, slots), -1),
            "expected_reward": np.zeros(markets, np.float32),
        }
        return facts | self._masks()
