"""The learner's view of a batch of markets: observations, actions and rewards.

Every adapter for a learning library uses it.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import ArrayLike, NDArray

from ...pricing import FEATURE_LIMIT, Action, ActionLayout, Guardrails, MarketView, Policy, checked_policy, row_width
from ...pricing.action_layout import BESIDE_RULE, raw_price
from ...pricing.price_rules.rule_formulas import BITS, PRICE_BITS
from ...scenarios import MarketSpec
from ..kernels.sales import total_by_market
from ..kernels.state import MarketState, Outcome
from ..seeds import seed_for
from ..simulator import Market

Reward = Literal["drawn", "expected", "conversion-difference", "expected-gain"]
Actions = Literal["continuous", "discrete"]
LevelsAround = Literal["base-price", "regular"]

RewardFunction = Callable[[dict[str, NDArray]], ArrayLike]
"""Of the `info` of a period, the reward of each market, (E,), or of each of its products, (E, N)."""


class ViewOptions(TypedDict, total=False):
    """The options of a `LearnerView` that every environment takes, with its defaults."""

    reward: Reward | RewardFunction
    base_price: ArrayLike | None
    base: Policy | None
    reward_scale: float | Literal["auto"]
    history: int
    actions: Actions
    price_levels: int
    price_reach: float
    levels_around: LevelsAround
    layout: ActionLayout | None


def check_options(**given: Any) -> None:
    """Refuse the first option of a `LearnerView` that is out of range."""
    checked_count(given["history"], "history", 1)
    choices = {"actions": get_args(Actions), "levels_around": get_args(LevelsAround)}
    if not callable(given["reward"]):
        choices["reward"] = get_args(Reward)
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {given[name]!r}; choose one of them")
    reach = given["price_reach"]
    scale = given["reward_scale"]
    layout = given["layout"]
    if not _is_number(reach) or (reach and not reach > 1):
        raise ValueError(f"price_reach must be 0 or above 1; got {reach!r}; fix it")
    if scale != "auto" and not (_is_number(scale) and 0 < scale < np.inf):
        raise ValueError(f"reward_scale must be a number above 0, or 'auto'; got {scale!r}; fix it")
    checked_count(given["price_levels"], "price_levels", 2)
    if not isinstance(layout, ActionLayout | None):
        raise ValueError(f"layout must be an ActionLayout; got {type(layout).__name__}; leave it out")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def checked_count(value: Any, name: str, least: int) -> int:
    """A whole number of at least so much.

    Args:
        value: What a caller gave.
        name: What an error calls it.
        least: The smallest one allowed.

    Raises:
        ValueError: It is none, or less.
    """
    try:
        whole = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number; got {value!r}; fix it") from None
    if whole < least:
        raise ValueError(f"{name} must be at least {least}; got {whole}; ask for more")
    return whole


def price_per_product(base_price: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A copy of the base prices, one per product.

    Args:
        base_price: What a caller gave.
        shape: (N,).

    Raises:
        ValueError: They are not N positive numbers.
    """
    try:
        prices = np.array(base_price, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"base_price must be an array of prices; got {base_price!r}; fix it") from None
    if prices.shape != shape:
        raise ValueError(f"base_price must have one price per product, shape {shape}; got {prices.shape}; fix it")
    wrong = prices[~((prices > 0) & np.isfinite(prices))]
    if wrong.size:
        raise ValueError(f"base_price must be positive; got {wrong[0]}; fix it")
    return prices


_TRIAL_PERIODS = 64
_OF_OUTCOME = ("list_price", "paid", "units", "lost", "trail", "shown", "revenue", "profit")
_INFO = (*_OF_OUTCOME, "expected_revenue", "expected_profit", "expected_reward", "propensity")
"""The keys of `info`, in their order."""


class LearnerView:
    """Observations, actions and rewards of E markets, one row per market or one row per product.

    Args:
        market: The markets, which the view steps.
        product_wise: A row is one product of one market with its own reward (E * R rows, of the R products that do not
            keep their planned prices, or may be recommended); otherwise a row is a market and its reward is the sum over its products.
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
            difference rewards only. Where it recommends, raw scores come on top of its own.
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
        choices = {"reward": reward, "actions": actions, "levels_around": levels_around, "layout": layout}
        numbers = {"reward_scale": reward_scale, "price_levels": price_levels, "price_reach": price_reach}
        check_options(history=history, **choices, **numbers)
        regular = market.catalogue.regular_price
        base = None if base is None else checked_policy(base, "base")
        if reward == "expected-gain" and not product_wise:
            raise ValueError("reward expected-gain needs product_wise; got rows of markets; set reward to expected")
        self.market = market
        self.product_wise = product_wise
        self.reward: Reward | RewardFunction = reward
        self.base_price = price_per_product(regular if base_price is None else base_price, regular.shape)
        self.base = base
        self.price_reach = price_reach
        apart = levels_around == "regular"
        if apart and (base is None or actions != "discrete"):
            rule = "no rule" if base is None else "a rule"
            raise ValueError(f"levels_around regular needs discrete actions and a rule; got {actions}, {rule}; fix it")
        around = self.base_price if base is None or apart else None
        self.layout = layout or market.spec.action_layout(around, reach=price_reach, rule_at_zero=apart)
        columns = 1 if product_wise else regular.size
        features = row_width(market.catalogue, product_wise=product_wise)
        decided = np.flatnonzero(market.spec.is_decided)
        self.products = decided if product_wise and decided.size else np.arange(regular.size)
        self.rows_per_market = self.products.size if product_wise else 1
        self.observation_space = Box(-FEATURE_LIMIT, FEATURE_LIMIT, (history * features,), np.float32)
        self.levels = None
        self.action_space: Space = Box(-1.0, 1.0, (columns * self.layout.size,), np.float32)
        if actions == "discrete":
            self.levels = action_levels(market.spec, self.layout, around, price_levels)
            counts = [len(level) for level in self.levels] * columns
            self.action_space = Discrete(counts[0]) if len(counts) == 1 else MultiDiscrete(counts)
        self.history = history
        self._window = np.repeat(self._present()[:, None], history, axis=1) if history > 1 else None
        # Money per customer in the last period but one and in the last period.
        self._rates = np.zeros((2, *market.state.list_price.shape)) if reward == "conversion-difference" else None
        self.reward_scale = self._automatic_scale() if reward_scale == "auto" else reward_scale

    def _automatic_scale(self) -> float:
        """The inverse of what base prices, or random actions around them, earn per row and period.

        The base prices alone may earn almost nothing, for example if a rival undercuts them or no
        orders are placed. For the conversion reward, it is also per customer.
        """
        spec = self.market.scenario
        generator = np.random.default_rng(seed_for("training"))
        market = Market(spec, num_markets=64, seed=seed_for("training"))
        trial = LearnerView(market, base_price=self.base_price, base=self.base)
        own = self.on(market) if callable(self.reward) else None
        periods = min(spec.market.horizon_periods, _TRIAL_PERIODS)
        columns = (trial.num_rows, trial.layout.size * trial.base_price.size)
        earned = []
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
        """Number of rows of an observation: E, or E * R product-wise."""
        return self.market.num_markets * self.rows_per_market

    def in_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """(rows, …) of what is known by market and product, (E, N, …): those of the R products, or side by side by market."""
        return self._chosen(values).reshape(self.num_rows, -1)

    def _chosen(self, values: NDArray[Any]) -> NDArray[Any]:
        """(E, R, …) of (E, N, …)."""
        return values if self.products.size == self.base_price.size else values[:, self.products]

    def _present(self) -> NDArray[np.float32]:
        features = self.market.features(fixed=self.product_wise)
        if not self.product_wise:
            return features.reshape(self.num_rows, -1)
        return self.in_rows(features.reshape(self.market.num_markets, self.base_price.size, -1))

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
        if self.products.size < self.base_price.size:
            decided = raw
            size = (self.market.num_markets, self.base_price.size, self.layout.size)
            raw = np.zeros(size, np.float32)
            raw[:, self.products] = decided.reshape(len(raw), -1, self.layout.size)
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
        given: dict[str, Any] = {"credit_price": self._credit_price if charged else None, "rival_price": rival_price}
        base = self.base_price
        if self.base is not None:
            planned = self.base.act(self.market.view)
            base = planned.price
            given |= {"deal": planned.deal, "recommendation": planned.recommendation}
        if self.layout.rule_at_zero:
            base = self.layout.around(base, self.base_price, raw[:, :: self.layout.size] == 0)
        return self._seen(self.market.step_raw(raw, self.layout, base, **given))

    def follow(self, action: Action) -> Outcome:
        """Run one period under another policy's action; the rest is as in `step`."""
        return self._seen(self.market.step(action, credit_price=self._credit_price))

    @property
    def base_now(self) -> NDArray[np.float32]:
        """(N,), or (E, N) with a base policy: the price that a raw price of zero means now."""
        return self.base_price if self.base is None else self.base.act(self.market.view).price

    @property
    def recommended_now(self) -> NDArray[np.float32] | None:
        """(E, N, K) the recommendation scores that those of a raw action come on top of now; None for none."""
        return None if self.base is None else self.base.act(self.market.view).recommendation

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
        """(E, N) expected money over the assumed arrival rate."""
        spec = self.market.assumed or self.market.spec
        customers = spec.arrivals.rate[outcome.period][:, spec.category_index]
        money = self.market.money(outcome, expected=True)
        return np.divide(money, customers, out=np.zeros_like(customers), where=customers > 0)

    def rewards(self, outcome: Outcome) -> NDArray[np.float32]:
        """(rows,) reward of a period; product-wise see `kernels/difference_rewards.py`."""
        # `by_product` is (E, N); where a caller's own function gives one reward a market, (E, 1).
        if callable(self.reward):
            by_product = self._own_rewards(outcome)
            by_row = self._chosen(by_product).reshape(-1) if self.product_wise else by_product.sum(axis=1)
            return (by_row * self.reward_scale).astype(np.float32)
        if self._rates is not None:
            # The reward "conversion-difference": money per customer, this period's less the last one's.
            by_product = self._rates[1] - self._rates[0]
        else:
            by_product = self.market.money(outcome, expected=self.reward != "drawn")
        if not self.product_wise:
            if by_product.shape[1] == 1 and self.reward_scale == 1.0:
                return by_product.flatten()
            return total_by_market(by_product.T, self.reward_scale)
        if self._rates is None:
            by_product = by_product - outcome.charge
        if self.reward == "expected-gain":
            by_product = by_product - outcome.baseline
        return (self._chosen(by_product).reshape(-1) * self.reward_scale).astype(np.float32)

    def _own_rewards(self, outcome: Outcome) -> NDArray[np.float64]:
        """(E, 1) or (E, N) rewards by the caller's function."""
        assert callable(self.reward), "called for such a function"
        own = np.asarray(self.reward(self.info(outcome)), np.float64)
        markets = self.market.num_markets
        shapes = [(markets, self.base_price.size)] + ([] if self.product_wise else [(markets,)])
        if own.shape not in shapes or not np.isfinite(own).all():
            raise ValueError(
                f"reward must give finite numbers, {' or '.join(map(str, shapes))}; got {own.shape}; fix it"
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
        market = self.market
        level = self.levels[0]
        base = np.broadcast_to(self.base_now, market.state.list_price.shape)[:, None]
        if self.layout.rule_at_zero:
            base = self.layout.around(base, self.base_price, level[:, None] == 0)
        raw = np.pad(level[:, None], ((0, 0), (0, self.layout.size - 1)))
        price = base * np.asarray(self.layout.decode(raw).price_multiplier)[:, None]
        allowed = allowed_levels(market.spec.guardrails, market.view, price)
        others = np.ones((*allowed.shape[:2], sum(map(len, self.levels[1:]))), np.bool_)
        return self.in_rows(np.concatenate([allowed, others], axis=2))

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
        stated = outcome.propensity
        money = outcome.expected_money
        expected = money[int(self.market.spec.market.objective == "profit")]
        return {name: getattr(outcome, name) for name in _OF_OUTCOME} | {
            "trail": outcome.trail.astype(np.int32),
            "expected_revenue": money[0].T,
            "expected_profit": money[1].T,
            "expected_reward": expected[0] if len(expected) == 1 else total_by_market(expected, 1.0),
            "propensity": np.zeros(outcome.units.shape, np.float32) if stated is None else stated,
            **self._masks(),
        }

    def initial_info(self) -> dict[str, NDArray]:
        """The keys and shapes of `info` before the first period: the present prices, and zeros."""
        spec = self.market.spec
        markets = self.market.num_markets
        products = spec.sizes["N"]
        slots = 0 if spec.recommendation is None else spec.sizes["K"]
        facts = {name: np.zeros((markets, products), np.float32) for name in _INFO}
        facts |= {
            "list_price": self.market.state.list_price.copy(),
            "trail": np.zeros((markets, products), np.int32),
            "shown": np.full((markets, slots), -1),
            "expected_reward": np.zeros(markets, np.float32),
        }
        return facts | self._masks()


def learner_views(markets: Iterable[Market], **options: Any) -> list[LearnerView]:
    """Views of several batches of markets, with the reward scale of the first.

    Args:
        markets: The batches.
        options: As for `LearnerView`.
    """
    views: list[LearnerView] = []
    for market in markets:
        views.append(LearnerView(market, **options))
        options["reward_scale"] = views[0].reward_scale
    return views


def checked_actions(actions: ArrayLike, rows: int, space: Space, what: str = "action") -> NDArray:
    """The actions as an array (rows, …), float32 or whole numbers.

    Args:
        actions: One element of the space a row.
        space: A Box, whose bounds are left to the decoding, or (Multi)Discrete.
        what: What an error calls an action.

    Raises:
        ValueError: The shape is wrong, a number is not finite, or a choice does not exist.

    Example:
        >>> checked_actions([[0.5]], 1, Box(-1, 1, (1,))).tolist()
        [[0.5]]
    """
    continuous = isinstance(space, Box)
    shape = space.shape or ()
    try:
        array = np.ascontiguousarray(actions, np.float32 if continuous else None)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be an array of numbers; got {type(actions).__name__}; fix it") from None
    if array.shape != (rows, *shape):
        count, *got = array.shape or (0,)
        raise ValueError(f"{what} must have shape {shape} in {rows} rows; got {tuple(got)} in {count}; fix it")
    if not continuous:
        counts = space.n if isinstance(space, Discrete) else space.nvec if isinstance(space, MultiDiscrete) else 0
        if array.dtype.kind not in "iu" or (array < 0).any() or (array >= counts).any():
            raise ValueError(f"{what} must be whole numbers from 0 to below {counts}; got {_shown(array)}; fix it")
        return array
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(f"{what} must be finite; got {_shown(array[~finite])}; did it diverge? lower learning_rate")
    return array


def _shown(array: NDArray) -> str:
    values = array.reshape(-1)
    return ", ".join(f"{value}" for value in values[:3]) + (" …" if values.size > 3 else "")


_OTHER_LEVELS = 5
# Rounding to the grid is no refusal.
_REFUSING = PRICE_BITS & ~BITS["price_ladder"]
_MOST_ORDERS = 100
_LAST_BITS = 1e-5
Levels = tuple[NDArray[np.float32], ...]


def action_levels(
    spec: MarketSpec, layout: ActionLayout, base_price: NDArray[np.float32] | None, price_levels: int
) -> Levels:
    """The levels of each column of a product's action.

    A price has the steps of its ladder if there is one product with a ladder and a fixed base
    price, else `price_levels` steps of the log price. Orders of a single product take every whole
    number; discounts, scores and other orders five steps.

    Args:
        layout: Columns of an action.
        base_price: (N,) the price that a raw price of zero means, currency per unit; None if it
            varies.
        price_levels: Number of levels of a price without a ladder, or beside a rule's, which is one more.

    Returns:
        One rising array of raw numbers in [-1, 1] per column.
    """
    levels = [_prices(spec, layout, base_price, price_levels)]
    shares = np.linspace(0, 1, _OTHER_LEVELS)
    scores = np.linspace(-1, 1, _OTHER_LEVELS)
    if layout.discounts:
        levels += [shares] * layout.num_segments
    if layout.recommend:
        levels += [scores] * layout.num_segments
    if layout.promote:
        levels.append(scores)
    orders = [spec.stock] * layout.order + ([] if spec.express is None else [spec.express])
    for supplier in orders:
        most = int(supplier.max_order_units.max())
        few = spec.sizes["N"] == 1 and most <= _MOST_ORDERS
        levels.append(np.arange(most + 1) / max(most, 1) if few else shares)
    return tuple(level.astype(np.float32) for level in levels)


def _prices(
    spec: MarketSpec, layout: ActionLayout, base_price: NDArray[np.float32] | None, price_levels: int
) -> NDArray[np.floating]:
    levels = np.linspace(-1, 1, price_levels)
    if layout.rule_at_zero:
        return np.union1d(np.where(levels == 0, BESIDE_RULE, levels), 0.0)
    if spec.prices.price_ladder is None or base_price is None or len(base_price) > 1:
        return levels
    allowed = spec.guardrails.allowed_prices()
    assert allowed is not None, "the market has a ladder"
    return np.unique(raw_price(allowed / float(base_price[0]), *layout.slopes))


def allowed_levels(guardrails: Guardrails, view: MarketView, price: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which levels of its price the rules allow each product while the others keep theirs, but for rounding to the grid.

    Where they allow none, as between two levels of a price that may not change, the nearest to what they make of it is.

    Args:
        guardrails: The rules.
        view: E markets.
        price: (E, L, N) price of each level, currency per unit.

    Returns:
        (E, N, L).
    """
    markets, levels, products = price.shape
    asked = np.repeat(view.list_price[:, None, None], products, axis=1).repeat(levels, axis=2)  # (E, N, L, N)
    own = np.arange(products)
    asked[:, own, :, own] = np.moveaxis(price, 2, 0)
    rows = view.take(np.repeat(np.arange(markets), products * levels))
    guarded = guardrails.apply(Action(asked.reshape(-1, products).astype(np.float32)), rows)
    shape = (markets, products, levels, products)
    away = np.abs(np.log(np.einsum("enln->enl", guarded.price.reshape(shape)) / np.moveaxis(price, 2, 1)))
    refused = (np.einsum("enln->enl", guarded.trail.reshape(shape) & _REFUSING) > 0) & (away > _LAST_BITS)
    nearest = away == away.min(axis=2, keepdims=True)
    return np.where(refused.all(axis=2, keepdims=True), nearest, ~refused)
