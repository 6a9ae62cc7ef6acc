"""Requests over connections that are kept, each given up at its time limit whatever the service does."""

from __future__ import annotations

import selectors
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

_MOST_TOGETHER = 32
"""Requests at the same time; others wait, within their time limits."""


class UnreachableError(OSError):
    """The service did not answer in time; the message says what happened."""


class BusyError(UnreachableError):
    """The service asks callers to wait: to ask again at once would be in vain."""


class Request(NamedTuple):
    """What is asked.

    Attributes:
        method: GET or POST.
        path: Within the service, such as "/v1/prices".
        body: JSON, or None.
        headers: Those of this request.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


class HttpReply(NamedTuple):
    """What was answered."""

    status: int
    body: bytes


class _Exchange:
    """One request under way, which whoever waits for it may give up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = None
        self._given_up = False

    def begins(self, connection: HTTPConnection) -> bool:
        """Whether the request is still to be sent, over this connection."""
        with self._lock:
            self._connection = connection
            return not self._given_up

    def ends(self) -> bool:
        """Whether somebody still waits."""
        with self._lock:
            self._connection = None
            return not self._given_up

    def give_up(self) -> None:
        """Break the connection, so that the thread that reads from it is free again."""
        with self._lock:
            self._given_up = True
            sock = self._connection and self._connection.sock
            if sock:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class Connections:
    """Connections to one service; several threads may share them.

    A thread of its own makes each exchange: a time limit of a socket counts anew for each piece that is received, and
    a look-up of a name has none.

    Args:
        url: http(s)://HOST[:PORT][/PATH].
        headers: Those of every request.

    Raises:
        ValueError: The URL is none of these.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._scheme, self._host, self._port, self._path = _parts(url)
        self._headers = headers
        self._lock = threading.Lock()
        self._idle = list[HTTPConnection]()
        self._threads = ThreadPoolExecutor(_MOST_TOGETHER, "price-client")

    def ask(self, request: Request, seconds: float) -> HttpReply:
        """The answer to a request.

        Args:
            request: What is asked.
            seconds: After so long it is given up.

        Raises:
            UnreachableError: There was no answer.
        """
        exchange = _Exchange()
        try:
            job = self._threads.submit(self._exchanged, request, seconds, exchange)
        except RuntimeError:
            raise UnreachableError("the client was closed") from None
        try:
            return job.result(seconds)
        except TimeoutError:
            job.cancel()
            exchange.give_up()
            raise UnreachableError(f"no answer within {seconds:.2g} s") from None
        except (OSError, HTTPException) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connections that are not in use; nothing is asked afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _exchanged(self, request: Request, seconds: float, exchange: _Exchange) -> HttpReply:
        connection = self._connected(seconds)
        try:
            # One that took too long to open is not used: nobody waits for its answer.
            if not exchange.begins(connection):
                raise TimeoutError
            headers = {**self._headers, **dict(request.headers)}
            connection.request(request.method, self._path + request.path, request.body, headers)
            response = connection.getresponse()
            reply = HttpReply(response.status, response.read())
            is_kept = not response.will_close
        except BaseException:
            exchange.ends()
            connection.close()
            raise
        if exchange.ends() and is_kept:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        return reply

    def _connected(self, seconds: float) -> HTTPConnection:
        """A connection that was kept and is still open, else a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                kind = HTTPSConnection if self._scheme == "https" else HTTPConnection
                connection = kind(self._host, self._port, timeout=seconds)
                connection.connect()
                return connection
            if connection.sock and not _is_over(connection.sock):
                connection.sock.settimeout(seconds)
                return connection
            connection.close()


def _is_over(sock: socket.socket) -> bool:
    """Whether the service has closed a connection: nothing else comes without a request."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of a URL. Raises ValueError."""
    must = "url must be http://HOST[:PORT] or https://HOST[:PORT], with a path if the service has one"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{must}; got {url!r}: {error}; correct it") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ValueError(f"{must}; got {url!r}; correct it")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{must}; got one with a name or password; give the key as api_key")
    return parts.scheme, host, port, parts.path.rstrip("/")
