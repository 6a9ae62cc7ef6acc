"""What coordinator and shops say to each other: JSON of declared messages, under a key that all have."""

from __future__ import annotations

import asyncio
import hmac
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

_LONGEST, _SIZE, _TAG = 1 << 20, 4, 32
_NAME = r"^[\w.-]{1,40}\Z"


class FederationError(ValueError):
    """What ends a fit over many shops, or a shop's part in it; the message is one line.

    Example:
        >>> raise FederationError("no answer within 60 s")
        Traceback (most recent call last):
        repricer.forecasting.federated.messages.FederationError: no answer within 60 s
    """


Name = Annotated[str, Meta(pattern=_NAME)]
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Join(Struct, tag="join", forbid_unknown_fields=True):
    """A shop comes: its name, public key, first and last week, and days of a week."""

    name: Name
    key: Key
    first: date
    last: date
    days: Literal[1, 7]

    def check_like(self, other: Join) -> None:
        """Raise FederationError where the sums of two shops do not add up."""
        if other.days != self.days:
            raise FederationError(
                f"all shops must fit weeks of {other.days} days; got {self.days} from '{self.name}'; change --period"
            )


class Learner(Struct, tag="learner", forbid_unknown_fields=True):
    """A shop comes to learn: its name, public key, what its policy is like, and how many numbers each round averages."""

    name: Name
    key: Key
    policy: Annotated[str, Meta(max_length=200)]
    sizes: Annotated[list[Annotated[int, Meta(ge=1, le=60_000)]], Meta(min_length=1, max_length=200)]

    def check_like(self, other: Learner) -> None:
        """Raise FederationError where the weights of two shops are not of one kind."""
        if (other.policy, other.sizes) != (self.policy, self.sizes):
            raise FederationError(
                f"all shops must learn one kind of policy, {other.policy}; got {self.policy} from '{self.name}'; train with "
                "the same algorithm, settings and decisions"
            )


class Round(Struct, tag="round", forbid_unknown_fields=True):
    """A request for masked sums of a kind, under new coefficients or (None) as in the round before."""

    kind: Literal["coefficients", "errors", "mean"]
    number: int
    keys: dict[Name, Key]
    common: dict[str, Any] | None


class Masked(Struct, tag="masked", forbid_unknown_fields=True):
    """The answer to it."""

    number: int
    words: bytes


class Done(Struct, tag="done", forbid_unknown_fields=True):
    """The end: what all products have in common, and how many shops and products they are."""

    common: dict[str, Any]
    shops: int
    products: int


class Stop(Struct, tag="stop", forbid_unknown_fields=True):
    """Either side gives up."""

    reason: Annotated[str, Meta(max_length=400)]


Message = Join | Learner | Round | Masked | Done | Stop
_Wanted = TypeVar("_Wanted", bound=Message)
_DECODER = msgspec.json.Decoder(Message)


class Channel:
    """Messages in turn over a connection, each with an HMAC that covers all before it.

    Args:
        reader: of the connection.
        writer: of the connection.
        key: what all who take part know.
        nonce: what the coordinator drew for this connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes, nonce: bytes) -> None:
        self._reader, self._writer, self._chain = reader, writer, nonce
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"repricer federate line").derive(key)

    async def send(self, message: Message) -> None:
        """Send a message; a broken connection is noticed when the answer is read."""
        body = msgspec.json.encode(message)
        try:
            self._writer.write(len(body).to_bytes(_SIZE) + self._tag(body) + body)
            await self._writer.drain()
        except OSError:
            pass

    async def receive(self, wanted: type[_Wanted] | tuple[type[_Wanted], ...], seconds: float) -> _Wanted:
        """Return the next message.

        Raises:
            FederationError: none comes in time, or another one than is wanted.
        """
        try:
            async with asyncio.timeout(seconds):
                size = int.from_bytes(await self._reader.readexactly(_SIZE))
                if size > _LONGEST:
                    raise FederationError("it sent nonsense: a message that is too long")
                tag, body = await self._reader.readexactly(_TAG), await self._reader.readexactly(size)
        except TimeoutError:
            raise FederationError(f"no answer within {seconds:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            raise FederationError("the connection broke") from None
        if not hmac.compare_digest(tag, self._tag(body)):
            raise FederationError("a message was not made with this key")
        try:
            message = _DECODER.decode(body)
        except msgspec.DecodeError as error:
            raise FederationError(f"it sent nonsense: {error}") from None
        if isinstance(message, Stop):
            raise FederationError("".join(filter(str.isprintable, message.reason)))
        if not isinstance(message, wanted):
            raise FederationError(f"it sent nonsense: a message {type(message).__name__.lower()} out of turn")
        return message

    async def stop(self, reason: str = "") -> None:
        """Close the connection, with a reason if there is one."""
        if reason:
            await self.send(Stop(reason[:400]))
        self._writer.close()

    def _tag(self, body: bytes) -> bytes:
        self._chain = hmac.digest(self._key, self._chain + body, "sha256")
        return self._chain
