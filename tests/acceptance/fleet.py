"""A service that stays up: callers who hold its connections without using them."""

from __future__ import annotations

import functools

from repricer.tests.serving.http.processes.slow_callers import (
    EMPTY_LINES,
    FILES,
    IDLE,
    SLOW_BODIES,
    SLOW_HEADERS,
    Held,
    held,
)

from .checks import check
from .service import bundle_path

_CALLERS = {
    f"400 idle sockets, {FILES} open files": [IDLE] * 400,
    f"400 slow headers, {FILES} open files": [SLOW_HEADERS] * 300 + [EMPTY_LINES] * 100,
    "50 slow bodies": [SLOW_BODIES] * 50,
}


@functools.cache
def _held(name: str) -> Held:
    return held(bundle_path(), _CALLERS[name], seconds=30)


def slow_callers(name: str) -> None:
    @check("fleet", f"{name}: slowest health answer in 30 s", "<=", 100, "ms")
    def health() -> float:
        return 1e3 * _held(name).slowest

    @check("fleet", f"{name}: until the last caller is put out", "<=", 10, "seconds")
    def closed() -> float:
        return _held(name).closed_after

    @check("fleet", f"{name}: lines of the error log", "<=", 100)
    def lines() -> float:
        return _held(name).lines


for _name in _CALLERS:
    slow_callers(_name)
