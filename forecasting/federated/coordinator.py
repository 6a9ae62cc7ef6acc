"""One regression over the shops that come: the coordinator's side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..models.pooled import mean_over_median
from ..models.random_coefficients import ITERATIONS, Common
from ..models.weekly_design import YEAR, all_names
from .gathering import Gathering
from .messages import Done, FederationError, Join


@dataclass(frozen=True)
class Federated:
    """The result of a fit over many shops.

    Attributes:
        common: what the products of all shops have in common, for `PooledRegression`.
        shops: names of the shops that took part to the end.
        left_out: the reason by name of the others.
        products: number of products of all shops.

    Example:
        >>> found = Federated(Common.first(("discount",)), ("east", "north", "west"), {"south": "no answer"}, 40)
        >>> len(found.shops), list(found.left_out)
        (3, ['south'])
    """

    common: Common
    shops: tuple[str, ...]
    left_out: dict[str, str]
    products: int


async def coordinate(
    key: bytes,
    *,
    shops: int,
    host: str = "127.0.0.1",
    port: int = 0,
    wait: float = 600.0,
    seconds: float = 60.0,
    say: Callable[[str], None] = lambda _: None,
) -> Federated:
    """Fit the regression over the shops that come.

    Args:
        key: what all who take part know.
        shops: number of shops; the fit begins when they are there.
        host: address to listen at.
        port: port; 0 for a free one.
        wait: seconds after which it begins without the rest.
        seconds: the longest that a shop may take to answer.
        say: called with a line for all that happens.

    Raises:
        FederationError: fewer than `LEAST_SHOPS` are there or left, or their sum makes no sense.

    Example:
        >>> import asyncio
        >>> asyncio.run(coordinate(bytes(32), shops=2))
        Traceback (most recent call last):
        repricer.forecasting.federated.messages.FederationError: shops must be 3 or more, or sums would tell their parts; got 2
    """
    gathering = Gathering(key, shops, seconds, say, Join)
    return await gathering.held(lambda: _fit(gathering, say), host, port, wait)


async def _fit(gathering: Gathering, say: Callable[[str], None]) -> Federated:
    joins: list[Join] = [shop for shop, _ in gathering.members.values()]
    days = joins[0].days
    span = (max(shop.last for shop in joins) - min(shop.first for shop in joins)).days + days
    common = Common.first(all_names(daily=days == 1), seasonal=span >= 7 * YEAR)
    products = 0.0
    for done in range(1, ITERATIONS + 1):
        size = 3 + len(common.mean) + len(common.mean) ** 2
        sums = await gathering.sum("coefficients", common.document(), size)
        products, common = sums[0], _sensible(common, sums)
        say(f"round {done} of {ITERATIONS}: {len(gathering.members)} shops")
    errors = await gathering.sum("errors", common.document(), 2)
    common = replace(common, mean_over_median=mean_over_median(errors))
    found = Federated(common, tuple(gathering.members), gathering.left_out, round(products))
    await gathering.finish(Done(common.document(), len(gathering.members), found.products))
    return found


def _sensible(common: Common, sums: np.ndarray) -> Common:
    """The next coefficients, if the sum can be one of honest shops."""
    products, weeks, unexplained = sums[:3]
    try:
        if not (products >= 1 and weeks >= products and unexplained >= 0 and products == round(products)):
            raise ValueError
        return Common.of(common.updated(sums).document())
    except ValueError:
        raise FederationError(
            "the shops' sum must be one of products, weeks and squares; got other numbers: a shop sent nonsense under its "
            "mask, which hides whose it was; fit again without some of them"
        ) from None
