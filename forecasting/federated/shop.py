"""A shop's side: it keeps its rows, and answers each round with masked sums."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import pandas as pd

from ..models.pooled import PooledRegression
from ..models.random_coefficients import Common
from ..models.weekly_design import all_names
from .gathering import LEAST_SHOPS, NONCE
from .masking import Masks
from .messages import Channel, Done, FederationError, Join, Learner, Masked, Name, Round


async def take_part(
    panel: pd.DataFrame,
    key: bytes,
    *,
    name: str,
    host: str,
    port: int,
    wait: float = 3600.0,
    say: Callable[[str], None] = lambda _: None,
) -> Done:
    """Take part in a fit over many shops; return what their products have in common.

    Args:
        panel: the shop's weeks, as `repricer.data.product_weeks` returns; they stay here.
        key: what all who take part know.
        name: of the shop, for the others: letters, digits, `_`, `-` and `.`.
        host: address of the coordinator.
        port: its port.
        wait: the longest time in seconds to wait for the others and the coordinator.
        say: called with a line each round.

    Raises:
        FederationError: the coordinator refused the shop, is not there, or asks for what would tell the
            shop's own sums.

    Example:
        >>> asyncio.run(take_part(panel, key, name="east", host="10.0.0.5", port=8790))  # doctest: +SKIP
    """
    return await attend(_Shop(panel, name), key, host=host, port=port, wait=wait, say=say)


class Attendee(Protocol):
    """A shop's side of the rounds."""

    @property
    def join(self) -> Join | Learner:
        """What it says when it comes."""
        ...

    def answer(self, asked: Round) -> Masked:
        """Its masked sums of a round."""
        ...


async def attend(
    own: Attendee, key: bytes, *, host: str, port: int, wait: float, say: Callable[[str], None] = lambda _: None
) -> Done:
    """Answer the rounds of a coordinator to the end.

    Args:
        own: what answers.
        key: as for `take_part`, like the other arguments.
        wait: the longest time in seconds to wait.
        say: called with a line each round.
    """
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise FederationError(
            f"a coordinator must listen at {host}:{port}; got: {error.strerror or error}; start `repricer federate serve`"
        ) from error
    try:
        async with asyncio.timeout(wait):
            nonce = await reader.readexactly(NONCE)
    except (TimeoutError, asyncio.IncompleteReadError):
        raise FederationError(f"{host}:{port} must be a coordinator; got no greeting; check --to") from None
    channel = Channel(reader, writer, key, nonce)
    await channel.send(own.join)
    try:
        while not isinstance(message := await channel.receive((Round, Done), wait), Done):
            await channel.send(await asyncio.to_thread(own.answer, message))
            say(f"round {message.number}: sums of {len(message.keys)} shops")
    except FederationError as error:
        await channel.stop(str(error))
        raise
    await channel.stop()
    return message


class Answering:
    """What a shop tells of its sums: masked, and only in rounds that cannot show them."""

    def __init__(self, name: str) -> None:
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError:
            raise FederationError(
                f"a shop's name must be 1 to 40 letters, digits, `_`, `-` or `.`; got {name!r}; choose another"
            ) from None
        self.masks = Masks(name)
        self.keys, self.number, self.sums = dict[str, bytes](), 0, np.zeros(0)

    def masked(self, asked: Round, sums: Callable[[dict[str, Any]], np.ndarray]) -> Masked:
        """The masked sums of a round, those of the round before where it is only taken again.

        Args:
            sums: the sums, given what all have in common.

        Raises:
            FederationError: what is asked would show the shop's own sums, or these are not finite.
        """
        known = self.keys or asked.keys
        strangers = any(known.get(name) != key for name, key in asked.keys.items())
        own = asked.keys.get(self.masks.name) == self.masks.public
        if strangers or not own or len(set(asked.keys.values())) < LEAST_SHOPS or asked.number <= self.number:
            raise FederationError(
                f"a round must be new and among {LEAST_SHOPS} or more of the first round's shops; got another from the "
                "coordinator; do not take part"
            )
        if asked.common is not None:
            self.sums = sums(asked.common)
        self.keys, self.number = asked.keys, asked.number
        try:
            return Masked(asked.number, self.masks.masked(self.sums, asked.number, asked.keys))
        except ValueError as error:
            raise FederationError(str(error)) from None


class _Shop(Answering):
    def __init__(self, panel: pd.DataFrame, name: str) -> None:
        super().__init__(name)
        self.panel = panel
        self.model = PooledRegression().fit(panel)
        days: Literal[1, 7] = 1 if self.model.period_.days == 1 else 7
        first, last = panel["week"].min().date(), self.model.last_week_.date()
        self.join = Join(name, self.masks.public, first, last, days)
        self.names = all_names(daily=days == 1)

    def answer(self, asked: Round) -> Masked:
        """The masked sums of a round, unless what is asked would show them."""
        return self.masked(asked, lambda common: self._sums(asked.kind, common))

    def _sums(self, kind: str, document: dict[str, Any]) -> np.ndarray:
        if tuple(document.get("names", ())) != self.names:
            raise FederationError("all must have the same covariates; got others; install the same version everywhere")
        common = Common.of(document)
        if kind == "errors":
            return PooledRegression(common=common).fit(self.panel).totals_
        if not self.keys:
            self.products = self.model.products(self.names, seasonal=common.seasonal)
        return self.products.expect(common).sums(common)
