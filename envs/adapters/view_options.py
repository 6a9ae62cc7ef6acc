"""The options of a learner's view of the markets, and their checks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...pricing import ActionLayout, Policy

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
