"""The side that adds up: it sees who takes part and the sums over all shops, and no shop's own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..models.pooled import mean_over_median
from ..models.random_coefficients import ITERATIONS, Common
from ..models.weekly_design import YEAR, all_names
from .masking import WORD, unmasked
from .messages import Channel, Done, FederationError, Join, Masked, Round

LEAST_SHOPS = 3
"""With two, each would know the other's sums from the total."""
NONCE = 32


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
        >>> asyncio.run(coordinate(bytes(32), shops=2))
        Traceback (most recent call last):
        repricer.forecasting.federated.messages.FederationError: shops must be 3 or more, or sums would tell their parts; got 2
    """
    if shops < LEAST_SHOPS:
        raise FederationError(f"shops must be {LEAST_SHOPS} or more, or sums would tell their parts; got {shops}")
    fit = _Fit(key, shops, seconds, say)
    server = await asyncio.start_server(fit.greet, host, port)
    say(f"waiting for {shops} shops at {host}:{server.sockets[0].getsockname()[1]}")
    try:
        async with asyncio.timeout(wait):
            await fit.complete.wait()
    except TimeoutError:
        say(f"{len(fit.members)} of {shops} shops came within {wait:g} s")
    finally:
        server.close()
    try:
        return await fit.run()
    except FederationError as error:
        await fit.end(str(error))
        raise


class _Fit:
    def __init__(self, key: bytes, shops: int, seconds: float, say: Callable[[str], None]) -> None:
        self.key, self.shops, self.seconds, self.say = key, shops, seconds, say
        self.members: dict[str, tuple[Join, Channel]] = {}
        self.left_out: dict[str, str] = {}
        self.complete, self.begun, self.number = asyncio.Event(), False, 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = secrets.token_bytes(NONCE)
        writer.write(nonce)
        channel = Channel(reader, writer, self.key, nonce)
        try:
            shop = await channel.receive(Join, self.seconds)
            self._admit(shop)
        except FederationError as error:
            self.say(f"a caller from {writer.get_extra_info('peername')[0]} was turned away: {error}")
            await channel.stop(str(error))
            return
        self.members[shop.name] = shop, channel
        self.say(f"shop '{shop.name}' is here, {len(self.members)} of {self.shops}")
        if len(self.members) == self.shops:
            self.complete.set()

    def _admit(self, shop: Join) -> None:
        if self.begun or self.complete.is_set():
            raise FederationError(f"shop '{shop.name}' came after the fit began; start another fit")
        if shop.name in self.members:
            raise FederationError(f"there must be one shop of a name; got a second '{shop.name}'; choose another name")
        for other, _ in self.members.values():
            if other.days != shop.days:
                raise FederationError(
                    f"all shops must fit weeks of {other.days} days; got {shop.days} from '{shop.name}'; change --period"
                )

    async def run(self) -> Federated:
        self.begun = True
        joins = [shop for shop, _ in self.members.values()]
        if len(joins) < LEAST_SHOPS:
            raise FederationError(
                f"{LEAST_SHOPS} shops or more must be there; got {len(joins)}; ask the others to join"
            )
        days = joins[0].days
        span = (max(shop.last for shop in joins) - min(shop.first for shop in joins)).days + days
        common = Common.first(all_names(daily=days == 1), seasonal=span >= 7 * YEAR)
        products = 0.0
        for done in range(1, ITERATIONS + 1):
            sums = await self._sum("coefficients", common, 3 + len(common.mean) + len(common.mean) ** 2)
            products, common = sums[0], _sensible(common, sums)
            self.say(f"round {done} of {ITERATIONS}: {len(self.members)} shops")
        common = replace(common, mean_over_median=mean_over_median(await self._sum("errors", common, 2)))
        found = Federated(common, tuple(self.members), self.left_out, round(products))
        for _, channel in self.members.values():
            await channel.send(Done(common.document(), len(self.members), found.products))
        await self.end()
        return found

    async def _sum(self, kind: Literal["coefficients", "errors"], common: Common, size: int) -> np.ndarray:
        """The sum over the shops, taken again among the others when some fail."""
        sent: dict[str, Any] | None = common.document()
        while True:
            self.number += 1
            request = Round(kind, self.number, {name: shop.key for name, (shop, _) in self.members.items()}, sent)
            names = list(self.members)
            answers = await asyncio.gather(*(self._ask(name, request, size) for name in names))
            parts = [answer for answer in answers if answer is not None]
            if len(parts) == len(names):
                return unmasked(parts)
            if len(self.members) < LEAST_SHOPS:
                raise FederationError(
                    f"{LEAST_SHOPS} shops or more must be left; got {len(self.members)}; fit again when the others are back"
                )
            sent = None

    async def _ask(self, name: str, request: Round, size: int) -> bytes | None:
        """A shop's masked sums; None, and the shop is out, if it sends something else."""
        channel = self.members[name][1]
        try:
            await channel.send(request)
            answer = await channel.receive(Masked, self.seconds)
            if answer.number != request.number or len(answer.words) != size * WORD:
                raise FederationError(f"it sent nonsense: {len(answer.words)} bytes for round {answer.number}")
            return answer.words
        except FederationError as error:
            del self.members[name]
            self.left_out[name] = str(error)
            self.say(f"shop '{name}' is left out: {error}; the round is taken again with the other {len(self.members)}")
            await channel.stop(str(error))
            return None

    async def end(self, reason: str = "") -> None:
        for _, channel in self.members.values():
            await channel.stop(reason)


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
