"""A service that stays up: callers of its proxy who hold connections without using them."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import select
import socket
import time
import urllib.request
from dataclasses import dataclass

from repricer.benchmarks.loopback import free_port
from repricer.serving import example_state
from repricer.tests.serving.http.processes.limited import FILES, HEAD, health, limited_service

from .checks import check
from .instances import proxy
from .service import bundle, bundle_path

_IDLE, _EMPTY_LINES = (b"", b""), (b"", b"\r\n")
_SLOW_HEADERS, _SLOW_BODIES = (HEAD, b"x-a: b\r\n"), (HEAD + b"content-length: 100000\r\n\r\n", b"1")
"""What a caller sends at first, and then ten times a second."""
_CALLERS = {
    f"400 idle sockets, {FILES} open files": [_IDLE] * 400,
    f"400 slow headers, {FILES} open files": [_SLOW_HEADERS] * 300 + [_EMPTY_LINES] * 100,
    "50 slow bodies": [_SLOW_BODIES] * 50,
}


@dataclass
class Held:
    """Slowest answers of health and of a price, seconds until the last caller was refused, lines of the log."""

    health: float
    price: float
    closed_after: float
    lines: int


@functools.cache
def _held(name: str, seconds: float = 30) -> Held:
    """Let these callers in, and ask until all are refused, or for so many seconds."""
    port, prices = free_port(), []
    with limited_service(bundle_path()) as (_, own, log), proxy({"one": own}, port):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError, AssertionError):
                health(port)
                break
            time.sleep(0.1)
        _price(port)
        started, sockets = time.perf_counter(), {}
        for opening, drip in _CALLERS[name]:
            one = socket.create_connection(("127.0.0.1", port), timeout=10)
            sockets[one] = drip
            with contextlib.suppress(OSError):
                one.sendall(opening)
        times, last = [], 0.0
        while sockets and (elapsed := time.perf_counter() - started) < seconds:
            times.append(health(port))
            prices.append(_price(port))
            for one, drip in list(sockets.items()):
                if _refused(one, drip):
                    del sockets[one]
                    one.close()
                    last = elapsed
            time.sleep(0.1)
        for one in sockets:
            one.close()
        lines = len(re.findall(rb"\n", log.read_bytes())) - log.read_bytes().count(b'"event":"request"')
        return Held(max(times), max(prices), last if not sockets else float("inf"), lines)


def _price(port: int) -> float:
    """Seconds in which a price is answered."""
    state = json.dumps(example_state(bundle().catalogue)).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/prices", state, {"content-type": "application/json"})
    started = time.perf_counter()
    urllib.request.urlopen(request, timeout=10).read()
    return time.perf_counter() - started


def _refused(one: socket.socket, drip: bytes) -> bool:
    """Whether a caller was answered (408) or put out; the proxy reads on what still comes after its answer."""
    try:
        if drip:
            one.sendall(drip)
        return bool(select.select([one], [], [], 0)[0])
    except OSError:
        return True


def slow_callers(name: str) -> None:
    @check("fleet", f"{name}, at the proxy: slowest health answer in 30 s", "<=", 100, "ms")
    def healthy() -> float:
        return 1e3 * _held(name).health

    @check("fleet", f"{name}, at the proxy: slowest price in 30 s", "<=", 100, "ms")
    def priced() -> float:
        return 1e3 * _held(name).price

    @check("fleet", f"{name}, at the proxy: until the last caller is refused or put out", "<=", 10, "seconds")
    def closed() -> float:
        return _held(name).closed_after

    @check("fleet", f"{name}, at the proxy: lines of the service's error log", "<=", 100)
    def lines() -> float:
        return _held(name).lines


for _name in _CALLERS:
    slow_callers(_name)
