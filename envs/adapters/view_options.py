"""The options of a learner's view of the markets, and their checks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import ArrayLike, NDArray

from ...pricing import Action, ActionLayout, Guardrails, MarketView, Policy
from ...pricing.action_layout import BESIDE_RULE, raw_price
from ...pricing.price_rules.rule_formulas import BITS, PRICE_BITS
from ...scenarios import MarketSpec

Reward = Literal["drawn", "expected", "conversion-difference", "expected-gain"]
Actions = Literal["continuous", "discrete"]
LevelsAround = Literal["base-price", "regular"]

RewardFunction = Callable[[dict[str, NDArray]], ArrayLike]
"""Of the `info` of a period, the reward of each market, (E,), or of each of its products, (E, N)."""
_OTHER_LEVELS = 5
# Rounding to the grid is no refusal.
_REFUSING = PRICE_BITS & ~BITS["price_ladder"]
_MOST_ORDERS = 100
_LAST_BITS = 1e-5
Levels = tuple[NDArray[np.float32], ...]


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


def check_options(
    reward: object,
    reward_scale: object,
    history: object,
    actions: str,
    price_levels: object,
    price_reach: object,
    levels_around: str,
    layout: object,
) -> None:
    """Refuse the first option of a `LearnerView` that is out of range."""
    checked_count(history, "history", 1)
    choices = (
        *([] if callable(reward) else [("reward", reward, Reward)]),
        ("actions", actions, Actions),
        ("levels_around", levels_around, LevelsAround),
    )
    for name, given, kind in choices:
        if given not in get_args(kind):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}; got {given!r}; choose one of them")
    if not _is_number(price_reach) or (price_reach and not price_reach > 1):  # pyright: ignore[reportOperatorIssue]
        raise ValueError(f"price_reach must be 0 or above 1; got {price_reach!r}; fix it")
    if reward_scale != "auto" and not (_is_number(reward_scale) and 0 < reward_scale < np.inf):  # pyright: ignore[reportOperatorIssue]
        raise ValueError(f"reward_scale must be a number above 0, or 'auto'; got {reward_scale!r}; fix it")
    checked_count(price_levels, "price_levels", 2)
    if not isinstance(layout, ActionLayout | None):
        raise ValueError(
            f"layout must be an ActionLayout; got {type(layout).__name__}; leave it out for the market's own"
        )


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


# Checks of the actions that other people's code hands over.


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
    continuous, shape = isinstance(space, Box), space.shape or ()
    try:
        array = np.ascontiguousarray(actions, np.float32 if continuous else None)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be an array of numbers; got {type(actions).__name__}; fix it") from None
    if array.shape != (rows, *shape):
        raise ValueError(
            f"{what} must have shape {shape}, for {rows} row{'s' * (rows != 1)}; got {array.shape[1:]} for {len(array)}; "
            "see the action space"
        )
    if not continuous:
        counts = space.n if isinstance(space, Discrete) else space.nvec if isinstance(space, MultiDiscrete) else 0
        if array.dtype.kind not in "iu" or (array < 0).any() or (array >= counts).any():
            raise ValueError(f"{what} must be whole numbers from 0 to below {counts}; got {_shown(array)}; fix it")
        return array
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(
            f"{what} must be finite; got {_shown(array[~finite])}; did the network diverge? lower its learning_rate"
        )
    return array


def _shown(array: NDArray) -> str:
    values = array.reshape(-1)
    return ", ".join(f"{value}" for value in values[:3]) + (" …" if values.size > 3 else "")


# Discrete actions: the raw levels from which each column of an action is chosen, and which of them the price rules
# allow.


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
    shares, scores = np.linspace(0, 1, _OTHER_LEVELS), np.linspace(-1, 1, _OTHER_LEVELS)
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
