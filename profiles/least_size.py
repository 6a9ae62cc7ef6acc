"""The least number of customers that a figure may describe, wherever it leaves the house."""

from __future__ import annotations

from collections.abc import Iterable

LEAST_CUSTOMERS = 50
"""Fewer customers are merged into the nearest segment, or their figures refused (k-anonymity)."""


def check_sizes(sizes: Iterable[int], least: int = LEAST_CUSTOMERS) -> None:
    """Refuse figures of segments that are too small.

    Args:
        sizes: Customers in each segment.
        least: The least number.

    Raises:
        ValueError: A segment has fewer customers.

    Example:
        >>> check_sizes([120, 3])
        Traceback (most recent call last):
        ValueError: a segment must have at least 50 customers to leave the house; got one of 3; merge it with another
    """
    smallest = min(sizes, default=least)
    if smallest < least:
        raise ValueError(
            f"a segment must have at least {least} customers to leave the house; got one of {smallest}; merge it with another"
        )
