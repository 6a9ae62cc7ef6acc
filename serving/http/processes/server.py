"""The server of one process: it closes slow connections, says when it is ready, and lets callers go
elsewhere before it stops. Needs the `serve` extra.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import uvicorn

from .connections import Connection, Listener, most_connections

_ACCEPTS_PER_TURN = 16
_HALF_SENT = 1.0


class Server(uvicorn.Server):
    """uvicorn's server with this package's connections.

    Args:
        config: Settings of uvicorn; its application's `state.status.draining` becomes true at the end.
        drain: Seconds from SIGTERM, at which the service is no longer ready, to its end.
    """

    def __init__(self, config: uvicorn.Config, drain: float) -> None:
        super().__init__(config)
        self._drain, self._leaves = drain, math.inf

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
        """Look at every connection twice a second."""
        if counter % 5 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast(Connection, connection).leave_if_late(now)
            if time.monotonic() > self._leaves:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress; those who have sent half of one have a second for the rest."""
        asyncio.get_running_loop().call_later(_HALF_SENT, self._hurry)
        await super().shutdown(sockets)

    def _hurry(self) -> None:
        for connection in list(self.server_state.connections):
            if cast(Connection, connection).idle:
                cast(Connection, connection).leave()


def serve(app: Any, listen: Callable[[], Listener], *, drain: float = 0.0, **settings: Any) -> None:
    """Run the application until a signal stops it.

    Args:
        app: The ASGI application.
        listen: Gives the socket whose connections it accepts.
        drain: Seconds between SIGTERM and the end.
        settings: More of uvicorn's settings.
    """
    Connection.most = most_connections()
    config = uvicorn.Config(app, http=Connection, ws="none", backlog=_ACCEPTS_PER_TURN, server_header=False, **settings)
    config.load()
    with listen() as listener:
        Server(config, drain).run(sockets=[listener])


def notify(state: str) -> None:
    """Tell systemd how the service is, where it asks for it (`Type=notify`)."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
            reader.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            reader.sendall(state.encode())
