"""The service's socket and its connections: a cap, and time limits for slow callers.

uvicorn limits only the time between two requests of a connection; the rest is here. Needs the `serve` extra.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds in which a caller must send its headers, or its next request."""
BYTES_PER_SECOND = 100_000
"""Slowest rate of a body or an answer, beside the `PATIENCE` that each has."""
MOST_HEADER_BYTES = 64 << 10
MOST_CONNECTIONS = 1000
_SPARE_FILES = 96
"""Open files that connections leave to the bundle, the log and those just being accepted."""
_SPARE_CONNECTIONS = 32
"""Beyond the cap, for health and switches while every other caller waits for the service."""


class Connection(HttpToolsProtocol):
    """A connection whose caller has until `deadline` to send or to read what is due; for ever while the service
    works.
    """

    most = MOST_CONNECTIONS
    deadline = math.inf
    _header_bytes = 0.0

    def connection_made(self, transport: Any) -> None:
        """Make room for a new connection where the cap is reached: the caller who is nearest
        its deadline leaves.
        """
        super().connection_made(transport)
        self._wait()
        count = len(self.connections)
        if count > self.most:
            first = min(cast("Iterable[Connection]", self.connections), key=lambda one: one.deadline)
            if first is not self or count > self.most + _SPARE_CONNECTIONS:
                first.leave()

    def leave(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self.connections.discard(self)
        self.transport.abort()

    @property
    def idle(self) -> bool:
        """Whether it is the caller's turn to send."""
        return self.deadline < math.inf and not self.transport.get_write_buffer_size()

    def leave_if_late(self, now: float) -> None:
        """Close the connection where its caller is too slow."""
        # While reading is paused, the caller waits for the service.
        if now > self.deadline and not self.flow.read_paused:
            self.leave()

    def data_received(self, data: bytes) -> None:
        """Refuse headers without end, which the parser would collect."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes > MOST_HEADER_BYTES:
            self.leave()

    def on_headers_complete(self) -> None:
        """The body begins, unless the headers are too long: one piece of data may hold all of them."""
        if sum(len(name) + len(value) for name, value in self.headers) > MOST_HEADER_BYTES:
            raise ValueError("the headers are too long")  # uvicorn answers 400
        super().on_headers_complete()
        self._header_bytes = -math.inf
        length = dict(self.headers).get(b"content-length", b"")
        self._wait(int(length) if length.isdigit() and len(length) < 10 else 0)

    def on_message_complete(self) -> None:
        """The request is complete: it is the service's turn."""
        super().on_message_complete()
        self._header_bytes = 0
        if not self.cycle.response_complete:
            self.deadline = math.inf

    def on_response_complete(self) -> None:
        """The answer is the caller's to read, unless the next request is complete already."""
        super().on_response_complete()
        self.deadline = math.inf
        if self.cycle.response_complete or self.cycle.more_body:
            self._wait(self.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        """The rest of an answer waits for its caller, who has as long as for all of it."""
        super().pause_writing()
        if self.deadline == math.inf:
            self._wait(self.transport.get_write_buffer_size() + self.cycle.expected_content_length)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing: `leave_if_late` closes idle connections, and those whose caller does not read."""

    def _wait(self, for_bytes: float = 0.0) -> None:
        self.deadline = self.loop.time() + PATIENCE + for_bytes / BYTES_PER_SECOND


class Listener(socket.socket):
    """Lets the system queue callers, however few connections asyncio is to accept in one turn."""

    def listen(self, backlog: int = 0, /) -> None:
        """Listen."""
        super().listen(socket.SOMAXCONN)


def bound(host: str, port: int) -> Listener:
    """A socket that listens. Raises ValueError where the address cannot be listened on."""
    # With its protocol named, asyncio sends each part of an answer without delay.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ValueError(
            f"--host and --port must be free on this machine; got {host}, port {port}: {error.strerror}; choose others"
        ) from error
    _log.info("listening on %s, port %d", host, port)
    return listener


def most_connections() -> int:
    """The cap that the limit of open files allows."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return MOST_CONNECTIONS
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if soft < 0 else max(8, min(MOST_CONNECTIONS, soft - _SPARE_FILES))
