"""Where a service computes what takes long, so that prices do not wait for it."""

from __future__ import annotations

import functools
import hashlib
import pickle
import queue
from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from ...helper_process import HelperProcess

T = TypeVar("T")
_PLACES = 2
"""Requests that are computed at the same time."""
_MOST_KNOWN = 4
"""Policies that a process keeps."""


class Aside:
    """Two places to compute: threads, or processes that yield to prices on the same cores.

    Args:
        apart: Whether in processes, which start with their first request.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart, self._limit = apart, CapacityLimiter(_PLACES)
        self._started: list[HelperProcess] = []
        self._free: queue.SimpleQueue[HelperProcess | None] = queue.SimpleQueue()
        for _ in range(_PLACES):
            self._free.put(None)
        self._packed = functools.lru_cache(_MOST_KNOWN)(_packed)

    async def work(self, function: Callable[..., T], *given: Any) -> T:
        """What a function returns, in a thread. Raises what it raised."""
        return await to_thread.run_sync(function, *given, limiter=self._limit)

    async def ask(self, function: Callable[..., T], policies: Any, *given: Any) -> T:
        """What a function returns for policies, which a process keeps, and more arguments; all can
        be pickled. Raises what it raised, and HelperError.
        """
        if self._apart:
            return await self.work(self._in_process, function, policies, given)
        return await self.work(function, policies, *given)

    def close(self) -> None:
        """End the processes, whatever they compute."""
        for helper in self._started:
            helper.kill()

    def _in_process(self, function: Callable[..., T], policies: Any, given: tuple[Any, ...]) -> T:
        helper = self._free.get()
        try:
            if helper is None:
                helper = HelperProcess(dict, idle=True)
                self._started.append(helper)
            return helper.call(_called, function, *self._packed(policies), given)
        finally:
            self._free.put(helper)


def _packed(policies: Any) -> tuple[bytes, bytes]:
    """Policies to be sent, and what tells them from others."""
    text = pickle.dumps(policies)
    return hashlib.blake2b(text).digest(), text


def _called(
    known: dict[bytes, Any], function: Callable[..., T], key: bytes, packed: bytes, given: tuple[Any, ...]
) -> T:
    if key not in known:
        if len(known) == _MOST_KNOWN:
            known.clear()
        known[key] = pickle.loads(packed)
    return function(known[key], *given)
