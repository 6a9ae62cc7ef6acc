"""What is in force from a moment on, by what each act meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Moment:
    """What is in force from a time on: the bundles that may price, and whether the policy may.

    Attributes:
        time: Seconds since the world began.
        event: The number of the act; 0 before the first.
        active: The bundle that prices.
        trial: The one on trial beside it.
        first: The first decision since its trial began.
        killed: Whether the fallback prices all.
        holdout: The share that it prices.
        certificate: The last one of the active bundle.
        rejected: Bundles that were taken back.
    """

    time: float
    event: int = 0
    active: str = ""
    trial: str | None = None
    first: int = 0
    killed: bool = False
    holdout: float = 0.0
    certificate: dict[str, Any] | None = None
    rejected: frozenset[str] = frozenset()
