"""Means over shops of whatever numbers they bring, such as a policy's weights: the coordinator's side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .gathering import Gathering
from .messages import Done, Learner


class Averaged(NamedTuple):
    """What came of it.

    Attributes:
        shops: names of the shops that took part to the end.
        left_out: the reason by name of the others.
        rounds: number of means.
        policy: what the shops learned.

    Example:
        >>> Averaged(("east", "north", "west"), {"south": "no answer"}, 40, "ppo").rounds
        40
    """

    shops: tuple[str, ...]
    left_out: dict[str, str]
    rounds: int
    policy: str


async def average(
    key: bytes,
    *,
    shops: int,
    host: str = "127.0.0.1",
    port: int = 0,
    wait: float = 3600.0,
    seconds: float = 3600.0,
    say: Callable[[str], None] = lambda _: None,
) -> Averaged:
    """Give the shops that come the mean of their numbers, round by round. It learns none of them, and no weights are kept.

    Args:
        key: what all who take part know.
        shops: number of shops; it begins when they are there.
        host: address to listen at.
        port: port; 0 for a free one.
        wait: seconds after which it begins without the rest.
        seconds: the longest that a shop may take to learn between two rounds.
        say: called with a line for all that happens.

    Raises:
        FederationError: fewer than `LEAST_SHOPS` are there or left.

    Example:
        >>> import asyncio
        >>> asyncio.run(average(bytes(32), shops=2))
        Traceback (most recent call last):
        repricer.forecasting.federated.messages.FederationError: shops must be 3 or more, or sums would tell their parts; got 2
    """
    gathering = Gathering(key, shops, seconds, say, Learner)
    return await gathering.held(lambda: _averaged(gathering, say), host, port, wait)


async def _averaged(gathering: Gathering, say: Callable[[str], None]) -> Averaged:
    first: Learner = next(shop for shop, _ in gathering.members.values())
    sent: dict[str, Any] = {}
    for done, size in enumerate(first.sizes, 1):
        sums = await gathering.sum("mean", sent, size)
        sent = {"mean": np.float32(sums / len(gathering.members)).tolist()}
        say(f"round {done} of {len(first.sizes)}: {len(gathering.members)} shops")
    found = Averaged(tuple(gathering.members), gathering.left_out, len(first.sizes), first.policy)
    await gathering.finish(Done(sent, len(gathering.members), 0))
    return found
