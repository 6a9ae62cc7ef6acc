"""The side that adds up, whatever the shops sum: it sees who takes part and the sums over all shops, and no shop's own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import numpy as np

from .masking import WORD, unmasked
from .messages import Channel, Done, FederationError, Join, Learner, Masked, Round

LEAST_SHOPS = 3
"""With two, each would know the other's sums from the total."""
NONCE = 32
Result = TypeVar("Result")


class Gathering:
    """The shops that came.

    Args:
        key: what all who take part know.
        shops: number of shops to wait for.
        seconds: the longest that a shop may take to answer.
        say: called with a line for all that happens.
        kind: what a shop says when it comes.

    Attributes:
        members: message and channel of each shop, by name.
        left_out: the reason by name of those that fell out.
    """

    def __init__(
        self, key: bytes, shops: int, seconds: float, say: Callable[[str], None], kind: type[Join] | type[Learner]
    ) -> None:
        if shops < LEAST_SHOPS:
            raise FederationError(f"shops must be {LEAST_SHOPS} or more, or sums would tell their parts; got {shops}")
        self._key, self._shops, self._seconds, self._say, self._kind = key, shops, seconds, say, kind
        self.members: dict[str, tuple[Any, Channel]] = {}
        self.left_out: dict[str, str] = {}
        self._complete, self._begun, self._number = asyncio.Event(), False, 0

    async def held(self, work: Callable[[], Awaitable[Result]], host: str, port: int, wait: float) -> Result:
        """Wait for the shops, and return what comes of the work with them.

        Args:
            work: called when they are there, or when time is up.
            host: address to listen at.
            port: port; 0 for a free one.
            wait: seconds after which it begins without the rest.

        Raises:
            FederationError: fewer than `LEAST_SHOPS` are there or left.
        """
        server = await asyncio.start_server(self._greet, host, port)
        self._say(f"waiting for {self._shops} shops at {host}:{server.sockets[0].getsockname()[1]}")
        try:
            async with asyncio.timeout(wait):
                await self._complete.wait()
        except TimeoutError:
            self._say(f"{len(self.members)} of {self._shops} shops came within {wait:g} s")
        finally:
            server.close()
        self._begun = True
        try:
            if len(self.members) < LEAST_SHOPS:
                raise FederationError(
                    f"{LEAST_SHOPS} shops or more must be there; got {len(self.members)}; ask the others to join"
                )
            return await work()
        except FederationError as error:
            await self.end(str(error))
            raise

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = secrets.token_bytes(NONCE)
        writer.write(nonce)
        channel = Channel(reader, writer, self._key, nonce)
        try:
            shop = await channel.receive(self._kind, self._seconds)
            self._admit(shop)
        except FederationError as error:
            self._say(f"a caller from {writer.get_extra_info('peername')[0]} was turned away: {error}")
            await channel.stop(str(error))
            return
        self.members[shop.name] = shop, channel
        self._say(f"shop '{shop.name}' is here, {len(self.members)} of {self._shops}")
        if len(self.members) == self._shops:
            self._complete.set()

    def _admit(self, shop: Join | Learner) -> None:
        if self._begun or self._complete.is_set():
            raise FederationError(f"shop '{shop.name}' came after the fit began; start another fit")
        if shop.name in self.members:
            raise FederationError(f"there must be one shop of a name; got a second '{shop.name}'; choose another name")
        for other, _ in self.members.values():
            shop.check_like(other)

    async def sum(
        self, kind: Literal["coefficients", "errors", "mean"], common: dict[str, Any], size: int
    ) -> np.ndarray:
        """The sum over the shops, taken again among the others when some fail.

        Args:
            kind: what to sum.
            common: what the shops need for it.
            size: number of sums.
        """
        sent: dict[str, Any] | None = common
        while True:
            self._number += 1
            request = Round(kind, self._number, {name: shop.key for name, (shop, _) in self.members.items()}, sent)
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
            answer = await channel.receive(Masked, self._seconds)
            if answer.number != request.number or len(answer.words) != size * WORD:
                raise FederationError(f"it sent nonsense: {len(answer.words)} bytes for round {answer.number}")
            return answer.words
        except FederationError as error:
            del self.members[name]
            self.left_out[name] = str(error)
            self._say(
                f"shop '{name}' is left out: {error}; the round is taken again with the other {len(self.members)}"
            )
            await channel.stop(str(error))
            return None

    async def finish(self, done: Done) -> None:
        """Tell every shop what came of it."""
        for _, channel in self.members.values():
            await channel.send(done)
        await self.end()

    async def end(self, reason: str = "") -> None:
        """Close all connections, with a reason if there is one."""
        for _, channel in self.members.values():
            await channel.stop(reason)
