"""Checks of the actions that other people's code hands over."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import ArrayLike, NDArray


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
