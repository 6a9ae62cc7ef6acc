"""The server of one process: it says when it is ready, and lets callers go elsewhere before it stops. Slow callers are
the proxy's. Needs the `serve` extra.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_COMPLAINT_SECONDS = 60.0
_MOST_FILES = 8192
"""Four fifths of the files that may be open are connections."""
_HALF_SENT = 1.0
"""Seconds for the rest of a request that is half sent when the service stops."""
_HANDSHAKE_SECONDS = 5.0
"""For the handshake of TLS; a connection in it makes room as an idle one does."""
_GOODBYE_SECONDS = 0.5
"""In which an idle caller may answer the end of TLS; it would keep the service from stopping."""
_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with a drain.

    Args:
        config: Settings of uvicorn; its application's `state.status.draining` becomes true at the end.
        drain: Seconds from SIGTERM, at which the service is no longer ready, to its end.
    """

    def __init__(self, config: uvicorn.Config, drain: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._leaves = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        notify("READY=1")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop now, or after the drain; a second signal ends the drain."""
        if sig != signal.SIGTERM or not self._drain or self._leaves < math.inf:
            super().handle_exit(sig, frame)
            return
        cast(Any, self.config.app).state.status.draining = True
        self._leaves = time.monotonic() + self._drain

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to stop."""
        return await super().on_tick(counter) or time.monotonic() > self._leaves

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress; those who have sent half of one have a second for the rest. Storage that does not
        answer does not keep the service.
        """
        asyncio.get_running_loop().call_later(_HALF_SENT, self._hurry)
        await super().shutdown(sockets)
        if cast(Any, self.config.app).state.status.is_stalled:
            os._exit(1)  # threads that wait for the log would keep the process

    def _hurry(self) -> None:
        for connection in cast("list[HttpToolsProtocol]", list(self.server_state.connections)):
            if connection.cycle and connection.cycle.more_body:
                connection.transport.abort()


class Handshake(asyncio.Protocol):
    """A connection until its TLS handshake is over, when an HTTP connection follows it.

    Args:
        tls: Certificate and key.
        following: What follows.
        admit: Counts a connection, and puts one out where there are too many.
        leave: Counts it no more.
    """

    cycle = None
    """It has no request."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        following: asyncio.Protocol,
        admit: Callable[[Handshake], None],
        leave: Callable[[Handshake], None],
    ) -> None:
        self._tls = tls
        self._following = following
        self._admit = admit
        self._leave = leave
        self._is_lost = False
        self._early = list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast(asyncio.Transport, transport)
        self._admit(self)
        if not self.transport.is_closing():
            self._task = asyncio.get_running_loop().create_task(self._secure())

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the end of the handshake is noticed."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing follows."""
        self._is_lost = True
        self._leave(self)

    async def _secure(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(
                self.transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError:  # another protocol, no common cipher, too slow, or put out
            self.transport.abort()
            self._leave(self)
            return
        self._leave(self)
        if secure is None or self._is_lost:
            return
        secure.set_protocol(self._following)
        self._following.connection_made(secure)
        for data in self._early:
            self._following.data_received(data)


def limited(most: int, tls: ssl.SSLContext | None = None) -> Callable[..., asyncio.Protocol]:
    """Connections of which there are so many at most: the one that is idle for the longest makes room for another. Beyond
    the files that the process may open, none could be accepted, and each try would be an error.

    Args:
        most: How many.
        tls: Certificate and key; None for plain HTTP.
    """
    opened: dict[HttpToolsProtocol | Handshake, None] = {}
    complained = -math.inf

    def admit(new: HttpToolsProtocol | Handshake) -> None:
        nonlocal complained
        opened[new] = None
        if len(opened) <= most:
            return
        if time.monotonic() > complained + _COMPLAINT_SECONDS:
            complained = time.monotonic()
            _log.error("too many connections", extra={"facts": {"most": most}})
        idle = next((one for one in opened if one.cycle is None or one.cycle.response_complete), new)
        del opened[idle]
        idle.transport.abort()

    def leave(one: HttpToolsProtocol | Handshake) -> None:
        opened.pop(one, None)

    class Limited(HttpToolsProtocol):
        """A connection that makes room, or is ended where none is idle."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            admit(self)

        def connection_lost(self, exc: Exception | None) -> None:
            leave(self)
            super().connection_lost(exc)

    if tls is None:
        return Limited
    certified = tls

    def secured(**given: Any) -> Handshake:
        return Handshake(certified, Limited(**given), admit, leave)

    return secured


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ValueError where the address cannot be listened on."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        got = f"got {host}, port {port}: {error.strerror}; choose others"
        raise ValueError(f"--host and --port must be free on this machine; {got}") from error
    # Each part of an answer leaves without delay.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _log.info("listening on %s, port %d", host, port)
    return listener


def serve(
    app: Any, host: str, port: int, *, drain: float = 0.0, tls: ssl.SSLContext | None = None, **settings: Any
) -> None:
    """Run the application until a signal stops it.

    Args:
        app: The ASGI application.
        host: The address to listen on.
        port: Its port.
        drain: Seconds between SIGTERM and the end.
        tls: Certificate and key; None for plain HTTP.
        settings: More of uvicorn's settings.
    """
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FILES)
    # As many as the backlog are accepted at once, before one can be ended.
    connections = max(files - max(files // 5, 64), 8)
    settings |= {"http": limited(connections, tls), "backlog": max(files // 10, 16)}
    config = uvicorn.Config(app, ws="none", server_header=False, **settings)
    config.load()
    with bound(host, port) as listener:
        Server(config, drain).run(sockets=[listener])


def notify(state: str) -> None:
    """Tell systemd how the service is, where it asks for it (`Type=notify`)."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
            reader.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            reader.sendall(state.encode())
