"""What a service says of its switches and bundles, and what may be priced in its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Switches:
    """The positions that the service last named.

    Attributes:
        active: Digest of the bundle that prices.
        former: Digest of the one before, if it was not taken back.
        trial: Digest of the newer one on trial, if no guard has stopped it.
        killed: Whether the fallback prices all markets.
        holdout: Share of the markets that the fallback prices.
        fallback: Name of the fallback policy.
        seed: Key of the hash that assigns markets to arms.
        heard: Time at which they were heard, by the monotonic clock.
    """

    active: str
    former: str | None
    trial: str | None
    killed: bool
    holdout: float
    fallback: str
    seed: int
    heard: float

    def allows(self, bundle: str) -> bool:
        """Whether a bundle may price in place of the service: one that was taken back may not."""
        return bundle in (self.active, self.former)

    def stands_behind(self, answer: dict[str, Any]) -> bool:
        """Whether an earlier answer may be given again: its bundle was not taken back, and no kill switch thrown."""
        known = answer["bundle"] in (self.active, self.former, self.trial)
        return known and (answer["arm"] == "fallback" or not self.killed)


def switches_of(body: bytes, heard: float) -> Switches:
    """The positions in an answer of `GET /v1/operation`.

    Args:
        body: JSON.
        heard: When it was answered, by the monotonic clock.

    Raises:
        ValueError: It is no such answer.
    """
    try:
        found = json.loads(body)
        return Switches(
            active=str(found["active"]["bundle"]),
            former=_bundle_of(found["former"]),
            trial=_trial_of(found["canary"]),
            killed=bool(found["kill_switch"]),
            holdout=float(found["holdout"]),
            fallback=str(found["fallback"]),
            seed=int(found["seed"]),
            heard=heard,
        )
    except (KeyError, TypeError, ValueError) as error:
        must = "/v1/operation must name active, former, canary, kill_switch, holdout, fallback and seed"
        got = f"{type(error).__name__}: {error}"
        raise ValueError(f"{must}; got {got}; ask a service of this version of repricer") from None


def _trial_of(canary: dict[str, Any] | None) -> str | None:
    """Digest of the bundle on trial; None where there is none, or a guard has stopped it."""
    if canary and canary.get("stopped"):
        return None
    return _bundle_of(canary)


def _bundle_of(slot: dict[str, Any] | None) -> str | None:
    return None if slot is None else str(slot["bundle"])
