"""What requests do at the same time is done together: thirty states cost little more than one to
price, and thirty results of another thread little more than one to hand over. What takes long takes
turns.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

from ..decision import Decision
from ..market_state import State, StateError
from .deployment import Deployment

T = TypeVar("T")
_PAUSE = 0.001
"""Seconds for each state but the first of a batch in which the next one gathers."""
_LONGEST_PAUSE = 0.004
_SHARE = 0.008
"""Of the time in which prices may wait for long transactions: less than the hundredth that a 99th
percentile sees.
"""
_LONGEST_WAIT = 3.0
"""Seconds from one to the next; one takes longer only where its markets are new."""
_RECENT = 1.0
"""Seconds in which a price was asked for where prices are being asked for."""


class Batcher:
    """Collects the states of two rounds of the event loop and prices them together.

    The second round costs a few microseconds and adds the requests that were being received in the
    first. Under load, when several were priced together, the next ones gather for a moment: half of
    what a batch costs does not depend on its size. Who asks alone never waits.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment, self._next, self._asked = deployment, -math.inf, -math.inf
        self._waiting: list[tuple[State, asyncio.Future[Decision | StateError]]] = []

    async def ask(self, state: State) -> Decision:
        """The decision for one state. Raises StateError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decision | StateError] = loop.create_future()
        self._asked = loop.time()
        self._waiting.append((state, future))
        if len(self._waiting) == 1:
            if loop.time() < self._next:
                loop.call_at(self._next, self._answer)
            else:
                loop.call_soon(loop.call_soon, self._answer)
        found = await future
        if isinstance(found, StateError):
            raise found
        return found

    def is_busy(self) -> bool:
        """Whether single prices are being asked for."""
        return asyncio.get_running_loop().time() < self._asked + _RECENT

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            found = self._deployment.answer([state for state, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.cancelled():
                    future.set_exception(error)
            return
        self._next = asyncio.get_running_loop().time() + min(_PAUSE * (len(found) - 1), _LONGEST_PAUSE)
        for (_, future), one in zip(waiting, found, strict=True):
            if not future.cancelled():
                future.set_result(one)


class Results:
    """Hands over what another thread has done. All that is done at the same time, as one commit is,
    wakes the event loop once; `asyncio.wrap_future` wakes it for each, by a system call.

    Example:
        >>> async def wait() -> int:
        ...     job: Future[int] = Future()
        ...     asyncio.get_running_loop().call_later(0.01, job.set_result, 3)
        ...     return await Results().of(job)
        >>> asyncio.run(wait())
        3
    """

    def __init__(self) -> None:
        self._done = deque[tuple[asyncio.Future[Any], Future[Any]]]()
        self._adding = Lock()

    async def of(self, job: Future[T]) -> T:
        """The result of a job, which goes on where its caller is cancelled. Raises what it raised."""
        loop = asyncio.get_running_loop()
        own: asyncio.Future[T] = loop.create_future()
        job.add_done_callback(functools.partial(self._add, loop, own))
        return await own

    def _add(self, loop: asyncio.AbstractEventLoop, own: asyncio.Future[Any], job: Future[Any]) -> None:
        # A job that is done by now is added by the caller's thread, beside the other one.
        with self._adding:
            self._done.append((own, job))
            first = len(self._done) == 1
        # Where there are more, the loop is woken for the first of them and has not taken it yet.
        if first and not loop.is_closed():
            loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        while self._done:
            own, job = self._done.popleft()
            if own.cancelled():
                continue
            error = job.exception()
            if error is None:
                own.set_result(job.result())
            else:
                own.set_exception(error)


class Turns:
    """Lets long transactions of the log, for which prices wait, take a small share of the time while
    prices are asked for. One that comes too soon waits; if nobody asks for prices, none does.

    Args:
        is_busy: Whether prices are being asked for.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy, self._next, self._turn = is_busy, -math.inf, asyncio.Lock()

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """What work returns, in its turn. Raises what it raised."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while self._is_busy() and (rest := self._next - loop.time()) > 0:
                await asyncio.sleep(min(rest, _RECENT / 10))
            started = loop.time()
            try:
                return await work()
            finally:
                now = loop.time()
                self._next = now + min((now - started) / _SHARE, _LONGEST_WAIT)
