"""What requests do at the same time is done together: thirty states cost little more than one to
price, and thirty results of another thread little more than one to hand over.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

from ..decision import Decision
from ..decision_log.storage import PATIENCE
from ..decision_log.transactions import LogError
from ..market_state import State, StateError
from .deployment import Deployment

T = TypeVar("T")


class Batcher:
    """Collects the states of two rounds of the event loop and prices them together.

    The second round costs a few microseconds and adds the requests that were being received in the
    first.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._waiting: list[tuple[State, asyncio.Future[Decision | StateError]]] = []

    async def ask(self, state: State) -> Decision:
        """The decision for one state. Raises StateError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decision | StateError] = loop.create_future()
        self._waiting.append((state, future))
        if len(self._waiting) == 1:
            loop.call_soon(loop.call_soon, self._answer)
        found = await future
        if isinstance(found, StateError):
            raise found
        return found

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            found = self._deployment.answer([state for state, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                if not future.cancelled():
                    future.set_exception(error)
            return
        for (_, future), one in zip(waiting, found, strict=True):
            if not future.cancelled():
                future.set_result(one)


class Commits:
    """Hands over what the log's thread has done. All that is done at the same time, as one commit is,
    wakes the event loop once; `asyncio.wrap_future` wakes it for each, by a system call.
    """

    def __init__(self) -> None:
        self._done = deque[tuple[asyncio.Future[Any], Future[Any]]]()
        self._adding = Lock()

    async def of(self, job: Future[T]) -> T:
        """The result of a job, which goes on where its caller is cancelled. Raises what it raised, and LogError where
        it takes too long.
        """
        loop = asyncio.get_running_loop()
        own: asyncio.Future[T] = loop.create_future()
        patience = loop.call_later(PATIENCE, _give_up, own, job)
        job.add_done_callback(functools.partial(self._add, loop, own))
        try:
            return await own
        finally:
            patience.cancel()

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
            if own.done():
                continue
            if error := job.exception():
                own.set_exception(error)
            else:
                own.set_result(job.result())


def _give_up(own: asyncio.Future[Any], job: Future[Any]) -> None:
    if not own.done():
        own.set_exception(LogError(f"the decision log has not answered for {PATIENCE:g} s"))
        job.cancel()
