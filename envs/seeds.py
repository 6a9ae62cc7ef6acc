"""Four disjoint sets of customers: what is tuned or trained on one is never judged on it."""

from __future__ import annotations

from typing import Literal, get_args

Purpose = Literal["training", "tuning", "validation", "test"]


def seed_for(purpose: Purpose, seed: int = 0) -> int:
    """The market seed of a purpose: the sets of two purposes never share a customer, whatever the user's seed."""
    purposes = get_args(Purpose)
    if purpose not in purposes:
        raise ValueError(f"purpose must be one of {', '.join(purposes)}; got {purpose!r}; choose one of them")
    return len(purposes) * int(seed) + purposes.index(purpose)
