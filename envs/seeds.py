"""Four disjoint sets of simulated customers: training, tuning, validation and test."""

from __future__ import annotations

from typing import Literal, get_args

Purpose = Literal["training", "tuning", "validation", "test"]


def seed_for(purpose: Purpose, seed: int = 0) -> int:
    """The market seed for a purpose. Two purposes never share a customer, whatever the user's seed.

    Args:
        purpose: What the simulated customers are used for.
        seed: The user's seed.

    Returns:
        A seed for `Market`, `rollout` or `make_sb3_env`.

    Raises:
        ValueError: For an unknown purpose.

    Example:
        >>> seed_for("training"), seed_for("test"), seed_for("test", seed=1)
        (0, 3, 7)
    """
    purposes = get_args(Purpose)
    if purpose not in purposes:
        raise ValueError(f"purpose must be one of {', '.join(purposes)}; got {purpose!r}; choose one of them")
    return len(purposes) * int(seed) + purposes.index(purpose)
