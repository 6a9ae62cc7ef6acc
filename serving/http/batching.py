"""Requests that come at the same time are priced together: thirty states cost little more than one."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

from ..decision import Decision
from ..decision_log.storage import PATIENCE, LogError
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
        waiting = [one for one in self._waiting if not one[1].cancelled()]
        self._waiting = []
        try:
            found = self._deployment.answer([state for state, _ in waiting])
        except Exception as error:
            for _, future in waiting:
                future.set_exception(error)
            return
        for (_, future), one in zip(waiting, found, strict=True):
            future.set_result(one)


async def committed(job: Future[T]) -> T:
    """The result of a job of the log. Raises what it raised, and LogError where it takes too long."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(job), PATIENCE)
    except TimeoutError:
        raise LogError(f"the decision log has not answered for {PATIENCE:g} s") from None
